package node

import (
	"sync"
	"time"

	"github.com/quorate/quorate/pbft/wire"
)

const (
	// penaltyBurst and penaltiesPerSecond bound the bad frames that a source has
	// looked at: enough that no accident counts, too few to cost more than some percent
	// of a core, whatever is in them. Votes and requests cost a thousandth.
	penaltyBurst       = 64
	penaltiesPerSecond = 10
	// penaltyMax bounds what one frame counts, which is one for each signature that was
	// verified: there may be thousands in it.
	penaltyMax = penaltyBurst / 4
	// penaltyDebtMax bounds a peer's debt, to a minute without a word of it: what it had
	// read at once may have cost seconds.
	penaltyDebtMax = 60 * penaltiesPerSecond
	// penaltySilence is the time between two log lines about one source.
	penaltySilence = 10 * time.Second
	// suspectsMax bounds the sources kept in mind: every peer, and as many
	// client connections as can do any harm at once.
	suspectsMax = 4096
)

// penalties count the bad frames of each source. Links are authenticated, so a
// bad frame is its sender's own doing: a source that sends many is read slowly,
// and verified apart from others. Any goroutine may call its methods.
type penalties struct {
	report func(s source, kind wire.Kind, why string, more int)
	mu     struct {
		sync.Mutex
		of      map[source]*penalty
		clients uint64 // bad frames of all client connections that there ever were
	}
}

type penalty struct {
	count  uint64
	credit bucket
	logged time.Time
	more   int // since the last line
}

func newPenalties(report func(s source, kind wire.Kind, why string, more int)) *penalties {
	p := &penalties{report: report}
	p.mu.of = make(map[source]*penalty)
	return p
}

// add notes a bad frame of kind from s.
func (p *penalties) add(s source, kind wire.Kind, why string) { p.addDear(s, kind, why, 1) }

// addDear notes a bad frame of which so many signatures were verified.
func (p *penalties) addDear(s source, kind wire.Kind, why string, checks int) {
	now := time.Now()
	p.mu.Lock()
	of := p.mu.of[s]
	if of == nil {
		p.makeRoom()
		of = &penalty{credit: newBucket(penaltiesPerSecond, penaltyBurst)}
		if !s.client {
			of.credit.debtMax = penaltyDebtMax
		}
		p.mu.of[s] = of
	}
	of.count++
	if s.client {
		p.mu.clients++
	}
	of.credit.charge(now, float64(max(1, min(checks, penaltyMax))))
	if !of.logged.IsZero() && now.Sub(of.logged) < penaltySilence {
		of.more++
		p.mu.Unlock()
		return
	}
	more := of.more
	of.logged, of.more = now, 0
	p.mu.Unlock()
	p.report(s, kind, why, more)
}

// makeRoom forgets any one client connection if too many sources are known. It
// needs the lock.
func (p *penalties) makeRoom() {
	if len(p.mu.of) < suspectsMax {
		return
	}
	for s := range p.mu.of {
		if s.client {
			delete(p.mu.of, s)
			return
		}
	}
}

// wait returns how long s must not be read.
func (p *penalties) wait(s source) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	of := p.mu.of[s]
	if of == nil {
		return 0
	}
	return of.credit.wait(time.Now())
}

// suspect tells whether s has sent a bad frame of late.
func (p *penalties) suspect(s source) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	of := p.mu.of[s]
	if of == nil {
		return false
	}
	of.credit.fill(time.Now())
	return of.credit.tokens < of.credit.burst
}

// BadFrames counts the frames that were dropped for what they are: no message of
// the protocol, or one with a bad signature.
type BadFrames struct {
	Peers   []uint64 // by replica
	Clients uint64   // of all clients together
}

// counts returns what was counted so far, of so many peers.
func (p *penalties) counts(peers int) BadFrames {
	out := BadFrames{Peers: make([]uint64, peers)}
	p.mu.Lock()
	defer p.mu.Unlock()
	out.Clients = p.mu.clients
	for i := range out.Peers {
		if of := p.mu.of[peerSource(wire.ReplicaID(i))]; of != nil { //nolint:gosec // a cluster is small
			out.Peers[i] = of.count
		}
	}
	return out
}

// forget drops what is known of s, which is gone.
func (p *penalties) forget(s source) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.mu.of, s)
}
