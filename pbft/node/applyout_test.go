package node_test

import (
	"fmt"
	"testing"

	"github.com/quorate/quorate/app"
	"github.com/quorate/quorate/pbft/node"
	"github.com/quorate/quorate/pbft/wire"
)

// herald emits one output as long as the operation says, so many times, and then fails if
// it says that.
type herald struct{}

func (herald) Execute(tx *app.Tx, op []byte) []byte {
	var times, bytes int
	var then string
	_, _ = fmt.Sscanf(string(op), "%d %d %s", &times, &bytes, &then)
	for range times {
		tx.Emit(make([]byte, bytes))
	}
	if then == "fail" {
		tx.Put(string(make([]byte, app.KeyBytesMax+1)), nil)
	}
	return nil
}

// heralds returns an Applier on state that has applied ops, each in a batch of its own.
func heralds(t *testing.T, state *memoryState, ops ...string) *node.Applier {
	t.Helper()
	a, c := node.NewApplier(state, herald{}, applyDomain(), resultBytesMax), newFakeCore(t)
	if _, err := a.Load(); err != nil {
		t.Fatal(err)
	}
	for i, op := range ops {
		applyBatch(t, a, c.batch(requestOf(1, 1, wire.Number(i+1), op))) //nolint:gosec // not negative
	}
	return a
}

// told returns what a is asked for from number from on, in brief.
func told(t *testing.T, a *node.Applier, from uint64) string {
	t.Helper()
	m, err := a.Outputs(from)
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("%d of %d to %d:", len(m.Emitted), m.Kept, m.Next-1)
	for _, e := range m.Emitted {
		if text += fmt.Sprintf(" %d@%d", len(e.Payload), e.Seq); len(text) > 60 {
			return text + " ..."
		}
	}
	return text
}

func TestOutputsAreKeptInTheState(t *testing.T) {
	state := &memoryState{}
	a := heralds(t, state, "1 3", "0 0", "2 0 fail", "2 5", "1 7")
	for from, want := range map[uint64]string{
		1: "4 of 1 to 4: 3@1 5@4 5@4 7@5", 3: "2 of 1 to 4: 5@4 7@5", 4: "1 of 1 to 4: 7@5", 5: "0 of 1 to 4:", 1 << 40: "0 of 1 to 4:",
	} {
		if got := told(t, a, from); got != want {
			t.Errorf("from %d: got %q, want %q", from, got, want)
		}
	}
	state.last = 5
	b := node.NewApplier(state, herald{}, applyDomain(), resultBytesMax)
	if _, err := b.Load(); err != nil {
		t.Fatal(err)
	}
	if got, want := told(t, b, 2), "3 of 1 to 4: 5@4 5@4 7@5"; got != want {
		t.Errorf("after a start: got %q, want %q", got, want)
	}
}

func TestNoOutputsAreNone(t *testing.T) {
	if got, want := told(t, heralds(t, &memoryState{}), 1), "0 of 1 to 0:"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAnAnswerAboutOutputsIsBounded(t *testing.T) {
	lim := wire.DefaultLimits(4)
	for op, want := range map[string]string{
		"300 1":    "256 of 1 to 300: 1@1 1@1 1@1 1@1 1@1 1@1 1@1 1@1 1@1 1@1 1@1 1@1 ...",
		"4 30000":  "2 of 1 to 4: 30000@1 30000@1",
		"2 65536":  "1 of 1 to 2: 65536@1",
		"2 262136": "1 of 1 to 2: 262136@1",
	} {
		a := heralds(t, &memoryState{}, op)
		if got := told(t, a, 1); got != want {
			t.Errorf("%s: got %q, want %q", op, got, want)
		}
		m, err := a.Outputs(1)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := wire.Decode(wire.Encode(&m), &lim); err != nil {
			t.Errorf("%s: %v", op, err)
		}
	}
}

// TestOldOutputsGo emits more than is kept, in number and in bytes.
func TestOldOutputsGo(t *testing.T) {
	var many, long []string
	for range 17 {
		many = append(many, "4096 1")
	}
	for range 65 {
		long = append(long, "4 262136")
	}
	for name, test := range map[string]struct {
		ops  []string
		want string
	}{
		"many": {many, "0 of 4097 to 69632:"},
		"long": {long, "0 of 5 to 260:"},
	} {
		state := &memoryState{}
		a := heralds(t, state, test.ops...)
		if got := told(t, a, 1); got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
		m, err := a.Outputs(1 << 30)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := state.keys("o"), int(m.Next-m.Kept); got != want { //nolint:gosec // small
			t.Errorf("%s: the state holds %d outputs, want the %d that are kept", name, got, want)
		}
		if got := told(t, a, m.Kept); got[:2] == "0 " {
			t.Errorf("%s: got %q, want what is kept", name, got)
		}
	}
}

func TestTheBoundOfAnOutputIsThatOfTheWire(t *testing.T) {
	if app.OutputBytesMax != wire.OutputBytesMax {
		t.Errorf("an application may emit %d bytes, a message has room for %d", app.OutputBytesMax, wire.OutputBytesMax)
	}
}
