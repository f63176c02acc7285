package pbft

import (
	"math/rand/v2"
	"time"
)

// pace estimates how long the cluster takes to answer, as TCP does its round trips
// (Jacobson, SIGCOMM '88): a loaded cluster is not made faster by being asked twice.
type pace struct {
	smooth, spread time.Duration
}

// add takes in that a request was answered so long after it was first sent. Being
// sent again does not disqualify it: too long an estimate costs little, for the
// oldest request does not use it.
func (p *pace) add(took time.Duration) {
	if p.smooth == 0 {
		p.smooth, p.spread = took, took/2
		return
	}
	p.spread += (max(took-p.smooth, p.smooth-took) - p.spread) / 4
	p.smooth += (took - p.smooth) / 8
}

// usual returns how long an answer usually takes at most, which is well more than the
// average however even the answers were.
func (p *pace) usual() time.Duration { return p.smooth + max(4*p.spread, p.smooth/2) }

// gatherShare and gatherMax bound how long operations wait for company while others
// are under way: a share of the time that answers take, which they hardly notice.
const (
	gatherShare = 8
	gatherMax   = 10 * time.Millisecond
)

// gapEnd returns until when new operations wait, if others are under way, after one
// was sent or answered. A signature that ten share costs each of them a tenth, here
// and at every replica. (Nagle, RFC 896, did so with bytes.)
func (l *clientLoop) gapEnd() time.Time {
	if l.cfg.together == 1 {
		return time.Time{}
	}
	return time.Now().Add(min(l.pace.smooth/gatherShare, gatherMax))
}

// patienceMax is how many times as long as an unloaded cluster's a request that is
// not the oldest may wait before it is sent again.
const patienceMax = 8

// pause draws how long to wait for the answer to r after its last sending: growing,
// bounded, and with jitter, so that clients do not retransmit in step.
func (l *clientLoop) pause(attempt int) time.Duration {
	d := l.cfg.retransmit << min(attempt, retransmitDoublings)
	return d - d/8 + rand.N(d/4+1)
}

// dueAt returns when the i-th of the open requests is to be sent again. The oldest
// is when the primary has had its time, however slow the cluster is, if no other was
// in that time: every replica then knows that this client waits, and suspects a
// primary that lets it. The others wait as long as answers usually take, or under
// load every request would be sent many times, and load the cluster more.
func (l *clientLoop) dueAt(i int) time.Time {
	r := l.requests[i]
	if i == 0 {
		return later(r.due, l.alarmed.Add(l.cfg.retransmit))
	}
	longer := min(l.pace.usual(), patienceMax*l.cfg.retransmit) - l.cfg.retransmit
	return r.due.Add(max(0, longer) << min(r.attempt, retransmitDoublings))
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
