package core

import (
	"testing"

	"github.com/quorate/quorate/pbft/wire"
)

// cutOff has replica 3 neither hear nor be heard while *off.
func (k *track) cutOff(off *bool) {
	k.delay = func(from, to wire.ReplicaID, _ wire.Message) int {
		if *off && (from == 3) != (to == 3) {
			return -1
		}
		return 1
	}
}

// late returns a client that asks replica 3 once, in the next tick, and after so many ticks
// the primary, which run alike.
func (k *track) late(ticks int) *asker {
	one := k.ask(1, 1, 3)[0]
	one.pause = 1 << 20
	k.run(ticks)
	for _, p := range k.runners[3].r.pool.lines[one.id].requests {
		k.due[k.tick+1] = append(k.due[k.tick+1], parcel{to: 0, sealed: p.sealed, client: true})
	}
	return one
}

// blamesNobody runs a cluster whose primary is correct, and reports who leaves its view.
func (k *track) blamesNobody(one *asker) {
	k.t.Helper()
	k.run(3 * k.cfg.RequestTicks)
	if one != nil && k.executed[one.id][1] < 4 {
		k.t.Errorf("what the client asked was executed by %d", k.executed[one.id][1])
	}
	if k.leaves > 0 {
		k.t.Errorf("replica 3 executed %d, the others %d; left %q", k.runners[3].r.executed, k.runners[0].r.executed, k.left)
	}
}

// TestWhoComesBackDoesNotJudgeByOldNews cuts a replica off that is a little behind, until a
// client has waited there for more than twice as long as it may. What the others had
// executed then it does not know, only what they had when it heard of them last.
func TestWhoComesBackDoesNotJudgeByOldNews(t *testing.T) {
	k := newTrack(t, func(c *Config) { c.Interval, c.Window, c.BatchRequestsMax = 1024, 2048, 4 })
	k.ask(8, 2, 0)
	k.run(50)
	off := false
	k.cutOff(&off)
	free := k.delay
	k.delay = func(from, to wire.ReplicaID, m wire.Message) int {
		if kind := m.Kind(); to == 3 && (kind == wire.KindCommit || kind == wire.KindCommitted) {
			return -1
		}
		return free(from, to, m)
	}
	k.run(25)
	if r := k.runners[3].r; !r.catchUp.active {
		t.Fatalf("it executed %d, knows of %d, and does not catch up", r.executed, r.known())
	}
	off = true
	one := k.late(2 * k.cfg.RequestTicks)
	k.run(k.cfg.RequestTicks / 2)
	off, k.delay = false, free
	k.blamesNobody(one)
}

// TestWhoComesBackFastBlamesNobody: all that a replica hears when it comes back, and that
// has it execute some of what it missed, comes within a tick.
func TestWhoComesBackFastBlamesNobody(t *testing.T) {
	for _, rounds := range []int{1, 5} {
		k := newTrack(t, func(c *Config) { c.Interval, c.Window, c.BatchRequestsMax = 1024, 2048, 4 })
		k.ask(8, 2, 0)
		k.run(50)
		off := true
		k.cutOff(&off)
		one := k.late(k.cfg.RequestTicks)
		k.run(k.cfg.RequestTicks / 2)
		off = false
		for id := range wire.ReplicaID(3) {
			k.step(id, Linked{3})
			k.step(3, Linked{id})
		}
		k.rush(rounds)
		k.blamesNobody(one)
	}
}

// TestWhoHearsOthersFirstBlamesNobody cuts off a replica of an idle cluster, which hears
// the others again before the primary.
func TestWhoHearsOthersFirstBlamesNobody(t *testing.T) {
	k := newTrack(t, nil)
	k.run(50)
	off := true
	k.cutOff(&off)
	k.run(2 * k.cfg.HeartbeatTicks)
	off = false
	free := k.delay
	k.delay = func(from, to wire.ReplicaID, m wire.Message) int {
		if from == 0 && to == 3 {
			return k.cfg.StatusTicks
		}
		return free(from, to, m)
	}
	k.blamesNobody(nil)
}

// rush delivers what is on its way, and some of what follows from it, without a tick.
func (k *track) rush(rounds int) {
	for range rounds {
		now := k.due[k.tick+1]
		delete(k.due, k.tick+1)
		for _, p := range now {
			if p.client {
				k.step(p.to, Submitted{p.sealed})
			} else {
				k.step(p.to, Received{From: p.from, Message: p.sealed})
			}
		}
	}
}
