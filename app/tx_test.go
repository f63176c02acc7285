package app_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/quorate/quorate/app"
	"github.com/quorate/quorate/crypto"
)

// function is a state machine made of one function.
type function func(tx *app.Tx) []byte

func (f function) Execute(tx *app.Tx, _ []byte) []byte { return f(tx) }
func (f function) Query(tx *app.Tx, _ []byte) []byte   { return f(tx) }

// do runs f as an operation on store and commits it if it did not fail.
func do(t *testing.T, store app.Store, f func(tx *app.Tx)) *app.Failure {
	t.Helper()
	tx := app.NewTx(store, []byte("a"), app.Context{Seq: 1}, false)
	_, failure, err := app.Run(function(func(tx *app.Tx) []byte { f(tx); return nil }), tx, nil)
	if err != nil {
		t.Fatalf("got fault %v, want none", err)
	}
	if failure == nil {
		if err := tx.Commit(); err != nil {
			t.Fatalf("commit: got %v, want nil", err)
		}
	} else if err := tx.Commit(); err == nil {
		t.Fatal("a failed operation committed")
	}
	return failure
}

// content returns all of store as text.
func content(t *testing.T, store app.Store) []string {
	t.Helper()
	var all []string
	err := store.Scan(nil, nil, func(key, value []byte) bool {
		all = append(all, fmt.Sprintf("%s=%s", key, value))
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestNothingReachesTheStoreBeforeCommit(t *testing.T) {
	store := app.NewMemory()
	tx := app.NewTx(store, []byte("a"), app.Context{}, false)
	tx.Put("k", []byte("v"))
	tx.Put("gone", nil)
	tx.Delete("gone")
	if got, ok := tx.Get("k"); !ok || string(got) != "v" {
		t.Errorf("own write: got %q, %v, want v", got, ok)
	}
	if tx.Has("gone") {
		t.Error("a deleted key is still there")
	}
	if store.Len() != 0 {
		t.Errorf("before commit: got %v, want nothing", content(t, store))
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(content(t, store), []string{"ak=v"}); diff != "" {
		t.Errorf("after commit (-got +want):\n%s", diff)
	}
	if err := tx.Commit(); err == nil {
		t.Error("committed twice")
	}
}

func TestBytesInAndOutAreCopies(t *testing.T) {
	store := app.NewMemory()
	do(t, store, func(tx *app.Tx) {
		in := []byte("value")
		tx.Put("k", in)
		in[0] = 'X'
		out, _ := tx.Get("k")
		out[1] = 'X'
	})
	do(t, store, func(tx *app.Tx) {
		out, _ := tx.Get("k")
		out[2] = 'X'
		for _, v := range tx.Scan("", "") {
			v[3] = 'X'
		}
		tx.Put("other", nil)
		for _, v := range tx.Scan("", "") {
			clear(v)
		}
	})
	if diff := cmp.Diff(content(t, store), []string{"ak=value", "aother="}); diff != "" {
		t.Errorf("(-got +want):\n%s", diff)
	}
}

func TestPrefixSeparatesContents(t *testing.T) {
	store := app.NewMemory()
	for _, key := range []string{"Z", "a", "ax", "b", "bx"} {
		if err := store.Put([]byte(key), []byte(key)); err != nil {
			t.Fatal(err)
		}
	}
	do(t, store, func(tx *app.Tx) {
		var got []string
		for k := range tx.Scan("", "") {
			got = append(got, k)
		}
		if diff := cmp.Diff(got, []string{"", "x"}); diff != "" {
			t.Errorf("keys under a (-got +want):\n%s", diff)
		}
	})
}

func TestScanSeesTheContentAsOfItsStart(t *testing.T) {
	store := app.NewMemory()
	const n = 1000
	do(t, store, func(tx *app.Tx) {
		for i := range n {
			tx.PutUint64(fmt.Sprintf("%04d", i), uint64(i))
		}
	})
	do(t, store, func(tx *app.Tx) {
		tx.Delete("0003")
		tx.PutUint64("0005", 77)
		tx.PutUint64("00051", 78)
		seen := 0
		for key := range tx.Scan("", "") {
			seen++
			tx.Delete(key)
			tx.Delete(fmt.Sprintf("%04d", n-seen))
			tx.PutUint64(key+"-new", 1)
			if seen%100 == 0 {
				for range tx.Scan("0500", "") { // nested, left at once
					break
				}
			}
		}
		if seen != n {
			t.Errorf("seen %d keys, want %d", seen, n)
		}
		left := 0
		for key := range tx.Scan("", "") {
			left++
			if !strings.HasSuffix(key, "-new") {
				t.Errorf("key %q is still there", key)
			}
		}
		if left != n {
			t.Errorf("left %d keys, want %d", left, n)
		}
	})
}

func TestPrefixEndsWhereItShould(t *testing.T) {
	store := app.NewMemory()
	keys := []string{"a", "a\xff", "a\xff\xff", "a\xff\xffz", "b", "\xff", "\xff\xff"}
	for prefix, want := range map[string][]string{
		"a\xff": {"a\xff", "a\xff\xff", "a\xff\xffz"}, "\xff": {"\xff", "\xff\xff"}, "c": nil,
		"": slices.Sorted(slices.Values(keys)),
	} {
		do(t, store, func(tx *app.Tx) {
			for _, k := range keys {
				tx.Put(k, nil)
			}
			var got []string
			for k := range tx.Prefix(prefix) {
				got = append(got, k)
			}
			if diff := cmp.Diff(got, want); diff != "" {
				t.Errorf("prefix %q (-got +want):\n%s", prefix, diff)
			}
		})
	}
}

// TestTxEqualsAMap holds a Tx against a map: after every step what the operation
// sees, and after every operation what the store holds.
func TestTxEqualsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		store := app.NewMemory()
		committed := map[string]string{}
		for range rapid.IntRange(1, 6).Draw(t, "operations") {
			want := maps.Clone(committed)
			tx := app.NewTx(store, []byte("\xff"), app.Context{}, false)
			randomSteps(t, tx, want)
			if rapid.Bool().Draw(t, "rolls back") {
				continue
			}
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
			committed = want
		}
		tx := app.NewTx(store, []byte("\xff"), app.Context{}, true)
		compareRange(t, tx, committed, "", "")
	})
}

func randomSteps(t *rapid.T, tx *app.Tx, want map[string]string) {
	key := rapid.Map(rapid.SliceOfN(rapid.SampledFrom([]byte("ab\xff")), 0, 3), func(b []byte) string { return string(b) })
	for range rapid.IntRange(0, 20).Draw(t, "steps") {
		k := key.Draw(t, "key")
		switch rapid.IntRange(0, 3).Draw(t, "step") {
		case 0:
			v := rapid.StringN(0, 3, -1).Draw(t, "value")
			tx.Put(k, []byte(v))
			want[k] = v
		case 1:
			tx.Delete(k)
			delete(want, k)
		case 2:
			got, ok := tx.Get(k)
			if v, wantOK := want[k]; string(got) != v || ok != wantOK || tx.Has(k) != wantOK {
				t.Fatalf("get %q: got %q, %v, want %q, %v", k, got, ok, v, wantOK)
			}
		case 3:
			compareRange(t, tx, want, k, key.Draw(t, "to"))
		}
	}
}

func compareRange(t *rapid.T, tx *app.Tx, want map[string]string, from, to string) {
	got := map[string]string{}
	last := ""
	for k, v := range tx.Scan(from, to) {
		if len(got) > 0 && k <= last {
			t.Fatalf("key %q comes after %q", k, last)
		}
		last = k
		got[k] = string(v)
	}
	in := map[string]string{}
	for k, v := range want {
		if k >= from && (to == "" || k < to) {
			in[k] = v
		}
	}
	if diff := cmp.Diff(got, in); diff != "" {
		t.Fatalf("scan [%q, %q) (-got +want):\n%s", from, to, diff)
	}
}

func TestContextIsWhatTheBatchAgreedOn(t *testing.T) {
	ctx := app.Context{Seq: 7, View: 2, Time: 1_700_000_000_000_000_001, Client: crypto.PublicKey{9}}
	tx := app.NewTx(app.NewMemory(), nil, ctx, false)
	if tx.Seq() != 7 || tx.View() != 2 || tx.Client() != ctx.Client {
		t.Errorf("got %d, %d, %v, want %v", tx.Seq(), tx.View(), tx.Client(), ctx)
	}
	want := time.Date(2023, 11, 14, 22, 13, 20, 1, time.UTC)
	if got := tx.Time(); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

// broken fails every call whose number is the given one or greater.
type broken struct {
	app.Memory
	calls, from int
}

var errDisk = errors.New("disk")

func (b *broken) broke() bool {
	b.calls++
	return b.calls >= b.from
}

func (b *broken) Get(key []byte) ([]byte, bool, error) {
	if b.broke() {
		return nil, false, errDisk
	}
	return b.Memory.Get(key)
}

func (b *broken) Put(key, value []byte) error {
	if b.broke() {
		return errDisk
	}
	return b.Memory.Put(key, value)
}

func (b *broken) Scan(from, to []byte, yield func(key, value []byte) bool) error {
	if b.broke() {
		return errDisk
	}
	return b.Memory.Scan(from, to, yield)
}

// TestStorageErrorsAreFaults breaks the store at every call, also under an
// application that recovers from everything.
func TestStorageErrorsAreFaults(t *testing.T) {
	operation := function(func(tx *app.Tx) []byte {
		defer func() { _ = recover() }()
		tx.Get("k")
		for range tx.Scan("", "") {
			tx.Put("k", nil)
		}
		tx.Put("l", nil)
		return []byte("done")
	})
	for from := range 5 {
		store := &broken{from: from}
		tx := app.NewTx(store, nil, app.Context{}, false)
		_, failure, err := app.Run(operation, tx, nil)
		if err == nil {
			err = tx.Commit()
		} else if tx.Commit() == nil {
			t.Errorf("call %d: committed after a fault", from)
		}
		broke := store.calls >= from
		if failure != nil || errors.Is(err, errDisk) != broke {
			t.Errorf("call %d: got %v, %v, want a fault: %v", from, failure, err, broke)
		}
	}
}

// scanning is a store that knows whether it is in the middle of a scan.
type scanning struct {
	app.Memory
	active bool
}

func (s *scanning) Scan(from, to []byte, yield func(key, value []byte) bool) error {
	s.active = true
	defer func() { s.active = false }()
	return s.Memory.Scan(from, to, yield)
}

// TestApplicationNeverRunsInsideAScanOfTheStore is what lets a loop over a scan
// read, write, break and panic, whatever the store is.
func TestApplicationNeverRunsInsideAScanOfTheStore(t *testing.T) {
	store := &scanning{}
	do(t, store, func(tx *app.Tx) {
		for i := range 600 {
			tx.PutUint64(fmt.Sprint(i), 1)
		}
	})
	seen := 0
	failure := do(t, store, func(tx *app.Tx) {
		for range tx.Scan("", "") {
			if store.active {
				t.Fatal("the store is in a scan")
			}
			if seen++; seen == 500 {
				crash("in a loop")
			}
		}
	})
	if failure == nil || seen != 500 || store.active {
		t.Errorf("got %v after %d keys, want a panic after 500", failure, seen)
	}
}
