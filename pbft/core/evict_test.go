package core

import (
	"testing"

	"github.com/quorate/quorate/pbft/wire"
)

func requestOf(client byte, session wire.Session, number wire.Number) *wire.Request {
	return &wire.Request{Client: wire.ClientID{client}, Session: session, Number: number, Ops: [][]byte{{1}}}
}

// outcomesOf executes a request and returns what happened to its operations.
func outcomesOf(t *clientTable, req *wire.Request) (ran bool, outcome wire.Outcome) {
	o := t.take(req, nil)[0]
	return o.Run, o.Outcome
}

func TestFullTableForgetsTheLowestSession(t *testing.T) {
	table := newClientTable(2, nil)
	for _, step := range []struct {
		why     string
		req     *wire.Request
		ran     bool
		outcome wire.Outcome
	}{
		{"first client", requestOf(1, 10, 1), true, wire.OutcomeOK},
		{"second client", requestOf(2, 20, 1), true, wire.OutcomeOK},
		{"the table is full of higher sessions", requestOf(3, 5, 1), false, wire.OutcomeNoRoom},
		{"a higher session takes the lowest one's place", requestOf(3, 30, 1), true, wire.OutcomeOK},
		{"who was forgotten executes nothing again", requestOf(1, 10, 1), false, wire.OutcomeSessionOld},
		{"nor anything of an older session", requestOf(1, 9, 1), false, wire.OutcomeSessionOld},
		{"but comes back with a new session", requestOf(1, 40, 1), true, wire.OutcomeOK},
		{"who stayed is remembered", requestOf(3, 30, 1), false, wire.OutcomeForgotten},
		{"the second was forgotten for the first", requestOf(2, 20, 2), false, wire.OutcomeSessionOld},
		{"no session from the future stays for ever", requestOf(4, sessionLead+1, 1), false, wire.OutcomeWindow},
	} {
		ran, outcome := outcomesOf(&table, step.req)
		if ran != step.ran || outcome != step.outcome {
			t.Errorf("%s: got ran %v, outcome %d, want %v, %d", step.why, ran, outcome, step.ran, step.outcome)
		}
	}
	if got := table.takeEvicted(); len(got) != 2 || got[0] != (wire.ClientID{1}) || got[1] != (wire.ClientID{2}) {
		t.Errorf("got evicted %v, want clients 1 and 2", got)
	}
	if len(table.clients) != 2 || len(table.order) != 2 || table.floor != 20 {
		t.Errorf("got %d clients, %d in order, floor %d, want 2, 2, 20", len(table.clients), len(table.order), table.floor)
	}
}

// TestSessionOfTheFutureMayRunLater: that something lies beyond the window is not the last
// word, and clients must not take it for one.
func TestSessionOfTheFutureMayRunLater(t *testing.T) {
	table := newClientTable(2, nil)
	req := requestOf(1, sessionLead+1, 1)
	if ran, outcome := outcomesOf(&table, req); ran || outcome != wire.OutcomeWindow {
		t.Errorf("before its time: got ran %v, outcome %d, want false, %d", ran, outcome, wire.OutcomeWindow)
	}
	table.latest++
	if ran, outcome := outcomesOf(&table, req); !ran || outcome != wire.OutcomeOK {
		t.Errorf("in its time: got ran %v, outcome %d, want true, %d", ran, outcome, wire.OutcomeOK)
	}
}
