package kv_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/quorate/quorate/app"
	"github.com/quorate/quorate/app/kv"
)

func compare(t interface {
	Helper()
	Errorf(format string, args ...any)
}, what string, got, want any,
) {
	t.Helper()
	if diff := cmp.Diff(got, want, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%s (-got +want):\n%s", what, diff)
	}
}

// model is what a key-value store is, in the plainest words.
type model map[string]string

func (m model) do(o kv.Op) kv.Result {
	old, ok := m[o.Key]
	done, found := kv.Result{Status: kv.StatusDone}, kv.Result{Status: kv.StatusFound, Value: []byte(old)}
	missing, conflict := kv.Result{Status: kv.StatusNotFound}, kv.Result{Status: kv.StatusConflict, Value: []byte(old)}
	switch o.Kind {
	case kv.KindGet:
		if ok {
			return found
		}
		return missing
	case kv.KindPut:
		m[o.Key] = string(o.Value)
		return done
	case kv.KindDelete:
		delete(m, o.Key)
		if ok {
			return done
		}
		return missing
	case kv.KindCompareAndSwap:
		if !ok {
			return missing
		}
		if old != string(o.Old) {
			return conflict
		}
		m[o.Key] = string(o.Value)
		return done
	case kv.KindPutIfAbsent:
		if ok {
			return conflict
		}
		m[o.Key] = string(o.Value)
		return done
	default:
		return m.scan(o)
	}
}

func (m model) scan(o kv.Op) kv.Result {
	r := kv.Result{Status: kv.StatusEntries}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if k < o.From || (o.To != "" && k >= o.To) {
			continue
		}
		if len(r.Entries) == o.Limit {
			r.More = true
			break
		}
		r.Entries = append(r.Entries, kv.Entry{Key: k, Value: []byte(m[k])})
	}
	return r
}

// drawOp draws an operation on few keys and values, so that they meet.
func drawOp(t *rapid.T) kv.Op {
	word := func(what string, least int) string {
		return string(rapid.SliceOfN(rapid.SampledFrom([]byte("ab\xff")), least, 2).Draw(t, what))
	}
	o := kv.Op{Kind: kv.Kind(rapid.ByteRange(1, 6).Draw(t, "kind"))}
	if o.Kind == kv.KindScan {
		o.From, o.To, o.Limit = word("from", 0), word("to", 0), rapid.IntRange(1, 5).Draw(t, "limit")
		return o
	}
	o.Key = word("key", 1)
	if o.Kind == kv.KindCompareAndSwap {
		o.Old = []byte(word("old", 0))
	}
	if o.Kind != kv.KindGet && o.Kind != kv.KindDelete {
		o.Value = []byte(word("value", 0))
	}
	return o
}

func TestMachineEqualsItsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		solo, want := app.NewSolo(kv.Machine{}), model{}
		for range rapid.IntRange(1, 30).Draw(t, "operations") {
			o := drawOp(t)
			data, err := solo.Execute(o.Encode())
			if err != nil {
				t.Fatalf("%+v: %v", o, err)
			}
			got, err := kv.ParseResult(data)
			if err != nil {
				t.Fatalf("%+v: %v", o, err)
			}
			compare(t, fmt.Sprintf("%+v", o), got, want.do(o))
		}
	})
}

func TestReadsAreQueriesAndWritesAreNot(t *testing.T) {
	solo := app.NewSolo(kv.Machine{})
	if _, err := solo.Execute(kv.Put("k", []byte("v"))); err != nil {
		t.Fatal(err)
	}
	for _, op := range [][]byte{kv.Get("k"), kv.Get("none"), kv.Scan("", "", 10)} {
		query, err := solo.Query(op)
		if err != nil {
			t.Fatal(err)
		}
		executed, err := solo.Execute(op)
		if err != nil || !bytes.Equal(query, executed) {
			t.Errorf("got %x, %v, want %x", query, err, executed)
		}
	}
	for _, op := range [][]byte{
		kv.Put("k", nil), kv.Delete("k"), kv.PutIfAbsent("l", nil), kv.CompareAndSwap("k", []byte("v"), nil),
	} {
		if _, err := solo.Query(op); !errors.Is(err, app.ErrRolledBack) {
			t.Errorf("%x: got %v, want it rolled back", op, err)
		}
	}
}

func TestScanStaysWithinItsBytes(t *testing.T) {
	solo := app.NewSolo(kv.Machine{})
	value := make([]byte, kv.ValueBytesMax)
	var want []string
	for i := range 5 { // some pages end with the longest key
		key := fmt.Sprint(i) + strings.Repeat("k", (kv.KeyBytesMax-1)*(i%2))
		want = append(want, key)
		if _, err := solo.Execute(kv.Put(key, value)); err != nil {
			t.Fatal(err)
		}
	}
	var keys []string
	from, more := "", true
	for more {
		data, err := solo.Query(kv.Scan(from, "", kv.ScanLimitMax))
		if err != nil || len(data) > kv.ScanBytesMax+100 {
			t.Fatalf("got %d bytes, %v", len(data), err)
		}
		r, err := kv.ParseResult(data)
		if err != nil || len(r.Entries) == 0 {
			t.Fatalf("got %d entries, %v", len(r.Entries), err)
		}
		for _, e := range r.Entries {
			keys = append(keys, e.Key)
		}
		from, more = keys[len(keys)-1]+"\x00", r.More
	}
	compare(t, "keys", keys, want)
}

func TestEncodingIsFixed(t *testing.T) {
	invalid := kv.Result{Status: kv.StatusInvalid, Value: []byte("no")}
	ops := map[string][]byte{
		"01 00000001 6b":                         kv.Get("k"),
		"02 00000001 6b 00000002 7631":           kv.Put("k", []byte("v1")),
		"03 00000001 6b":                         kv.Delete("k"),
		"04 00000001 6b 00000000 00000001 76":    kv.CompareAndSwap("k", nil, []byte("v")),
		"05 00000001 6b 00000001 76":             kv.PutIfAbsent("k", []byte("v")),
		"06 00000001 61 00000001 62 000003e8":    kv.ScanPrefix("a", 1000),
		"06 00000000 00000000 00000001":          kv.ScanPrefix("", 1),
		"02 00000001 76":                         kv.Result{Status: kv.StatusFound, Value: []byte("v")}.Encode(),
		"05 01 00000001 00000001 6b 00000001 76": entries().Encode(),
		"05 00 00000000":                         kv.Result{Status: kv.StatusEntries}.Encode(),
		"01":                                     kv.Result{Status: kv.StatusDone}.Encode(),
		"04 00000000":                            kv.Result{Status: kv.StatusConflict}.Encode(),
		"06 00000002 6e6f":                       invalid.Encode(),
	}
	for want, got := range ops {
		if want = strings.ReplaceAll(want, " ", ""); hex.EncodeToString(got) != want {
			t.Errorf("got %x, want %s", got, want)
		}
	}
}

func entries() kv.Result {
	return kv.Result{Status: kv.StatusEntries, Entries: []kv.Entry{{Key: "k", Value: []byte("v")}}, More: true}
}

func TestMalformedOperationsAreRefused(t *testing.T) {
	long, big := strings.Repeat("k", kv.KeyBytesMax), make([]byte, kv.ValueBytesMax)
	for name, test := range map[string]struct {
		op   []byte
		want string // part of the refusal, or none
	}{
		"nothing":       {nil, "1 bytes of a kind are wanted, 0 are left"},
		"unknown":       {[]byte{9}, "no operation has kind 9"},
		"cut":           {kv.Put("k", []byte("v"))[:9], "are left"},
		"trailing":      {append(kv.Get("k"), 0), "1 bytes follow the operation"},
		"empty key":     {kv.Get(""), "the key is empty"},
		"largest":       {kv.CompareAndSwap(long, big, big), ""},
		"long key":      {kv.Get(long + "k"), "length of the key: got 513, at most 512 are possible"},
		"long value":    {kv.Put("k", append(big, 0)), "length of the value: got 65537"},
		"huge":          {[]byte{2, 0xff, 0xff, 0xff, 0xff}, "got 4294967295"},
		"limit 0":       {kv.Scan("", "", 0), "the limit of a scan is 0"},
		"limit -1":      {kv.Scan("", "", -1), "limit of a scan: got 4294967295"},
		"limit largest": {kv.Scan("", "", kv.ScanLimitMax), ""},
		"scan largest":  {kv.Scan(long+"k", long+"k", 1), ""},
		"long start":    {kv.Scan(long+"kk", "", 1), "length of the start of a scan: got 514, at most 513 are possible"},
		"long end":      {kv.Scan("", long+"kk", 1), "length of the end of a scan: got 514, at most 513 are possible"},
		"limit more":    {kv.Scan("", "", kv.ScanLimitMax+1), "limit of a scan: got 1001"},
	} {
		err := kv.Machine{}.Validate(test.op)
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s: got %v, want nil", name, err)
		case test.want != "" && (!errors.Is(err, kv.ErrMalformed) || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
		if err == nil {
			continue
		}
		tx := app.NewTx(app.NewMemory(), nil, app.Context{}, false)
		data, failure, fault := app.Run(kv.Machine{}, tx, test.op)
		r, parseErr := kv.ParseResult(data)
		if failure != nil || fault != nil || parseErr != nil || r.Status != kv.StatusInvalid {
			t.Errorf("%s: got %+v, %v, %v, %v, want an invalid operation", name, r, failure, fault, parseErr)
		}
	}
}

func TestMalformedResultsAreRefused(t *testing.T) {
	unsorted := kv.Result{Status: kv.StatusEntries, Entries: []kv.Entry{{Key: "b"}, {Key: "a"}}}
	for name, data := range map[string][]byte{
		"nothing": nil, "unknown": {7}, "trailing": {1, 0}, "cut": {2, 0, 0, 0, 1}, "mark": {5, 2, 0, 0, 0, 0},
		"unsorted": unsorted.Encode(), "many": {5, 0, 0, 0, 4, 0},
	} {
		if r, err := kv.ParseResult(data); !errors.Is(err, kv.ErrMalformed) {
			t.Errorf("%s: got %+v, %v, want malformed", name, r, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range [][]byte{
		kv.Get("k"), kv.Put("k", []byte("v")), kv.CompareAndSwap("k", []byte("a"), nil), kv.Scan("a", "b", 3),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := kv.Parse(data)
		if err != nil {
			if !errors.Is(err, kv.ErrMalformed) || len(err.Error()) > 200 {
				t.Errorf("got %v, want it malformed, in few words", err)
			}
			return
		}
		if got := o.Encode(); !bytes.Equal(got, data) {
			t.Errorf("got %x again, want %x", got, data)
		}
	})
}

func FuzzParseResult(f *testing.F) {
	f.Add(entries().Encode())
	f.Add(kv.Result{Status: kv.StatusFound, Value: []byte("v")}.Encode())
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := kv.ParseResult(data)
		if err != nil {
			if !errors.Is(err, kv.ErrMalformed) {
				t.Errorf("got %v, want malformed", err)
			}
			return
		}
		if got := r.Encode(); !bytes.Equal(got, data) {
			t.Errorf("got %x again, want %x", got, data)
		}
	})
}

func Example() {
	solo := app.NewSolo(kv.Machine{})
	for _, op := range [][]byte{
		kv.Put("city", []byte("Bern")), kv.CompareAndSwap("city", []byte("Basel"), []byte("Chur")), kv.Get("city"),
	} {
		data, err := solo.Execute(op)
		if err != nil {
			fmt.Println(err)
			return
		}
		result, err := kv.ParseResult(data)
		fmt.Printf("%d %s %v\n", result.Status, result.Value, err)
	}
	// Output:
	// 1  <nil>
	// 4 Bern <nil>
	// 2 Bern <nil>
}
