package core

import (
	"math/rand/v2"
	"testing"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// inTheDark has the liars, the first replicas, tell replica 3 nothing but where they stand, and
// vote for no checkpoint, so that none is stable before replica 3 is there.
func inTheDark(from, to, liars wire.ReplicaID, kind wire.Kind) bool {
	return from < liars && (to == 3 && kind != wire.KindStatus || kind == wire.KindCheckpoint || kind == wire.KindStableProof)
}

// farInTheDark returns how many ticks something takes where replica 3, which liars keep in the dark,
// is six away from all others, or -1.
func farInTheDark(from, to, liars wire.ReplicaID, kind wire.Kind) int {
	switch {
	case inTheDark(from, to, liars, kind):
		return -1
	case to == 3 || from == 3:
		return 6
	}
	return 1
}

// TestWhoGivesOnlyTheEndIsAskedLess has liars that keep a replica in the dark answer what it asks
// them, sooner than anybody else, and only with the last of what it asks for: the cluster is as
// fast as with liars that are silent.
func TestWhoGivesOnlyTheEndIsAskedLess(t *testing.T) {
	for _, n := range []int{4, 5, 7} {
		silent := 0
		for _, answer := range []string{"", "without a vote", "true"} {
			k := newTrackOf(t, n, nil)
			k.ask(8, 1)
			liars := wire.ReplicaID(k.cfg.Quorum.Faults()) //nolint:gosec // few
			questions, lies := 0, 0
			k.delay = func(from, to wire.ReplicaID, m wire.Message) int {
				if q, ok := m.(*wire.FetchCommitted); ok && from == 3 {
					questions++
					if to < liars {
						lies++
						k.giveEnd(to, q.Last, answer)
					}
				}
				return farInTheDark(from, to, liars, m.Kind())
			}
			k.run(1500)
			got := int(k.runners[n-1].r.executed) //nolint:gosec // few
			if answer == "" {
				silent = got
			}
			if got < 500 || got < silent*3/4 || lies > questions/5 {
				t.Errorf("n=%d, %q: %d numbers executed, and %d with silent liars, who were asked %d of %d questions",
					n, answer, got, silent, lies, questions)
			}
		}
	}
}

// giveEnd has a liar give replica 3 the batch of seq, which arrives in the next tick.
func (k *track) giveEnd(liar wire.ReplicaID, seq wire.Seq, answer string) {
	switch answer {
	case "without a vote":
		fake := &wire.Batch{}
		k.say(liar, &wire.Committed{Cert: wire.CommitCert{Seq: seq, Digest: fake.Digest()}, Batch: fake}, 3)
	case "true":
		if c := k.runners[liar].r.committedAt(seq); c != nil {
			k.say(liar, c, 3)
		}
	}
}

// TestWhoAnswersSlowlyIsNotTheOnlyOneAsked has a primary that keeps replica 3 in the dark answer it
// with one batch after the other, each just before it would be given up, while the correct ones
// were given up: for replica 3 is far away, or for their lines stood still once.
func TestWhoAnswersSlowlyIsNotTheOnlyOneAsked(t *testing.T) {
	for _, c := range []struct{ delay, at, stall, least int }{{6, 0, 0, 1200}, {2, 300, 60, 2000}} {
		k := newTrack(t, func(c *Config) { c.Interval, c.Window = 32, 64 })
		k.ask(8, 1)
		k.delay = func(from, to wire.ReplicaID, m wire.Message) int {
			if q, ok := m.(*wire.FetchCommitted); ok && from == 3 && to == 0 && k.tick >= c.at {
				k.drip(q, k.cfg.CatchUpTicks-1)
			}
			switch {
			case inTheDark(from, to, 1, m.Kind()):
				return -1
			case to != 3 && from != 3:
				return 1
			case from+to > 3 && k.tick >= c.at && k.tick < c.at+c.stall:
				return c.at + c.stall - k.tick + c.delay
			}
			return c.delay
		}
		k.run(3000)
		if got := int(k.runners[1].r.executed); got < c.least { //nolint:gosec // few
			t.Errorf("%+v: %d numbers executed", c, got)
		}
	}
}

// TestWhatComesTwiceCountsOnce has an answer repeat one of its batches, and then end.
func TestWhatComesTwiceCountsOnce(t *testing.T) {
	q := &question{open: true, asked: 1, from: 5, until: 68}
	for _, seq := range []wire.Seq{5, 6, 6, 6, 68, 68, 4, 69} {
		q.hear(1, &wire.Committed{Cert: wire.CommitCert{Seq: seq}, Batch: &wire.Batch{}}, 7)
	}
	q.hear(2, &wire.Committed{Cert: wire.CommitCert{Seq: 7}, Batch: &wire.Batch{}}, 7)
	if want := 3 * (&wire.Batch{}).Size(); q.bytes != want || q.ended != 7 {
		t.Errorf("it has %d bytes, want %d, and ended in tick %d", q.bytes, want, q.ended)
	}
}

// drip has replica 0 answer what replica 3 asks it with one batch in so many ticks.
func (k *track) drip(q *wire.FetchCommitted, ticks int) {
	for seq := q.First; seq <= q.Last; seq++ {
		if c := k.runners[0].r.committedAt(seq); c != nil {
			in := k.tick + int(seq-q.First+1)*ticks //nolint:gosec // few
			k.due[in] = append(k.due[in], parcel{from: 0, to: 3, sealed: wire.Seal(tallySigner{0}, crypto.Domain{}, c)})
		}
	}
}

// TestWhoIsInTheDarkAsksAllTheSame has a primary that keeps replica 3 in the dark give it one
// batch now and then, so that it always executes something, or claim to be further than everybody,
// or break its connection whenever it is asked no more. Batches are large, so that the answers of
// the others hold few.
func TestWhoIsInTheDarkAsksAllTheSame(t *testing.T) {
	for _, c := range []struct{ gives, claims, flaps bool }{{gives: true}, {flaps: true}, {true, true, true}} {
		k := newTrack(t, func(c *Config) { c.Interval, c.Window = 32, 64 })
		for _, a := range k.ask(8, 1) {
			a.size = answerBytesMax / 8
		}
		k.delay = func(from, to wire.ReplicaID, m wire.Message) int {
			if inTheDark(from, to, 1, m.Kind()) {
				return -1
			}
			return 1
		}
		const ticks = 800
		full := 0
		for range ticks {
			k.run(1)
			r := k.runners[3].r
			if one := k.runners[0].r.committedAt(r.executed + 1); c.gives && k.tick%(k.cfg.CatchUpTicks-1) == 0 && one != nil {
				k.say(0, one, 3)
			}
			if st := k.runners[0].r.status(); c.claims && k.tick%k.cfg.StatusTicks == 0 {
				st.Executed = 1 << 40
				k.say(0, st, 3)
			}
			if c.flaps && r.peers[0].muteUntil > r.tick {
				k.step(3, Unlinked{0})
				k.step(3, Linked{0})
			}
			if k.runners[1].r.executed >= k.runners[1].r.high() {
				full++
			}
		}
		if got := k.runners[1].r.executed; full > ticks/4 || got < ticks*3/4 {
			t.Errorf("%+v: %d numbers executed, the window was full in %d of %d ticks", c, got, full, ticks)
		}
	}
}

// TestCatchingUpWhereMuchIsLost has a replica come back of which three tenths of what it sends and
// is sent get lost, and the rest comes in any order.
func TestCatchingUpWhereMuchIsLost(t *testing.T) {
	for _, n := range []int{4, 7} {
		const runs = 8
		all, batches := 0, 0
		for seed := range uint64(runs) {
			k := newTrackOf(t, n, func(c *Config) { c.Interval, c.Window, c.BatchRequestsMax = 1024, 2048, 4 })
			rng := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a test
			missed, took := k.returns(func(_, _ wire.ReplicaID, m wire.Message) int {
				if m.Kind() == wire.KindCommitted {
					batches++
				}
				if rng.IntN(10) < 3 {
					return -1
				}
				return 1 + rng.IntN(12)
			}, 3000)
			all += took * 90 / missed
		}
		if all > 300*runs || batches > 8*90*runs {
			t.Errorf("n=%d: %d ticks on average, and %d copies of each batch", n, all/runs, batches/90/runs)
		}
	}
}
