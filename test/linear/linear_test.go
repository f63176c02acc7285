package linear

import (
	"testing"
	"time"

	"github.com/quorate/quorate/app/kv"
)

func done(op kv.Op, call, ret time.Duration, result kv.Result) Operation {
	return Operation{Op: op, Call: call, Return: ret, Finished: true, Result: result}
}

// TestCheckTellsWhatNoOrderExplains has one history for each way to be wrong, and
// for each way to be right after all.
func TestCheckTellsWhatNoOrderExplains(t *testing.T) {
	put := func(v string) kv.Op { return kv.Op{Kind: kv.KindPut, Key: "k", Value: []byte(v)} }
	get := kv.Op{Kind: kv.KindGet, Key: "k"}
	wrote := kv.Result{Status: kv.StatusDone}
	saw := func(v string) kv.Result { return kv.Result{Status: kv.StatusFound, Value: []byte(v)} }
	none := kv.Result{Status: kv.StatusNotFound}
	for name, c := range map[string]struct {
		history []Operation
		key     string
	}{
		"in order":        {[]Operation{done(put("a"), 0, 1, wrote), done(get, 2, 3, saw("a"))}, ""},
		"a stale read":    {[]Operation{done(put("a"), 0, 1, wrote), done(get, 2, 3, none)}, "k"},
		"at once":         {[]Operation{done(put("a"), 0, 3, wrote), done(get, 1, 2, none)}, ""},
		"from nowhere":    {[]Operation{done(put("a"), 0, 1, wrote), done(get, 2, 3, saw("b"))}, "k"},
		"back again":      {[]Operation{done(put("a"), 0, 9, wrote), done(get, 1, 2, saw("a")), done(get, 3, 4, none)}, "k"},
		"never answered":  {[]Operation{{Op: put("a"), Call: 0}, done(get, 2, 3, saw("a"))}, ""},
		"and never there": {[]Operation{{Op: put("a"), Call: 0}, done(get, 2, 3, none)}, ""},
	} {
		if got := Check(t.Context(), c.history, time.Minute); got.Key != c.key || !got.Proven {
			t.Errorf("%s: got %+v, want the key %q", name, got, c.key)
		}
	}
}

// TestExplainedTakesOnlyOrdersThatFit has one order for each way to be wrong.
func TestExplainedTakesOnlyOrdersThatFit(t *testing.T) {
	put := func(v string) kv.Op { return kv.Op{Kind: kv.KindPut, Key: "k", Value: []byte(v)} }
	get := kv.Op{Kind: kv.KindGet, Key: "k"}
	wrote, none := kv.Result{Status: kv.StatusDone}, kv.Result{Status: kv.StatusNotFound}
	saw := kv.Result{Status: kv.StatusFound, Value: []byte("a")}
	history := []Operation{
		done(get, 0, 5, none), done(put("a"), 1, 4, wrote), done(get, 5, 9, saw), {Op: put("b"), Call: 2},
	}
	for name, c := range map[string]struct {
		order []int
		want  bool
	}{
		"fits":                        {[]int{0, 1, 2}, true},
		"fits, with the open one":     {[]int{0, 1, 2, 3}, true},
		"other results":               {[]int{1, 0, 2}, false},
		"other results by the open":   {[]int{0, 1, 3, 2}, false},
		"lacks one":                   {[]int{0, 1}, false},
		"has one twice":               {[]int{0, 1, 2, 2}, false},
		"returns before it is called": {[]int{0, 2, 1}, false},
	} {
		if got := Explained(history, c.order); got != c.want {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
	late := []Operation{done(get, 3, 4, none), done(get, 1, 2, none)}
	if Explained(late, []int{0, 1}) || !Explained(late, []int{1, 0}) {
		t.Error("of two equal reads the earlier one comes first")
	}
}

func TestCheckWithoutTimeProvesNothing(t *testing.T) {
	history := []Operation{{Op: kv.Op{Kind: kv.KindGet, Key: "k"}}}
	if got := Check(t.Context(), history, 0); got.Proven || got.Key != "" {
		t.Errorf("got %+v, want no proof", got)
	}
}
