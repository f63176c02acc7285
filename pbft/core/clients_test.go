package core

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/quorate/quorate/pbft/wire"
)

// windowModel is a client's memory as one would write it with sets.
type windowModel struct {
	session wire.Session
	low     wire.Number
	done    map[wire.Number]bool
}

// execute says which operations of req run, and remembers them.
func (m *windowModel) execute(req *wire.Request) []bool {
	ran := make([]bool, len(req.Ops))
	if req.Session < m.session {
		return ran
	}
	if req.Session > m.session {
		*m = windowModel{req.Session, 0, map[wire.Number]bool{}}
	}
	m.low = max(m.low, min(req.Acked, req.Number-1))
	for i := range ran {
		n := req.Number + wire.Number(i)
		ran[i] = n > m.low && n <= m.low+ClientWindowMax && !m.done[n]
		m.done[n] = m.done[n] || ran[i]
	}
	return ran
}

func anyRequest(t *rapid.T, clients int) *wire.Request {
	number := wire.Number(rapid.IntRange(1, 700).Draw(t, "number"))
	if rapid.Bool().Draw(t, "near") {
		number = number%40 + 1
	}
	return &wire.Request{
		Client:  wire.ClientID{byte(rapid.IntRange(1, clients).Draw(t, "client"))},
		Session: wire.Session(rapid.IntRange(1, 3).Draw(t, "session")),
		Number:  number,
		Acked:   wire.Number(rapid.IntRange(0, int(number)+20).Draw(t, "acked")),
		Ops:     make([][]byte, rapid.IntRange(1, 4).Draw(t, "ops")),
	}
}

func TestOperationsExecuteOnceInAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table := newClientTable(10, nil)
		model := map[wire.ClientID]*windowModel{}
		for range rapid.IntRange(1, 60).Draw(t, "requests") {
			req := anyRequest(t, 3)
			if model[req.Client] == nil {
				model[req.Client] = &windowModel{done: map[wire.Number]bool{}}
			}
			settled, spent := table.settled(req), table.spent(req)
			known := table.clients[req.Client]
			within := req.Number+wire.Number(len(req.Ops))-1 <= min(req.Acked, req.Number-1)+ClientWindowMax
			current := known != nil && known.Session == req.Session
			var before []ClientState
			if settled {
				before = table.states(&wire.Batch{Requests: []*wire.Request{req}})
			}
			want := model[req.Client].execute(req)
			var got []bool
			for i, o := range table.take(req, nil) {
				got = append(got, o.Run)
				if o.Run != (o.Outcome == wire.OutcomeOK) || o.Index != i || o.Request != req {
					t.Fatalf("got %+v", o)
				}
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Fatalf("%d ops from %d, acked %d: (-want +got)\n%s", len(req.Ops), req.Number, req.Acked, d)
			}
			if settled && anyRan(got) {
				t.Fatalf("number %d was settled, and runs; before: %v", req.Number, before)
			}
			switch ran := anyRan(got); {
			case spent && ran:
				t.Fatalf("number %d was spent, and runs", req.Number)
			case current && !spent && !ran:
				t.Fatalf("number %d was not spent, and does not run", req.Number)
			case spent && !settled && within: // or what a correct client waits for could be forgotten
				t.Fatalf("number %d, acked %d, was spent before it was settled", req.Number, req.Acked)
			}
			checkWindow(t, &table, req.Client, model[req.Client])
		}
	})
}

func anyRan(ran []bool) bool {
	for _, r := range ran {
		if r {
			return true
		}
	}
	return false
}

func checkWindow(t *rapid.T, table *clientTable, client wire.ClientID, m *windowModel) {
	s := table.clients[client]
	if s.Session != m.session || s.Low != m.low {
		t.Fatalf("got session %d low %d, want %d, %d", s.Session, s.Low, m.session, m.low)
	}
	for n := wire.Number(1); n < m.low+ClientWindowMax+5; n++ {
		if want := n <= m.low || m.done[n]; s.done(n) != want {
			t.Fatalf("number %d above %d: got done %v, want %v", n, m.low, s.done(n), want)
		}
	}
	restored := newClientTable(10, table.states(&wire.Batch{Requests: []*wire.Request{{Client: client}}}))
	if d := cmp.Diff(*s, *restored.clients[client]); d != "" {
		t.Fatalf("a snapshot changes it: %s", d)
	}
}

func TestRaisingByAWindowOrMoreForgetsAll(t *testing.T) {
	for _, by := range []wire.Number{1, 63, 64, 65, 128, 255, 256, 257, 1 << 40, wire.NumberMax} {
		s := ClientState{}
		for n := wire.Number(1); n <= ClientWindowMax; n++ {
			s.mark(n)
		}
		s.raise(by)
		for n := by + 1; n <= by+ClientWindowMax; n++ {
			if want := n <= ClientWindowMax; s.done(n) != want {
				t.Fatalf("raised by %d: %d is done %v, want %v", by, n, s.done(n), want)
			}
		}
	}
}
