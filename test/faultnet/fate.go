package faultnet

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/quorate/quorate/pbft/wire"
)

// backlogMax is how long a frame that is sent may wait for those before it on a
// slow link.
const backlogMax = time.Second

// passage is one copy of a frame, and when it goes on; at once without a time. Until
// held, if there is such a time, a slow link is at work on what the replica hears:
// nothing more of the same stream is read, so that the rest waits at its sender,
// with its sender's bounds, as over a slow connection.
type passage struct {
	frame     []byte
	held, due time.Time
}

// fate decides what becomes of a frame, the nth of its flow. Chance depends on
// the seed, the flow and n alone, so equal runs of frames meet equal faults.
func (n *Network) fate(flow Flow, frame []byte) (nth uint64, copies []passage) {
	n.mu.Lock()
	defer n.mu.Unlock()
	c := n.mu.counts[flow]
	if c == nil {
		c = &Count{Flow: flow}
		n.mu.counts[flow] = c
	}
	n.mu.revision++
	c.Frames++
	number := n.votedFor(frame)
	c.Highest = max(c.Highest, number)
	return c.Frames, n.spoil(c, frame, number)
}

// spoil does to a frame, the last that c counts and perhaps a vote for a number,
// what the orders say. It needs the lock.
func (n *Network) spoil(c *Count, frame []byte, number wire.Seq) (copies []passage) {
	r := n.rule(c.Flow, number)
	if r == nil {
		return []passage{{frame: frame}}
	}
	chance := chanceOf(n.mu.orders.Seed, c.Flow, c.Frames)
	if chance.Float64() < r.Drop {
		c.Dropped++
		return nil
	}
	if chance.Float64() < r.Damage && len(frame) > 0 {
		c.Damaged++
		frame = damaged(frame, chance)
	}
	times := 1
	if chance.Float64() < r.Duplicate {
		c.Duplicated++
		times = 2
	}
	for range times {
		next, room := n.passage(r, c.Heard, frame, chance)
		switch {
		case !room:
			c.Overflowed++
			continue
		case !next.due.IsZero() || !next.held.IsZero():
			c.Delayed++
		}
		copies = append(copies, next)
	}
	return copies
}

// rule returns the rule for a frame, or nil. It needs the lock.
func (n *Network) rule(flow Flow, number wire.Seq) *Rule {
	rules := n.mu.orders.Send
	if flow.Heard {
		rules = n.mu.orders.Hear
	}
	for i := range rules {
		if rules[i].fits(flow, number) {
			return &rules[i]
		}
	}
	return nil
}

// passage returns how a frame passes, or that there is no room for it. It needs the
// lock.
func (n *Network) passage(r *Rule, heard bool, frame []byte, chance *rand.Rand) (p passage, room bool) {
	p.frame = frame
	delay := time.Duration(r.DelayMin)
	if spread := time.Duration(r.DelayMax - r.DelayMin); spread > 0 {
		delay += time.Duration(chance.Int64N(int64(spread)))
	}
	passed := time.Now()
	if r.Rate > 0 {
		free := n.mu.free[r]
		if !heard && free.Sub(passed) > backlogMax {
			return p, false
		}
		if free.After(passed) {
			passed = free
		}
		passed = passed.Add(time.Duration(float64(len(frame)) / float64(r.Rate) * float64(time.Second)))
		n.mu.free[r] = passed
		if heard {
			p.held = passed
		}
	}
	if delay > 0 || r.Rate > 0 && !heard {
		p.due = passed.Add(delay)
	}
	return p, true
}

// chanceOf returns the random numbers for the nth frame of a flow.
func chanceOf(seed uint64, f Flow, nth uint64) *rand.Rand {
	flow := uint64(f.Peer)<<16 | uint64(f.Kind)<<8 //nolint:gosec // any number will do
	if f.Heard {
		flow |= 1
	}
	return rand.New(rand.NewPCG(seed^flow*0x9e3779b97f4a7c15, nth)) //nolint:gosec // tests want what can be repeated
}

// damaged returns a copy of a frame in which one bit is another.
func damaged(frame []byte, chance *rand.Rand) []byte {
	bit := chance.IntN(8 * len(frame))
	out := slices.Clone(frame)
	out[bit/8] ^= 1 << (bit % 8)
	return out
}

// votedFor returns the number of a prepare or commit, and 0 for any other frame.
func (n *Network) votedFor(frame []byte) wire.Seq {
	kind := wire.Kind(kindOf(frame))
	if kind != wire.KindPrepare && kind != wire.KindCommit {
		return 0
	}
	m, err := wire.Decode(frame, &n.limits)
	if err != nil {
		return 0
	}
	if prepare, ok := m.(*wire.Prepare); ok {
		return prepare.Seq
	}
	if commit, ok := m.(*wire.Commit); ok {
		return commit.Seq
	}
	return 0
}
