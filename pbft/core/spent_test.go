package core

import (
	"testing"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// atTheEdge returns a request for the last two numbers of a client's first window, and for
// so many beyond it.
func atTheEdge(client byte, beyond int) *wire.Request {
	return &wire.Request{
		Client: wire.ClientID{client}, Session: 1, Number: ClientWindowMax - 1, Ops: make([][]byte, 2+beyond),
	}
}

// TestClientDeposesNobodyByWhatCanRunNoMore asks the primary for the end of a window, and then
// the backups, before they have executed that, for the same and more. The primary has executed
// it when they pass theirs on, and refuses that rightly: so they may not wait for it.
func TestClientDeposesNobodyByWhatCanRunNoMore(t *testing.T) {
	k := newTrack(t, nil)
	late := 0
	k.delay = func(_, _ wire.ReplicaID, m wire.Message) int {
		q, is := m.(*wire.Request)
		if !is {
			return 1
		}
		if q.Client[0] == 200 && k.tick > 50+10 {
			late++
		}
		return 4 // behind the votes
	}
	k.ask(4, 1)
	k.sound(50)
	put := func(in int, req *wire.Request, to ...wire.ReplicaID) {
		sealed := wire.Seal(tallySigner{100}, crypto.Domain{}, req)
		for _, to := range to {
			k.due[k.tick+in] = append(k.due[k.tick+in], parcel{to: to, sealed: sealed, client: true})
		}
	}
	put(1, atTheEdge(200, 0), 0)
	put(2, atTheEdge(200, 2), 1, 2, 3)
	k.run(2)
	for id := range wire.ReplicaID(3) {
		if p := &k.runners[id+1].r.pool; p.lines[wire.ClientID{200}] == nil {
			t.Fatalf("replica %d does not wait for the request: the test shows nothing", id+1)
		}
	}
	k.sound(4 * k.cfg.RequestTicks)
	if k.executed[wire.ClientID{200}][ClientWindowMax] != 4 {
		t.Errorf("number %d executed at %d replicas, want 4", ClientWindowMax, k.executed[wire.ClientID{200}][ClientWindowMax])
	}
	if late > 0 {
		t.Errorf("it was passed on %d times after it could run no more", late)
	}
}

// TestSpentRequestsAreForgotten has requests wait of which nothing can run any more, in front of
// others and behind them: they take no turn, nobody waits for them, and they are passed on to
// nobody.
func TestSpentRequestsAreForgotten(t *testing.T) {
	table := newClientTable(10, nil)
	fill := func() *pool {
		p := newPool()
		for i, req := range []*wire.Request{
			atTheEdge(1, 1), requestOf(1, 1, 5), requestOf(1, 1, 6), atTheEdge(1, 2), atTheEdge(2, 1),
		} {
			p.add(wire.Reseal(req), req, uint64(i)) //nolint:gosec // small
		}
		return &p
	}
	for client := range byte(2) {
		table.take(atTheEdge(client+1, 0), nil)
	}
	p := fill()
	if got := p.heads(&table); len(got) != 1 || got[0].req.Number != 5 {
		t.Errorf("got %d requests as the first of their clients, want number 5 of client 1", len(got))
	}
	if got := p.followers(&table); len(got) != 1 || got[0].req.Number != 6 {
		t.Errorf("got %d requests behind the first of their clients, want number 6 of client 1", len(got))
	}
	p = fill()
	if line, since := p.longest(&table, 0); line == nil || line.client != (wire.ClientID{1}) || since != 1 {
		t.Errorf("somebody waits: %v, since %d; want client 1 since 1", line != nil, since)
	}
	p = fill()
	if got := p.take(&Config{BatchRequestsMax: 9, BatchBytesMax: 1 << 20}, &table); len(got) != 2 {
		t.Errorf("got a batch of %d requests, want numbers 5 and 6", len(got))
	}
	if len(p.byDigest) != 2 || p.lines[wire.ClientID{2}] != nil {
		t.Errorf("got %d requests left, want the two of the batch", len(p.byDigest))
	}
}

// TestSpentRequestIsRefused: a client that repeats what waits, and can run no more, has it
// passed on no more.
func TestSpentRequestIsRefused(t *testing.T) {
	k := newTrack(t, nil)
	r := k.runners[1].r
	sealed := wire.Reseal(atTheEdge(1, 1))
	for _, want := range []struct{ sent, refused int }{{1, 0}, {0, 1}} {
		var fx Effects
		r.Step(Submitted{sealed}, &fx)
		if len(fx.Send) != want.sent || len(fx.Refuse) != want.refused {
			t.Errorf("got %d sent and %d refusals, want %+v", len(fx.Send), len(fx.Refuse), want)
		}
		r.clients.take(atTheEdge(1, 0), nil)
	}
}
