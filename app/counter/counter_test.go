package counter_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/quorate/quorate/app"
	"github.com/quorate/quorate/app/counter"
)

func TestCounterAddsExactlyWhatIsAsked(t *testing.T) {
	solo := app.NewSolo(counter.Machine{})
	for _, step := range []struct {
		op   string
		want uint64
	}{
		{"get", 0},
		{"add", 1},
		{"add 41", 42},
		{"get", 42},
		{"add 007", 49},
		{"add", 50},
		{"add 18446744073709551565", 18446744073709551615},
		{"get", 18446744073709551615},
	} {
		result, err := solo.Execute([]byte(step.op))
		if err != nil {
			t.Fatalf("%s: %v", step.op, err)
		}
		if got, err := counter.ParseResult(result); err != nil || got != step.want {
			t.Errorf("%s: got %d, %v, want %d", step.op, got, err, step.want)
		}
	}
	result, err := solo.Execute([]byte("add"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := counter.ParseResult(result); err == nil {
		t.Errorf("got %d, want an overflow", got)
	}
	if got, err := solo.Query([]byte("get")); err != nil || string(got) != "18446744073709551615" {
		t.Errorf("got %s, %v, want the largest number still", got, err)
	}
}

func TestNonsenseIsRefusedAndChangesNothing(t *testing.T) {
	m := counter.Machine{}
	for _, op := range []string{
		"", "Add", "add ", "add 0", "add -1", "add +1", "add 1.5", "add 18446744073709551616", "get 1", "5", "add\n",
		"add  1", strings.Repeat("x", 10000),
	} {
		if err := m.Validate([]byte(op)); err == nil || len(err.Error()) > 300 {
			t.Errorf("%.20q: got %v, want a short refusal", op, err)
		}
		store := app.NewMemory()
		tx := app.NewTx(store, nil, app.Context{}, false)
		result, failure, err := app.Run(m, tx, []byte(op))
		if err != nil || failure != nil || tx.Commit() != nil || store.Len() != 0 {
			t.Errorf("%.20q: got %v, %v, want a result and no change", op, failure, err)
		}
		if _, err := counter.ParseResult(result); err == nil {
			t.Errorf("%.20q: got %s, want an error", op, result)
		}
	}
	if _, err := counter.ParseResult([]byte("x")); err == nil {
		t.Error("x was taken for a result")
	}
}

func TestAddingIsNoRead(t *testing.T) {
	solo := app.NewSolo(counter.Machine{})
	if got, err := solo.Query([]byte("add")); !errors.Is(err, app.ErrRolledBack) {
		t.Errorf("got %s, %v, want it rolled back", got, err)
	}
}

func Example() {
	solo := app.NewSolo(counter.Machine{})
	for _, op := range []string{"add", "add 41", "get"} {
		result, err := solo.Execute([]byte(op))
		fmt.Println(string(result), err)
	}
	// Output:
	// 1 <nil>
	// 42 <nil>
	// 42 <nil>
}
