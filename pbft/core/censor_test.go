package core

import (
	"testing"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// TestBackupsThatAreKeptBehindSuspectACensor lets the primary keep two backups a little
// behind the third, which has left the view alone, or is left without proposals, and which it
// tells everything: it withholds its commits from the two until they have asked it for batches,
// and gives them just too few from then on. So they are behind at every tick, and catching up.
func TestBackupsThatAreKeptBehindSuspectACensor(t *testing.T) {
	for name, leaves := range map[string]bool{"left": true, "without proposals": false} {
		t.Run(name, func(t *testing.T) { censored(t, leaves) })
	}
}

// censored runs until the censor is left, and the client that it left out is answered.
func censored(t *testing.T, leaves bool) {
	t.Helper()
	k := newTrack(t, func(c *Config) { c.Interval, c.Window = 128, 256 })
	k.ask(8, 2, 0)
	k.run(50)
	if leaves {
		alone := Effects{}
		k.runners[3].r.leave(1, "the primary made it leave", &alone)
		for _, send := range alone.Send {
			k.send(3, send)
		}
	}
	victim := k.ask(1, 1, 1, 2, 3)[0]
	asked := map[wire.ReplicaID]bool{}
	k.delay = func(from, to wire.ReplicaID, m wire.Message) int {
		req, isRequest := m.(*wire.Request)
		withheld := m.Kind() == wire.KindCommit || m.Kind() == wire.KindCommitted
		asked[from] = asked[from] || to == 0 && m.Kind() == wire.KindFetchCommitted
		if isRequest && to == 0 && req.Client == victim.id || withheld && from == 0 && to < 3 ||
			!leaves && to == 3 && m.Kind() == wire.KindPrePrepare && from == 0 {
			return -1
		}
		return 1
	}
	for n := 0; n < 30*k.cfg.RequestTicks && k.view() < 2 && victim.answered == 0; n++ {
		k.feed(asked[1] && asked[2])
		k.run(1)
	}
	if at := k.runners[1].r.view; victim.answered == 0 || at != 1 {
		t.Errorf("the client got %d answers in %d ticks, in view %d, want one in view 1", victim.answered, k.tick, at)
	}
}

// TestNoRowOfClientsHidesACensor does so with a row of clients that ask one after the other,
// of which the primary serves one now and then: another one is it each time that has waited
// longest, and all of them for too long.
func TestNoRowOfClientsHidesACensor(t *testing.T) {
	const clients = 150
	k := newTrack(t, func(c *Config) { c.Interval, c.Window = 512, 1024 })
	k.ask(8, 2, 0)
	k.run(50)
	alone := Effects{}
	k.runners[3].r.leave(1, "the primary made it leave", &alone)
	for _, send := range alone.Send {
		k.send(3, send)
	}
	asked := map[wire.ReplicaID]bool{}
	k.delay = func(from, to wire.ReplicaID, m wire.Message) int {
		withheld := m.Kind() == wire.KindCommit || m.Kind() == wire.KindCommitted
		asked[from] = asked[from] || to == 0 && m.Kind() == wire.KindFetchCommitted
		if m.Kind() == wire.KindRequest && to == 0 || withheld && from == 0 && to < 3 {
			return -1
		}
		return 1
	}
	var row []*wire.Sealed
	for n := 0; n < 6*k.cfg.RequestTicks && k.runners[1].r.view == 0 && k.runners[2].r.view == 0; n++ {
		if n < clients {
			row = append(row, wire.Seal(tallySigner{100}, crypto.Domain{}, &wire.Request{
				Client: wire.ClientID{200, byte(n)}, Session: 1, Number: 1, Ops: [][]byte{{1}},
			}))
			for to := wire.ReplicaID(1); to < 3; to++ {
				k.due[k.tick+1] = append(k.due[k.tick+1], parcel{to: to, sealed: row[n], client: true})
			}
		}
		if i := (n - clients) / 3; n >= clients && n%3 == 0 && i < len(row) {
			k.runners[0].r.pool.add(row[i], row[i].Message().(*wire.Request), k.runners[0].r.tick) //nolint:errcheck,forcetypeassert // made so
		}
		k.feed(asked[1] && asked[2])
		k.run(1)
	}
	if most := 50 + 3*k.cfg.RequestTicks; k.tick > most {
		t.Errorf("the view was left in tick %d, want %d at most: %q", k.tick, most, k.left)
	}
}

// feed tells replica 3 what has committed; and, if the others shall go on, those as much as
// keeps them behind what replica 3 is known to have executed.
func (k *track) feed(goOn bool) {
	r0 := k.runners[0].r
	if r0.view != 0 || !r0.active {
		return
	}
	put := func(to wire.ReplicaID, m wire.Message) {
		sealed := wire.Seal(tallySigner{0}, crypto.Domain{}, m)
		k.due[k.tick+1] = append(k.due[k.tick+1], parcel{from: 0, to: to, sealed: sealed})
	}
	for seq := k.runners[3].r.executed + 1; seq <= r0.executed; seq++ {
		if m := r0.committedAt(seq); m != nil {
			put(3, m)
		}
	}
	if !goOn {
		return
	}
	for id := wire.ReplicaID(1); id <= 2; id++ {
		r := k.runners[id].r
		known := min(r.peers[0].executed, r.peers[3].executed)
		for seq := r.executed + 1; seq < known && seq <= r.executed+1+(known-r.executed)/10; seq++ {
			if s := r0.slots.at(seq); s != nil && s.proposal != nil {
				put(id, &wire.Commit{Vote: wire.Vote{View: 0, Seq: seq, Digest: s.proposal.Digest, Sender: 0}})
			}
		}
	}
}

// TestSuccessorsAreNotBlamedForWhatTheyCarryOver has the primary propose a whole window for a
// few clients to two backups, which prepare it, and let none of it commit: who leads next
// cannot order anything before all of that has executed.
func TestSuccessorsAreNotBlamedForWhatTheyCarryOver(t *testing.T) {
	k := newTrack(t, func(c *Config) { c.Interval, c.Window, c.BatchRequestsMax = 128, 256, 1 })
	k.ask(8, 1)
	k.run(50)
	k.ask(4, 60, 0)
	victim := k.ask(1, 1, 1, 2, 3)[0]
	k.runners[0].r.cfg.InFlight = int(k.cfg.Window) //nolint:gosec // small
	k.delay = func(from, to wire.ReplicaID, m wire.Message) int {
		kind := m.Kind()
		silent := k.runners[1].r.view > 0 || kind == wire.KindCommit || kind == wire.KindCommitted
		if from == 0 && (silent || to == 3 && kind == wire.KindPrePrepare) || to == 0 && kind == wire.KindRequest {
			return -1
		}
		return 1
	}
	k.run(2 * k.cfg.RequestTicks)
	carried := k.runners[1].r.carried()
	k.run(k.cfg.RequestTicks)
	if carried < k.cfg.Window/2 || victim.answered == 0 || k.foundSlow() > 0 {
		t.Errorf("%d numbers were carried over, and the client got %d answers in view %d; views left: %q",
			carried, victim.answered, k.view(), k.left)
	}
}

// TestSettledRequestsGoInOnePass has many clients wait for what executed under another
// digest, and as many others behind them. Beginning anew for each of the first took more
// than twenty seconds, within a tick.
func TestSettledRequestsGoInOnePass(t *testing.T) {
	const many = 20000
	p, table := newPool(), newClientTable(many, nil)
	for i := range 2 * many {
		req := &wire.Request{
			Client: wire.ClientID{byte(i), byte(i >> 8), byte(i >> 16)}, Session: 1, Number: 1, Ops: [][]byte{{1}}, //nolint:gosec // cut on purpose
		}
		p.add(wire.Reseal(req), req, uint64(i)) //nolint:gosec // not negative
		if i < many {
			table.take(req, nil)
		}
	}
	if line, since := p.longest(&table, 0); line == nil || since != many || len(p.byDigest) != many {
		t.Errorf("%d requests are left, and the one that waits longest does since tick %d, want %d for both", len(p.byDigest), since, many)
	}
}

// TestOldSessionIsNoProgressOfANewOne has a primary leave out what a client asks in its new
// session, and order again and again what it asked in its old one, which found no room in
// the table of clients and so is never settled, and which it passes on to the others before.
func TestOldSessionIsNoProgressOfANewOne(t *testing.T) {
	k := newTrack(t, func(c *Config) { c.ClientsMax = 4 })
	k.ask(4, 1)
	k.sound(50)
	id := wire.ClientID{200}
	ask := func(session wire.Session) *wire.Sealed {
		return wire.Seal(tallySigner{100}, crypto.Domain{}, &wire.Request{
			Client: id, Session: session, Number: 1, Ops: [][]byte{{byte(session)}},
		})
	}
	old, anew := ask(1), ask(2)
	for to := range wire.ReplicaID(4) {
		k.due[k.tick+1] = append(k.due[k.tick+1], parcel{to: to, sealed: anew, client: true})
	}
	k.tamper = func(r *Replica) {
		if one := r.pool.byDigest[anew.Digest()]; one != nil && r.id == 0 && r.view == 0 {
			one.proposed = true
		}
	}
	for n := 0; n < 10*k.cfg.RequestTicks && k.executed[id][1] < 3; n++ {
		if r0 := k.runners[0].r; n%5 == 2 && r0.pool.byDigest[old.Digest()] == nil {
			r0.pool.add(old, old.Message().(*wire.Request), r0.tick) //nolint:errcheck,forcetypeassert // made so
			for to := wire.ReplicaID(1); to < 4; to++ {
				k.due[k.tick+1] = append(k.due[k.tick+1], parcel{from: 0, to: to, sealed: old})
			}
		}
		k.run(1)
	}
	if k.executed[id][1] < 3 {
		t.Errorf("the new session still waits in tick %d; views left: %q", k.tick, k.left)
	}
}

// TestSessionOfTheFutureIsNoProgressOfTheOneThatWaits has a primary leave out what a client
// asks, and order again and again what it asked when its clock was an hour ahead.
func TestSessionOfTheFutureIsNoProgressOfTheOneThatWaits(t *testing.T) {
	k := newTrack(t, nil)
	k.ask(4, 1)
	k.sound(50)
	id := wire.ClientID{200}
	ask := func(session wire.Session) *wire.Sealed {
		return wire.Seal(tallySigner{100}, crypto.Domain{}, &wire.Request{
			Client: id, Session: session, Number: 1, Ops: [][]byte{{1}},
		})
	}
	far, anew := ask(wire.Session(k.now())+3600e9), ask(wire.Session(k.now()))
	for to := range wire.ReplicaID(4) {
		k.due[k.tick+1] = append(k.due[k.tick+1], parcel{to: to, sealed: anew, client: true})
	}
	k.tamper = func(r *Replica) {
		if one := r.pool.byDigest[anew.Digest()]; one != nil && r.id == 0 && r.view == 0 {
			one.proposed = true
		}
	}
	for n := 0; n < 10*k.cfg.RequestTicks && k.executed[id][1] < 3; n++ {
		if r0 := k.runners[0].r; n%5 == 2 && r0.pool.byDigest[far.Digest()] == nil {
			r0.pool.add(far, far.Message().(*wire.Request), r0.tick) //nolint:errcheck,forcetypeassert // made so
		}
		k.run(1)
	}
	if k.executed[id][1] < 3 {
		t.Errorf("the session still waits in tick %d; views left: %q", k.tick, k.left)
	}
}

// TestFullWindowsHideNoCensor has checkpoints come late, so that the window is full now and
// then, and the primary serve nobody but clients that ask once: they are passed over by
// none of them, and each full batch excuses it from being slow.
func TestFullWindowsHideNoCensor(t *testing.T) {
	k := newTrack(t, func(c *Config) { c.BatchRequestsMax = 1 })
	k.delay = func(_, _ wire.ReplicaID, m wire.Message) int {
		if m.Kind() == wire.KindCheckpoint {
			return 30
		}
		return 1
	}
	k.ask(8, 1)
	k.sound(50)
	k.tamper = func(r *Replica) {
		for _, a := range k.askers {
			if l := r.pool.lines[a.id]; r.id == 0 && r.view == 0 && l != nil {
				l.requests[0].proposed = true
			}
		}
	}
	for n := 0; n < 20*k.cfg.RequestTicks && k.leaves == 0; n++ {
		sealed := wire.Seal(tallySigner{100}, crypto.Domain{}, &wire.Request{
			Client: wire.ClientID{200, byte(n), byte(n >> 8)}, Session: 1, Number: 1, Ops: [][]byte{{1}}, //nolint:gosec // cut on purpose
		})
		k.due[k.tick+1] = append(k.due[k.tick+1], parcel{to: 0, sealed: sealed, client: true})
		k.run(1)
	}
	if paused := len(k.runners[1].r.change.pauses); k.leaves == 0 || paused == 0 {
		t.Errorf("in tick %d the primary still leads; the window was full %d times", k.tick, paused)
	}
	k.run(2 * k.cfg.RequestTicks)
	if k.run(2*k.cfg.RequestTicks) == 0 {
		t.Errorf("nobody is served in view %d", k.view())
	}
}

// TestPausesAreCounted holds rows of ticks against each tick alone.
func TestPausesAreCounted(t *testing.T) {
	var c changing
	full := map[uint64]bool{}
	for tick := uint64(1); tick <= 2000; tick++ {
		if full[tick] = tick%7 < 3 || tick%5 == 0; full[tick] {
			c.pause(tick)
		}
	}
	want, oldest := uint64(0), c.pauses[0].first
	for since := uint64(2000); since >= oldest; since-- {
		if got := c.paused(since); got != want {
			t.Fatalf("after tick %d: got %d ticks, want %d", since, got, want)
		}
		if full[since] {
			want++
		}
	}
	if len(c.pauses) != pausesMax {
		t.Errorf("got %d rows, want %d", len(c.pauses), pausesMax)
	}
}
