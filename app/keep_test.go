package app_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/quorate/quorate/app"
)

// notebook is an application that keeps a map in memory. "KEY VALUE" sets a key, "panic"
// changes something and then panics, and "long" has a result that nobody takes.
type notebook struct{ pages map[string]string }

func newNotebook() app.Snapshotter { return &notebook{pages: map[string]string{}} }

func (n *notebook) Apply(ctx app.Context, op []byte) (result []byte, outputs [][]byte) {
	key, value, _ := strings.Cut(string(op), " ")
	if key == "panic" {
		n.pages["half"] = "done"
		panic("torn page") //nolint:forbidigo // it is what the test is about
	}
	old := n.pages[key]
	n.pages[key] = fmt.Sprintf("%s in %d at %d, %d by %x with %q",
		value, ctx.View, ctx.Seq, ctx.Time, ctx.Client[:2], ctx.Input)
	return fmt.Appendf(nil, "%d after %d", len(n.pages), len(old)), [][]byte{[]byte(key)}
}

func (n *notebook) Query(ctx app.Context, op []byte) []byte {
	return fmt.Append(nil, ctx.View, n.pages[string(op)])
}

func (n *notebook) Snapshot() []byte {
	var b []byte
	for _, key := range slices.Sorted(maps.Keys(n.pages)) {
		for _, part := range []string{key, n.pages[key]} {
			b = binary.BigEndian.AppendUint32(b, uint32(len(part))) //nolint:gosec // small
			b = append(b, part...)
		}
	}
	return b
}

func (n *notebook) Restore(b []byte) error {
	var parts []string
	for len(b) >= 4 {
		size := binary.BigEndian.Uint32(b)
		parts = append(parts, string(b[4:4+size]))
		b = b[4+size:]
	}
	if len(b) > 0 {
		return errors.New("a torn snapshot")
	}
	for pair := range slices.Chunk(parts, 2) {
		n.pages[pair[0]] = pair[1]
	}
	return nil
}

// desk is a state machine that Keep made, on a store, and what executes on it.
type desk struct {
	t       tester
	machine app.StateMachine
	store   *app.Memory
	ctx     app.Context
}

// tester is what a test and a check of rapid have in common.
type tester interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func newDesk(t tester) *desk {
	return &desk{t: t, machine: app.Keep(newNotebook), store: app.NewMemory()}
}

// attempt executes op, and commits it if that is wanted and nothing failed.
func (d *desk) attempt(op []byte, commit bool) string {
	d.t.Helper()
	tx := app.NewTx(d.store, nil, d.ctx, false)
	result, failure, err := app.Run(d.machine, tx, op)
	if err != nil {
		d.t.Fatal(err)
	}
	if failure != nil {
		return failure.Text
	}
	if commit {
		if err := tx.Commit(); err != nil {
			d.t.Fatal(err)
		}
	}
	return fmt.Sprintf("%s, told %q", result, tx.Outputs())
}

// next is what the n-th operation may know.
func next(n int) app.Context {
	ctx := app.Context{Seq: uint64(n), View: 7, Time: int64(1000 * n)} //nolint:gosec // small
	ctx.Client[0] = byte(n)
	if n%3 == 0 {
		ctx.Input = []byte{byte(n)}
	}
	return ctx
}

// TestAKeptApplicationIsAsIfItNeverStopped runs random operations twice: once without a
// break, and once in other views, with restarts, attempts that are rolled back, panics and
// reads in between. Results and the content of the state are the same, byte by byte, and the state
// does not grow beyond what snapshots and operations since take.
func TestAKeptApplicationIsAsIfItNeverStopped(t *testing.T) {
	snapshots := 0
	rapid.Check(t, func(t *rapid.T) {
		steady, shaken := newDesk(t), newDesk(t)
		key := rapid.StringMatching(`[a-e]`)
		size := rapid.SampledFrom([]int{1, 3000, 90_000, 300_000})
		for n := range rapid.IntRange(1, 60).Draw(t, "operations") {
			op := []byte(key.Draw(t, "key") + " " + strings.Repeat("x", size.Draw(t, "bytes")))
			steady.ctx, shaken.ctx = next(n+1), next(n+1)
			shaken.ctx.View += uint64(n % 2) //nolint:gosec // small
			switch rapid.IntRange(0, 5).Draw(t, "before it") {
			case 0:
				shaken.machine = app.Keep(newNotebook)
			case 1:
				shaken.attempt([]byte("f in vain"), false)
			case 2:
				if got := shaken.attempt([]byte("panic"), true); got != "the operation panicked and was rolled back" {
					t.Fatalf("got %q of a panic", got)
				}
			case 3:
				read := func(d *desk) string {
					result, _, _ := app.Run(d.machine, app.NewTx(d.store, nil, d.ctx, true), []byte("a"))
					return string(result)
				}
				if a, b := read(steady), read(shaken); a != b {
					t.Fatalf("a read gives %.60q, and %.60q without breaks", b, a)
				}
			}
			if a, b := steady.attempt(op, true), shaken.attempt(op, true); a != b {
				t.Fatalf("operation %d: got %.60q, and %.60q without breaks", n+1, b, a)
			}
			if !steady.store.Equal(shaken.store) {
				t.Fatalf("operation %d: the states differ", n+1)
			}
		}
		held, chunks := steady.held()
		snapshots += chunks
		if most := 12 << 20; held > most {
			t.Fatalf("the state holds %d bytes, want at most %d", held, most)
		}
	})
	if snapshots == 0 {
		t.Error("no run wrote a snapshot")
	}
}

// ledger is an application that keeps its operations, and writes them in JSON, which tells
// nil from what is empty.
type ledger struct{ Ops [][]byte }

func (l *ledger) Apply(_ app.Context, op []byte) (result []byte, outputs [][]byte) {
	l.Ops = append(l.Ops, bytes.Clone(op))
	return l.Snapshot(), nil
}

func (l *ledger) Snapshot() []byte {
	b, _ := json.Marshal(l) // it cannot fail
	return b
}

func (l *ledger) Restore(b []byte) error { return json.Unmarshal(b, l) }

// TestAnEmptyOperationIsAppliedAgainAsItWas: it comes to replicas as nil, and another one in
// a restored state would be another state.
func TestAnEmptyOperationIsAppliedAgainAsItWas(t *testing.T) {
	keep := func() app.StateMachine { return app.Keep(func() app.Snapshotter { return &ledger{} }) }
	steady, shaken := newDesk(t), newDesk(t)
	steady.machine = keep()
	for _, op := range [][]byte{nil, {}, []byte("a")} {
		shaken.machine = keep() // which restores what was before
		if a, b := steady.attempt(op, true), shaken.attempt(op, true); a != b {
			t.Errorf("%q: got %s, and %s without a break", op, b, a)
		}
	}
	want := `{"Ops":[null,null,"YQ==","YQ=="]}, told []`
	if got := shaken.attempt([]byte("a"), true); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestOneStateMachineServesSeveralStates holds that instances share nothing.
func TestOneStateMachineServesSeveralStates(t *testing.T) {
	one := newDesk(t)
	other := newDesk(t)
	other.machine = one.machine
	one.attempt([]byte("a 1"), true)
	if got, want := other.attempt([]byte("b 1"), true), `1 after 0, told ["b"]`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := one.attempt([]byte("c 1"), true), `2 after 0, told ["c"]`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// guarded is a notebook that validates, and has inputs.
type guarded struct{ notebook }

func (*guarded) Validate(op []byte) error {
	if len(op) == 0 {
		return errors.New("nothing to note")
	}
	return nil
}
func (*guarded) ProposeInput() ([]byte, error) { return []byte("drawn"), nil }
func (*guarded) CheckInput([]byte) error       { return nil }

// speechless is a Snapshotter without any optional power.
type speechless struct{ app.Snapshotter }

func TestKeepHasThePowersOfTheApplication(t *testing.T) {
	full := app.Keep(func() app.Snapshotter { return &guarded{notebook{map[string]string{}}} })
	if v, is := full.(app.Validator); !is || v.Validate(nil) == nil || v.Validate([]byte("a")) != nil {
		t.Error("the application validates, and the state machine does not as it does")
	}
	if p, is := full.(app.Proposer); !is {
		t.Error("the application has inputs, and the state machine has none")
	} else if input, err := p.ProposeInput(); string(input) != "drawn" || err != nil {
		t.Errorf("got input %q, %v, want that of the application", input, err)
	}
	plain := app.Keep(func() app.Snapshotter { return speechless{newNotebook()} })
	if _, is := plain.(app.Proposer); is || plain.(app.Validator).Validate(nil) != nil { //nolint:errcheck,forcetypeassert // it is one
		t.Error("the application has no optional powers, and the state machine has")
	}
	solo := app.NewSolo(plain)
	if _, err := solo.Query(nil); !errors.Is(err, app.ErrRolledBack) || !strings.Contains(err.Error(), "no read-only operations") {
		t.Errorf("a read: got %v, want that there are none", err)
	}
}

func TestKeepRefusesWhatItCannotKeep(t *testing.T) {
	solo := app.NewSolo(app.Keep(newNotebook))
	longest := append([]byte("a "), make([]byte, app.KeepOpBytesMax-2)...)
	if _, err := solo.Execute(longest); err != nil {
		t.Errorf("the longest operation: %v", err)
	}
	if _, err := solo.Execute(append(longest, 0)); !errors.Is(err, app.ErrRolledBack) {
		t.Errorf("a longer operation: got %v, want it rolled back", err)
	}
	got, err := solo.Execute([]byte("a")) // tells how long it was until then
	var pages, old int
	if _, scanErr := fmt.Sscanf(string(got), "%d after %d", &pages, &old); scanErr != nil || err != nil || old < app.KeepOpBytesMax-2 {
		t.Errorf("got %q, %v, want the length of what the longest operation noted", got, err)
	}
}

// TestATornSnapshotFailsEveryOperation has the state hold a snapshot that is none.
func TestATornSnapshotFailsEveryOperation(t *testing.T) {
	d := newDesk(t)
	for n := range 40 { // until there is a snapshot
		d.ctx = next(n + 1)
		d.attempt([]byte("a "+strings.Repeat("x", 200_000)), true)
	}
	var chunk []byte
	_ = d.store.Scan([]byte("snapshot/"), []byte("snapshot0"), func(key, _ []byte) bool {
		chunk = bytes.Clone(key)
		return true
	})
	if chunk == nil {
		t.Fatal("no snapshot was written")
	}
	if err := d.store.Put(chunk, []byte("xx")); err != nil {
		t.Fatal(err)
	}
	d.machine = app.Keep(newNotebook)
	for range 2 {
		if got := d.attempt([]byte("b 1"), true); got != "the operation panicked and was rolled back" {
			t.Errorf("got %q, want that it failed", got)
		}
	}
}

// An application that has its state in memory runs as it is.
func ExampleKeep() {
	solo := app.NewSolo(app.Keep(newNotebook))
	result, err := solo.Execute([]byte("title hello"))
	fmt.Printf("%s %v %s\n", result, err, solo.Outputs())
	// Output: 1 after 0 <nil> [title]
}

// unhashable is a store that is no key of a map.
type unhashable struct {
	*app.Memory
	_ []int
}

// TestKeepSurvivesAStoreThatItCannotTellApart holds that what fails once fails again, and
// hangs nobody.
func TestKeepSurvivesAStoreThatItCannotTellApart(t *testing.T) {
	machine := app.Keep(newNotebook)
	for range 2 {
		tx := app.NewTx(unhashable{Memory: app.NewMemory()}, nil, next(1), false)
		_, failure, err := app.Run(machine, tx, []byte("a 1"))
		if err != nil || failure == nil || !strings.Contains(failure.Detail, "unhashable") {
			t.Errorf("got %+v, %v, want that the store is unhashable", failure, err)
		}
	}
	d := newDesk(t)
	d.machine = machine
	if got, want := d.attempt([]byte("a 1"), true), `1 after 0, told ["a"]`; got != want {
		t.Errorf("another store: got %q, want %q", got, want)
	}
}

// TestOnlyWhatWasAppliedCostsARestore holds after which rollbacks an instance is restored.
func TestOnlyWhatWasAppliedCostsARestore(t *testing.T) {
	made := 0
	d := newDesk(t)
	d.machine = app.Keep(func() app.Snapshotter { made++; return newNotebook() })
	read := func() {
		if _, failure, err := app.Run(d.machine, app.NewTx(d.store, nil, d.ctx, true), []byte("a")); failure != nil || err != nil {
			t.Error(failure, err)
		}
	}
	for name, of := range map[string]struct {
		roll func()
		cost int
	}{
		"committed":          {func() { d.attempt([]byte("a 1"), true) }, 0},
		"refused by Keep":    {func() { d.attempt(make([]byte, app.KeepOpBytesMax+1), true) }, 0},
		"a read":             {read, 0},
		"refused afterwards": {func() { d.attempt([]byte("a 1"), false) }, 1},
		"panicked":           {func() { d.attempt([]byte("panic"), true) }, 1},
	} {
		d.attempt([]byte("a 0"), true)
		before := made
		of.roll()
		d.attempt([]byte("b 1"), true)
		if got := made - before; got != of.cost {
			t.Errorf("%s: got %d instances restored, want %d", name, got, of.cost)
		}
	}
}
