package app_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/quorate/quorate/app"
)

// raffle draws a winner among the guests by the input of the batch.
type raffle struct{ draw func() ([]byte, error) }

func (raffle) Execute(tx *app.Tx, op []byte) []byte {
	if seed := tx.Input(); string(op) == "draw" {
		return []byte{'a' + seed[0]%3}
	}
	return nil
}

func (r raffle) ProposeInput() ([]byte, error) { return r.draw() }

// CheckInput can see that a number was drawn, but not whether it was drawn fairly.
func (raffle) CheckInput(input []byte) error {
	if len(input) != 1 {
		return fmt.Errorf("want one byte, got %d", len(input))
	}
	return nil
}

// A state machine draws no random number: its primary proposes one, and all use it.
func ExampleProposer() {
	solo := app.NewSolo(raffle{func() ([]byte, error) { return []byte{4}, nil }}) // a real one reads crypto/rand
	winner, err := solo.Execute([]byte("draw"))
	fmt.Println(string(winner), err)
	// Output: b <nil>
}

func TestSoloAsksTheProposer(t *testing.T) {
	solo := app.NewSolo(raffle{func() ([]byte, error) { return []byte{0}, nil }})
	solo.Input = []byte{2}
	if got, err := solo.Execute([]byte("draw")); string(got) != "c" || err != nil {
		t.Errorf("with an input that the test sets: got %q, %v, want c", got, err)
	}
	solo.Input = []byte{1, 2}
	if _, err := solo.Execute([]byte("draw")); err == nil {
		t.Error("with an unfit input: got no error")
	}
	broken := errors.New("no dice")
	solo = app.NewSolo(raffle{func() ([]byte, error) { return nil, broken }})
	if _, err := solo.Execute([]byte("draw")); !errors.Is(err, broken) {
		t.Errorf("without an input: got %v, want %v", err, broken)
	}
}

// echoing is a state machine whose input is given, and whose results tell what came of it.
type echoing struct{ input []byte }

func (echoing) Execute(tx *app.Tx, _ []byte) []byte {
	return fmt.Appendf(nil, "%d bytes, nil %t", len(tx.Input()), tx.Input() == nil)
}

func (e echoing) Query(tx *app.Tx, op []byte) []byte { return e.Execute(tx, op) }

func (e echoing) ProposeInput() ([]byte, error) { return e.input, nil }

func (echoing) CheckInput(input []byte) error {
	if input != nil && len(input) == 0 {
		return errors.New("empty, and not nil")
	}
	return nil
}

// TestSoloTakesInputsAsReplicasDo has one proposed, and then set by a test.
func TestSoloTakesInputsAsReplicasDo(t *testing.T) {
	for _, c := range []struct {
		bytes int
		want  string
	}{
		{0, "0 bytes, nil true"},
		{1, "1 bytes, nil false"},
		{app.InputBytesMax, "65536 bytes, nil false"},
		{app.InputBytesMax + 1, "app: the input has 65537 bytes, at most 65536 are possible"},
	} {
		for _, set := range []bool{false, true} {
			solo := app.NewSolo(echoing{make([]byte, c.bytes)})
			if set {
				solo = app.NewSolo(echoing{[]byte("another")})
				solo.Input = make([]byte, c.bytes)
			}
			result, err := solo.Execute(nil)
			got := string(result)
			if err != nil {
				got = err.Error()
			}
			if got != c.want {
				t.Errorf("an input of %d bytes, set %t: got %q, want %q", c.bytes, set, got, c.want)
			}
		}
	}
	solo := app.NewSolo(visits{})
	solo.Input = []byte{1}
	if _, err := solo.Execute(nil); err == nil {
		t.Error("a state machine that proposes none took an input")
	}
}

// TestReadsHaveNoInput asks what replicas ask in the order, and Solo, which proposes none for it.
func TestReadsHaveNoInput(t *testing.T) {
	tx := app.NewTx(app.NewMemory(), nil, app.Context{Input: []byte("agreed")}, true)
	if got, failure, err := app.Run(echoing{}, tx, nil); failure != nil || err != nil || string(got) != "0 bytes, nil true" {
		t.Errorf("got %q, %v, %v, want none", got, failure, err)
	}
	solo := app.NewSolo(echoing{make([]byte, app.InputBytesMax+1)}) // which is refused where it is asked for
	solo.Input = []byte("set")
	for range 2 {
		if got, err := solo.Query(nil); err != nil || string(got) != "0 bytes, nil true" {
			t.Errorf("got %q, %v, want none", got, err)
		}
		solo.Input = nil
	}
}

func TestAnOperationCannotChangeTheInput(t *testing.T) {
	input := []byte("agreed")
	tx := app.NewTx(app.NewMemory(), nil, app.Context{Input: input}, false)
	_, failure, err := app.Run(function(func(tx *app.Tx) []byte { tx.Input()[0] = 'x'; return nil }), tx, nil)
	if failure != nil || err != nil {
		t.Fatal(failure, err)
	}
	if got := string(tx.Input()); got != "agreed" || string(input) != "agreed" {
		t.Errorf("got %q and %q, want what was agreed", got, input)
	}
}
