package app_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/quorate/quorate/app"
)

// executor is a state machine without reads.
type executor func(tx *app.Tx, op []byte) []byte

func (f executor) Execute(tx *app.Tx, op []byte) []byte { return f(tx, op) }

// crash is an application's bug.
func crash(v any) {
	panic(v) //nolint:forbidigo // what Run must survive
}

// crashing panics, with itself, when it is asked what it is.
type crashing struct{}

func (c crashing) Error() string { crash(c); return "" }

func TestPanickingOperationIsRolledBackWhole(t *testing.T) {
	store := app.NewMemory()
	do(t, store, func(tx *app.Tx) { tx.Put("k", []byte("old")) })
	before := store.Clone()
	var nilMap map[string]int
	for name, spoil := range map[string]func(){
		"panic":     func() { crash(fmt.Sprintf("%p", store)) },
		"nil map":   func() { nilMap["x"] = 1 },
		"panic nil": func() { crash(nil) },
		"crashing":  func() { crash(crashing{}) },
	} {
		failure := do(t, store, func(tx *app.Tx) {
			tx.Put("k", []byte("new"))
			tx.Delete("k")
			tx.Emit([]byte("out"))
			spoil()
		})
		if failure == nil || failure.Kind != app.FailurePanic {
			t.Fatalf("%s: got %v, want a panic", name, failure)
		}
		if want := "the operation panicked and was rolled back"; failure.Text != want {
			t.Errorf("%s: got text %q, want %q", name, failure.Text, want)
		}
		if !strings.Contains(failure.Detail, "run_test.go") {
			t.Errorf("%s: the detail does not say where: %s", name, failure.Detail)
		}
		if !store.Equal(before) {
			t.Errorf("%s: got %v, want the old content", name, content(t, store))
		}
	}
}

func TestBoundsFailTheOperationAlike(t *testing.T) {
	big := make([]byte, app.ValueBytesMax)
	key := strings.Repeat("k", app.KeyBytesMax)
	many := func(tx *app.Tx, n int) {
		for i := range n {
			tx.PutUint64(fmt.Sprint(i), 1)
		}
	}
	const (
		longKey    = "a key has 513 bytes, at most 512 are possible"
		longValue  = "a value has 262145 bytes, at most 262144 are possible"
		longOutput = "an output has 262145 bytes, at most 262136 are possible"
		manyWrites = "more than 4096 writes and outputs in one operation"
	)
	tests := map[string]struct {
		f    func(tx *app.Tx)
		want string // text of the failure, or none
	}{
		"largest key":    {func(tx *app.Tx) { tx.Put(key, nil) }, ""},
		"long key":       {func(tx *app.Tx) { tx.Put(key+"k", nil) }, longKey},
		"delete long":    {func(tx *app.Tx) { tx.Delete(key + "k") }, longKey},
		"read long":      {func(tx *app.Tx) { tx.Get(key + "k") }, ""},
		"largest value":  {func(tx *app.Tx) { tx.Put("k", big) }, ""},
		"long value":     {func(tx *app.Tx) { tx.Put("k", append(big, 0)) }, longValue},
		"long output":    {func(tx *app.Tx) { tx.Emit(append(big, 0)) }, longOutput},
		"writes":         {func(tx *app.Tx) { many(tx, app.WritesMax) }, ""},
		"many writes":    {func(tx *app.Tx) { many(tx, app.WritesMax+1) }, manyWrites},
		"many outputs":   {func(tx *app.Tx) { many(tx, app.WritesMax); tx.Emit(nil) }, manyWrites},
		"same key again": {func(tx *app.Tx) { many(tx, app.WritesMax); many(tx, app.WritesMax) }, ""},
		"same value again": {func(tx *app.Tx) {
			for range 100 {
				tx.Put("k", big)
			}
		}, ""},
		"many bytes": {func(tx *app.Tx) {
			for i := range 4 {
				tx.Put(fmt.Sprint(i), big)
			}
		}, "more than 1048576 bytes written and emitted in one operation"},
		"no number": {func(tx *app.Tx) {
			tx.Put("k", []byte("x"))
			tx.Uint64("k")
		}, `the value of "k" has 1 bytes, a number has 8`},
		"no number, no ASCII": { // what is printable depends on the tables of Unicode that Go comes with
			func(tx *app.Tx) {
				tx.Put("ключ\xff", nil)
				tx.Uint64("ключ\xff")
			}, `the value of "\u043a\u043b\u044e\u0447\xff" has 0 bytes, a number has 8`,
		},
		"recovered": {func(tx *app.Tx) {
			defer func() { _ = recover() }()
			tx.Put("k", append(big, 0))
		}, longValue},
		"recovered and going on": {func(tx *app.Tx) {
			func() {
				defer func() { _ = recover() }()
				tx.Put("k", append(big, 0))
			}()
			tx.Put("k", nil)
		}, longValue},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			store := app.NewMemory()
			failure := do(t, store, test.f)
			got := ""
			if failure != nil {
				got = failure.Text
				if failure.Kind != app.FailureLimit {
					t.Errorf("got kind %d, want a limit", failure.Kind)
				}
				if store.Len() != 0 {
					t.Errorf("%d keys are left", store.Len())
				}
			}
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestReadOnlyOperationCannotWrite(t *testing.T) {
	store := app.NewMemory()
	do(t, store, func(tx *app.Tx) { tx.Put("k", []byte("v")) })
	before := store.Clone()
	for name, f := range map[string]function{
		"put":    func(tx *app.Tx) []byte { tx.Put("k", nil); return nil },
		"delete": func(tx *app.Tx) []byte { tx.Delete("none"); return nil },
		"emit":   func(tx *app.Tx) []byte { tx.Emit(nil); return nil },

		"put a long value":  func(tx *app.Tx) []byte { tx.Put("k", make([]byte, app.ValueBytesMax+1)); return nil },
		"put a long key":    func(tx *app.Tx) []byte { tx.Put(strings.Repeat("k", app.KeyBytesMax+1), nil); return nil },
		"delete a long key": func(tx *app.Tx) []byte { tx.Delete(strings.Repeat("k", app.KeyBytesMax+1)); return nil },
		"put a number":      func(tx *app.Tx) []byte { tx.PutUint64(strings.Repeat("k", app.KeyBytesMax+1), 1); return nil },
		"emit much":         func(tx *app.Tx) []byte { tx.Emit(make([]byte, app.OutputBytesMax+1)); return nil },
	} {
		tx := app.NewTx(store, nil, app.Context{}, true)
		_, failure, err := app.Run(f, tx, nil)
		if err != nil || failure == nil || failure.Kind != app.FailureReadOnly {
			t.Errorf("%s: got %v, %v, want a read-only failure", name, failure, err)
		}
		if !store.Equal(before) {
			t.Errorf("%s: the state changed", name)
		}
	}
	tx := app.NewTx(store, []byte("a"), app.Context{}, true)
	read := function(func(tx *app.Tx) []byte { v, _ := tx.Get("k"); return v })
	got, failure, err := app.Run(read, tx, nil)
	if err != nil || failure != nil || string(got) != "v" {
		t.Errorf("got %q, %v, %v, want v", got, failure, err)
	}
}

func TestReadOnlyNeedsAQuerier(t *testing.T) {
	never := executor(func(*app.Tx, []byte) []byte {
		t.Error("executed")
		return nil
	})
	_, failure, err := app.Run(never, app.NewTx(app.NewMemory(), nil, app.Context{}, true), nil)
	if err != nil || failure == nil || failure.Kind != app.FailureReadOnly {
		t.Errorf("got %v, %v, want a read-only failure", failure, err)
	}
}

func TestOperationAndResultAreCopies(t *testing.T) {
	buffer := []byte("result")
	spoiler := executor(func(_ *app.Tx, op []byte) []byte {
		clear(op)
		return buffer
	})
	op := []byte("op")
	got, _, err := app.Run(spoiler, app.NewTx(app.NewMemory(), nil, app.Context{}, false), op)
	clear(buffer)
	if err != nil || string(got) != "result" || string(op) != "op" {
		t.Errorf("got %q of %q, %v, want result of op", got, op, err)
	}
}

func TestTxServesOneOperation(t *testing.T) {
	store := app.NewMemory()
	var kept *app.Tx
	do(t, store, func(tx *app.Tx) { kept = tx })
	for name, use := range map[string]func(){
		"get": func() { kept.Get("k") }, "put": func() { kept.Put("k", nil) },
		"emit": func() { kept.Emit(nil) }, "scan": func() {
			for range kept.Scan("", "") {
				t.Error("a scan goes on")
			}
		},
	} {
		failure := do(t, store, func(*app.Tx) { use() })
		if failure == nil || failure.Kind != app.FailurePanic {
			t.Errorf("%s: got %v, want a panic", name, failure)
		}
	}
	if _, _, err := app.Run(executor(nil), kept, nil); err == nil {
		t.Error("a second operation ran on one transaction")
	}
}

func TestOutputsKeepTheirOrder(t *testing.T) {
	solo := app.NewSolo(executor(func(tx *app.Tx, op []byte) []byte {
		tx.Emit(op)
		op[0] = 'X'
		tx.Emit(op)
		if len(op) > 1 {
			crash("no output")
		}
		return nil
	}))
	for _, op := range []string{"1", "22", "3"} {
		if _, err := solo.Execute([]byte(op)); (len(op) > 1) != errors.Is(err, app.ErrRolledBack) {
			t.Errorf("%s: got %v", op, err)
		}
	}
	want := [][]byte{[]byte("1"), []byte("X"), []byte("3"), []byte("X")}
	if diff := cmp.Diff(solo.Outputs(), want); diff != "" {
		t.Errorf("(-got +want):\n%s", diff)
	}
}

func TestInspectReportsWhatItFinds(t *testing.T) {
	store := app.NewMemory()
	do(t, store, func(tx *app.Tx) { tx.PutUint64("n", 3) })
	wrong := errors.New("wrong")
	for name, test := range map[string]struct {
		read func(tx *app.Tx) error
		ok   bool
	}{
		"reads":  {func(tx *app.Tx) error { return fmt.Errorf("%d: %w", tx.Uint64("n"), wrong) }, false},
		"panics": {func(*app.Tx) error { crash("x"); return nil }, false},
		"writes": {func(tx *app.Tx) error { tx.Delete("n"); return nil }, false},
		"fine":   {func(*app.Tx) error { return nil }, true},
	} {
		err := app.Inspect(store, []byte("a"), test.read)
		if (err == nil) != test.ok || (name == "reads") != errors.Is(err, wrong) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if err := app.Inspect(&broken{}, nil, func(tx *app.Tx) error { tx.Get("k"); return nil }); !errors.Is(err, errDisk) {
		t.Errorf("got %v, want the storage's error", err)
	}
}
