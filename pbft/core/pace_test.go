package core

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// holdBack delays the pre-prepares of R0 by what wait returns.
func (k *track) holdBack(wait func(wire.Seq) int) {
	k.delay = func(from, _ wire.ReplicaID, m wire.Message) int {
		if pp, ok := m.(*wire.PrePrepare); ok && from == 0 {
			return 1 + wait(pp.Seq)
		}
		return 1
	}
}

// demoted runs until view 1 is left for, and returns how many ticks that took.
func (k *track) demoted(most int) int {
	for n := range most {
		k.run(1)
		if k.view() > 0 {
			return n
		}
	}
	k.t.Fatalf("the primary still leads after %d ticks", most)
	return 0
}

// became tells whether a rule of pace, whose reason contains why, was the first.
func (k *track) became(why string) {
	k.t.Helper()
	if len(k.left) == 0 || !strings.Contains(k.left[0], why) {
		k.t.Errorf("got reasons %q, want the first to say %q", k.left, why)
	}
}

// TestAlmostTimeoutPrimaryIsDemoted is Aardvark's attack: everything is delayed
// to just below the request timeout.
func TestAlmostTimeoutPrimaryIsDemoted(t *testing.T) {
	for clients, percent := range map[int]int{1: 90, 20: 40} { // many clients also wait for each other
		good := newTrack(t, nil)
		good.ask(clients, 1)
		faultless := good.run(1000)
		k := newTrack(t, nil)
		k.ask(clients, 1)
		k.holdBack(func(wire.Seq) int { return percent * k.cfg.RequestTicks / 100 })
		slow := k.run(200)
		took := k.demoted(4 * k.cfg.RequestTicks)
		reached := k.runners[1].r.executed
		k.run(200)
		after := k.run(1000)
		t.Logf("%d clients, operations in 1000 ticks: %d without faults, %d under the slow primary, %d after it; "+
			"demoted after %d ticks at number %d", clients, faultless, 5*slow, after, 200+took, reached)
		k.became("is slow")
		if after < faultless/2 || reached > 3*k.cfg.Interval || k.view() != 1 {
			t.Errorf("got %d operations after number %d in view %d, want %d at least, before %d, in view 1",
				after, reached, k.view(), faultless/2, 3*k.cfg.Interval)
		}
	}
}

// TestRampingPrimaryIsDemoted delays by one tick more with every fifth number.
func TestRampingPrimaryIsDemoted(t *testing.T) {
	good := newTrack(t, nil)
	good.ask(5, 1)
	faultless := good.run(500)
	k := newTrack(t, nil)
	k.ask(5, 1)
	held := 0
	k.holdBack(func(seq wire.Seq) int {
		held = min(int(seq/5), 9*k.cfg.RequestTicks/10)
		return held
	})
	k.demoted(60 * k.cfg.RequestTicks)
	k.became("is slow")
	if held > k.cfg.RequestTicks/3 {
		t.Errorf("it had come to a delay of %d ticks, want at most a third of the request timeout", held)
	}
	k.run(200)
	if after := k.run(500); after < faultless/2 {
		t.Errorf("got %d operations after it, want half of %d at least", after, faultless)
	}
}

// Who delays every other batch only is slow for most of the time all the same.
func TestPrimaryThatIsSlowMostOfTheTimeIsDemoted(t *testing.T) {
	k := newTrack(t, nil)
	k.ask(3, 1)
	k.holdBack(func(seq wire.Seq) int { return 70 * int(seq%2) })
	k.demoted(10 * k.cfg.RequestTicks)
	k.became("is slow")
}

// A batch of what was executed before is no progress.
func TestDuplicatesAreNoProgress(t *testing.T) {
	k := newTrack(t, nil)
	k.ask(1, 1)
	k.run(20)
	r := k.runners[3].r
	again := []Order{{Request: requestOf(9, 1, 1), Run: false, Outcome: wire.OutcomeForgotten}}
	r.pool.lines[wire.ClientID{9}] = &line{client: wire.ClientID{9}, served: 3}
	for range r.cfg.BatchRequestsMax {
		again = append(again, again[0])
	}
	r.pace.worked, r.pace.full = false, 0
	r.keepPace(nil, again)
	if r.pool.lines[wire.ClientID{9}].served != 3 || r.pace.worked || r.pace.full != 0 {
		t.Error("a batch of duplicates counts as progress, or excuses")
	}
	again[0].Run = true
	r.keepPace(nil, again[:1])
	if r.pool.lines[wire.ClientID{9}].served != r.tick || !r.pace.worked {
		t.Error("an operation that ran does not count as progress")
	}
}

// Under load a backup passes a request on once: the primary is not left because that was lost.
func TestPrimaryPassesOverNobodyOfWhomItNeverHeard(t *testing.T) {
	k := newTrack(t, func(c *Config) { c.BatchRequestsMax = 4 })
	k.ask(8, 8, 0)
	k.run(50)
	one, lost := k.ask(1, 1, 1)[0], 0
	k.delay = func(from, to wire.ReplicaID, m wire.Message) int {
		if req, ok := m.(*wire.Request); ok && from == 1 && to == 0 && req.Client == one.id && lost == 0 {
			lost++
			return -1
		}
		return 1
	}
	k.run(200)
	if lost == 0 || one.answered == 0 || k.leaves > 0 {
		t.Errorf("lost %d, answered %d, left %q; want answers in view 0", lost, one.answered, k.left)
	}
}

// What a backup executes at once, after it was cut off, passes over nobody.
func TestReplicaThatWasCutOffBlamesNobody(t *testing.T) {
	for _, ticks := range []int{15, 25, 35, 45, 60} {
		k := newTrack(t, func(c *Config) { c.BatchRequestsMax = 16 })
		k.ask(8, 8, 0)
		k.run(50)
		off := true
		k.delay = func(from, to wire.ReplicaID, _ wire.Message) int {
			if off && (from == 1) != (to == 1) {
				return -1
			}
			return 1
		}
		one := k.ask(1, 1, 1)[0]
		k.run(ticks)
		off = false
		k.run(150)
		if one.answered == 0 || k.leaves > 0 {
			t.Errorf("cut off for %d ticks: answered %d, left %q; want answers in view 0", ticks, one.answered, k.left)
		}
	}
}

// Batches of duplicates pass over who waits, as others do, whosever they are.
func TestDuplicatesPassOverWhoWaits(t *testing.T) {
	k := newTrack(t, nil)
	k.ask(1, 1)
	k.run(20)
	r := k.runners[3].r
	waits := wire.ClientID{9}
	again := []Order{
		{Request: requestOf(8, 1, 1), Run: false, Outcome: wire.OutcomeForgotten},
		{Request: requestOf(9, 1, 1), Run: false, Outcome: wire.OutcomeForgotten},
	}
	for range 2*r.cfg.InFlight + 3 {
		if r.watchTurns(waits, true) {
			t.Fatalf("passed over after %d batches, want %d", r.pace.most, 2*r.cfg.InFlight+3)
		}
		r.executed++
		r.keepPace(nil, again)
	}
	if got := len(r.pace.turns); got != 2 || !r.watchTurns(waits, true) {
		t.Errorf("after %d batches of duplicates of %d clients it is not passed over", r.pace.most, got)
	}
	if r.served(requestOf(9, 1, 1)); r.watchTurns(waits, true) {
		t.Error("it is passed over although it has had its turn")
	}
}

// withhold makes R0 leave a client out of its batches until its oldest request has
// waited for so many ticks. It returns the turns of others that a backup counts.
func (k *track) withhold(client wire.ClientID, ticks uint64) *int {
	turns := new(int)
	k.tamper = func(r *Replica) {
		*turns = max(*turns, r.Sizes().Turns.Entries)
		l := r.pool.lines[client]
		if r.id != 0 || r.view > 0 || l == nil {
			return
		}
		for _, one := range l.requests {
			if _, placed := r.placed[one.digest]; !placed {
				one.proposed = r.tick-one.since < ticks
			}
		}
	}
	return turns
}

// TestClientIsNotServedLastForEver censors by order: a client waits to just below
// the timeout while full batches serve the others.
func TestClientIsNotServedLastForEver(t *testing.T) {
	for _, others := range []int{4, 40} {
		k := newTrack(t, func(c *Config) { c.BatchRequestsMax = 4 })
		victim := k.ask(1, 1)[0]
		k.ask(others, 1)
		turns := k.withhold(victim.id, 95)
		k.demoted(400)
		k.became("passes over")
		waited := victim.slowest
		k.run(400)
		if waited >= 80 || victim.answered < 10 || k.view() != 1 {
			t.Errorf("%d others: it waited for %d ticks, and got %d answers in the end, in view %d", others, waited, victim.answered, k.view())
		}
		if *turns != others {
			t.Errorf("got the turns of %d clients counted, want %d", *turns, others)
		}
	}
}

// TestClientWithoutRoomDeposesNobody: what it asks is ordered in turn, and told that
// the table of clients is full; that nothing of it runs is not held against the primary.
func TestClientWithoutRoomDeposesNobody(t *testing.T) {
	k := newTrack(t, func(c *Config) { c.ClientsMax, c.BatchRequestsMax, c.InFlight = 4, 1, 1 })
	k.ask(4, 1)
	k.sound(50)
	k.ask(1, 60)
	k.sound(1500)
	if waiting := len(k.runners[1].r.pool.lines); waiting > 4 {
		t.Errorf("%d clients wait, want the four that have room", waiting)
	}
}

// TestClientThatGivesUpDeposesNobody: a request that acknowledges others which wait settles
// them. They take no turns of their client, or its next request would wait as many rounds.
func TestClientThatGivesUpDeposesNobody(t *testing.T) {
	k := newTrack(t, func(c *Config) { c.BatchRequestsMax, c.InFlight = 1, 1 })
	k.ask(6, 1)
	k.sound(50)
	const many = 60
	ask := func(number, acked wire.Number) {
		sealed := wire.Seal(tallySigner{100}, crypto.Domain{}, &wire.Request{
			Client: wire.ClientID{200}, Session: 1, Number: number, Acked: acked, Ops: [][]byte{{1}},
		})
		for to := range wire.ReplicaID(4) {
			k.due[k.tick+1] = append(k.due[k.tick+1], parcel{to: to, sealed: sealed, client: true})
		}
	}
	ask(many+1, many)
	for number := range wire.Number(many) {
		ask(number+1, 0)
	}
	ask(many+2, 0)
	k.sound(300)
	if k.executed[wire.ClientID{200}][many+2] == 0 {
		t.Errorf("number %d still waits", many+2)
	}
}

// TestClientOfTheFutureDeposesNobody opens sessions that lie so far in the future that
// backups just take them, and the primary, whose clock is behind theirs, would not.
func TestClientOfTheFutureDeposesNobody(t *testing.T) {
	for _, edge := range []wire.Session{sessionLead, sessionLead - wire.Session(sessionMargin)} {
		k := newTrack(t, func(c *Config) { c.BatchRequestsMax = 4 })
		k.tamper = func(r *Replica) {
			if r.id == 0 {
				r.now = k.now() - 3e9
			}
		}
		k.ask(8, 2)
		k.sound(50)
		for client := range byte(4) {
			sealed := wire.Seal(tallySigner{100}, crypto.Domain{}, &wire.Request{
				Client: wire.ClientID{200, client}, Session: wire.Session(k.now()) + edge - 1, Number: 1, Ops: [][]byte{{1}},
			})
			for to := range wire.ReplicaID(3) {
				k.due[k.tick+1] = append(k.due[k.tick+1], parcel{to: to + 1, sealed: sealed, client: true})
			}
			k.sound(100)
		}
	}
}

// TestCrowdAtTheFullTableDeposesNobody: of a client without room backups know one request,
// and the primary many others, which it orders first. What is of an earlier session does
// not help the primary: it could repeat that for ever.
func TestCrowdAtTheFullTableDeposesNobody(t *testing.T) {
	k := newTrack(t, func(c *Config) { c.ClientsMax, c.BatchRequestsMax, c.InFlight = 4, 1, 1 })
	k.ask(4, 1)
	k.sound(50)
	ask := func(number wire.Number, to ...wire.ReplicaID) {
		sealed := wire.Seal(tallySigner{100}, crypto.Domain{}, &wire.Request{
			Client: wire.ClientID{200}, Session: 1, Number: number, Ops: [][]byte{{1}},
		})
		for _, to := range to {
			k.due[k.tick+1] = append(k.due[k.tick+1], parcel{to: to, sealed: sealed, client: true})
		}
	}
	for n := range wire.Number(100) {
		ask(n+1, 0)
	}
	k.run(2)
	ask(101, 1, 2, 3)
	k.sound(600)
	l := &line{session: 2}
	for session, want := range map[wire.Session]bool{1: false, 2: true, 3: true} {
		if got := l.serves(Order{Request: &wire.Request{Session: session}, Outcome: wire.OutcomeNoRoom}); got != want {
			t.Errorf("no room for session %d serves one that waits with session 2: %v, want %v", session, got, want)
		}
	}
}

// sound runs a cluster whose primaries are correct and reports view changes.
func (k *track) sound(ticks int) {
	k.t.Helper()
	answered := k.run(ticks)
	if k.leaves > 0 || answered == 0 {
		k.t.Errorf("got %d answers in %d ticks, and views left: %q", answered, ticks, k.left)
	}
}

func TestSoundPrimariesAreKept(t *testing.T) {
	for _, one := range []struct {
		name  string
		shape func(k *track)
	}{
		{"light load", func(k *track) { k.ask(1, 1) }},
		{"a client that pauses", func(k *track) {
			k.ask(1, 1)[0].pause = 300
		}},
		{"more clients than batches take", func(k *track) { k.ask(100, 1) }},
		{"a client with many operations", func(k *track) { k.ask(1, 100); k.ask(10, 1) }},
		{"huge operations", func(k *track) {
			k.ask(3, 1)
			for _, a := range k.ask(20, 2) {
				a.size = 6000
			}
		}},
		{"clients of one backup", func(k *track) { k.ask(10, 4, 3); k.ask(5, 1) }},
		{"a client of the primary alone", func(k *track) { k.ask(10, 4, 0) }},
		{"a silent backup", func(k *track) {
			k.ask(20, 1)
			k.delay = func(from, _ wire.ReplicaID, _ wire.Message) int { return 1 - 2*int(from/3) }
		}},
		{"a backup behind a slow line", func(k *track) {
			k.ask(20, 1)
			k.delay = func(from, to wire.ReplicaID, _ wire.Message) int {
				if to == 3 || from == 3 {
					return 20
				}
				return 1
			}
		}},
		{"a network that takes its time", func(k *track) {
			k.ask(20, 1)
			k.delay = func(wire.ReplicaID, wire.ReplicaID, wire.Message) int { return 1 + k.rng.IntN(5) }
		}},
		{"stalls", func(k *track) {
			k.ask(20, 1)
			k.delay = func(_, _ wire.ReplicaID, _ wire.Message) int { return 1 + max(0, 40-k.tick%400) }
		}},
	} {
		t.Run(one.name, func(t *testing.T) {
			k := newTrack(t, func(c *Config) { c.BatchRequestsMax, c.BatchBytesMax = 16, 20000 })
			one.shape(k)
			k.sound(600)
		})
	}
}

// foundSlow counts how often a replica suspected a primary by a rule of pace.
func (k *track) foundSlow() int {
	n := 0
	for _, why := range k.left {
		if strings.HasPrefix(why, "suspected") && strings.Contains(why, "longer than") {
			n++
		}
	}
	return n
}

// TestSlowerNetworkLowersTheExpectation: where no primary is fast enough, a few are
// tried, and then the cluster works on. Messages that get lost are no reason.
func TestSlowerNetworkLowersTheExpectation(t *testing.T) {
	for name, delay := range map[string]func(k *track) int{
		"twelve ticks":        func(*track) int { return 12 },
		"six to twenty ticks": func(k *track) int { return 6 + k.rng.IntN(15) },
		"a third is lost":     func(k *track) int { return []int{2, 2, -1}[k.rng.IntN(3)] },
	} {
		const runs = 8 // where much is lost, one in ten finds one later, or tries more than others
		tried, later, answered, left := 0, 0, 0, []string(nil)
		for seed := range uint64(runs) {
			k := newTrack(t, nil)
			k.rng = rand.New(rand.NewPCG(7, seed))
			k.ask(5, 1)
			k.sound(200)
			k.delay = func(wire.ReplicaID, wire.ReplicaID, wire.Message) int { return delay(k) }
			k.run(4000)
			tried += k.foundSlow()
			later -= k.foundSlow()
			answered += k.run(4000)
			later += k.foundSlow()
			left = append(left, k.left...)
		}
		t.Logf("%s: in %d runs primaries found slow %d times, then %d times, and %d operations", name, runs, tried, later, answered)
		most := runs / 2
		if name == "twelve ticks" {
			most = 3 * runs // the allowance has halved again: its three backups find one primary more
		}
		if tried > 10*runs || later > most || answered < 300*runs {
			t.Errorf("%s: found slow %d times, then %d times, and %d operations; %q", name, tried, later, answered, left)
		}
	}
}

// TestAllowanceHalvesAgain: once the replicas are fast again, primaries are expected to
// be so too, also where the allowance had become so large that the rule rested.
func TestAllowanceHalvesAgain(t *testing.T) {
	k := newTrack(t, nil)
	k.ask(5, 1)
	k.sound(200)
	const doublings = 4
	for _, n := range k.runners {
		n.r.pace.doublings = doublings
		if ticks, less := n.r.allowance(); less {
			t.Fatalf("R%d allows %d ticks, and the rule does not rest", n.r.id, ticks)
		}
	}
	k.sound(2 * doublings * calmTimeouts * k.cfg.RequestTicks)
	for _, n := range k.runners[1:] { // R0 is the primary, and judges nobody
		if ticks, less := n.r.allowance(); !less || n.r.pace.doublings > 0 {
			t.Errorf("R%d allows %d ticks after %d doublings, want it halved as often", n.r.id, ticks, doublings)
		}
	}
}

// TestATimeoutOfSixteenDelaysDeposesNobody has replicas and clients be far from each other: a message
// takes a sixteenth of the request timeout, or a little more or less.
func TestATimeoutOfSixteenDelaysDeposesNobody(t *testing.T) {
	for _, varies := range []int{0, 1} {
		k := newTrack(t, nil)
		k.delay = func(wire.ReplicaID, wire.ReplicaID, wire.Message) int {
			return k.cfg.RequestTicks/16 - varies + k.rng.IntN(2*varies+1)
		}
		k.ask(8, 2)
		if got := k.run(4000); k.view() > 0 || got < 1000 {
			t.Errorf("delays vary by %d ticks: %d operations, view %d; left %q", varies, got, k.view(), k.left)
		}
	}
}
