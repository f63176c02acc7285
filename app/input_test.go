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
