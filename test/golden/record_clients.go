package golden

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/quorate/quorate/pbft/wire"
	"github.com/quorate/quorate/test/sim"
)

// submit brings a request of a client to a replica.
func (rec *recording) submit(s *sim.Step) {
	m, ok := s.Sealed.Message().(*wire.Request)
	if !ok {
		return
	}
	letter, session := rec.client(m)
	if letter == "" {
		rec.omit("requests of clients beyond the 26th")
		return
	}
	bytes := 0
	for _, op := range m.Ops {
		bytes += len(op)
	}
	name := fmt.Sprintf("%s%d", letter, m.Number)
	line := fmt.Sprintf("submit %s to=%d", name, s.Node)
	for _, option := range []struct {
		name    string
		n, none int
	}{
		{"session", session, 1}, {"acked", int(m.Acked), 0}, {"ops", len(m.Ops), 1}, //nolint:gosec // small
		{"size", max(0, bytes/max(1, len(m.Ops))-len(name)), 0},
	} {
		if option.n != option.none {
			line += fmt.Sprintf(" %s=%d", option.name, option.n)
		}
	}
	if m.ReadOnly {
		line += " read=yes"
	}
	rec.do("%s", line)
}

// client returns the letter of a client, and the rank of a session among those of
// all clients: that is what decides who is forgotten when there are too many.
func (rec *recording) client(m *wire.Request) (letter string, session int) {
	if len(rec.sessions) == 0 {
		rec.rank()
	}
	at, known := rec.sessions[m.Client]
	if !known || at >= 26 {
		return "", 0
	}
	return rec.letters[at], 1 + slices.Index(rec.drawn[m.Client], m.Session)
}

// rank finds all clients and sessions of the run.
func (rec *recording) rank() {
	var all []wire.Session
	for i := range rec.steps {
		m, ok := rec.request(i)
		if !ok {
			continue
		}
		key := m.Client
		if _, known := rec.sessions[key]; !known {
			rec.sessions[key] = len(rec.sessions)
		}
		if !slices.Contains(rec.drawn[key], m.Session) {
			rec.drawn[key] = append(rec.drawn[key], m.Session)
		}
		all = append(all, m.Session)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	for key := range rec.drawn {
		slices.Sort(rec.drawn[key])
		if rec.o.ClientsMax < len(rec.sessions) {
			rec.drawn[key] = all
		}
	}
	rec.rename()
}

// rename gives the clients letters so that the keys of both have the same order,
// for that decides too, between equal sessions.
func (rec *recording) rename() {
	for i := range min(26, len(rec.sessions)) {
		rec.letters = append(rec.letters, string(rune('a'+i)))
	}
	slices.SortFunc(rec.letters, func(a, b string) int {
		x, y := rec.w.client(a), rec.w.client(b)
		return cmp.Or(slices.Compare(x[:], y[:]), cmp.Compare(a, b))
	})
	keys := slices.SortedFunc(maps.Keys(rec.sessions), func(a, b wire.ClientID) int { return slices.Compare(a[:], b[:]) })
	for i, key := range keys {
		rec.sessions[key] = i
	}
}

func (rec *recording) request(i int) (*wire.Request, bool) {
	if rec.steps[i].Do != sim.StepSubmit {
		return nil, false
	}
	m, ok := rec.steps[i].Sealed.Message().(*wire.Request)
	return m, ok
}
