package core

import "fmt"

// Quorum is the arithmetic of n replicas of which at most f lie. Nothing else
// computes with f.
type Quorum struct{ n, f int }

// NewQuorum returns the quorums of n replicas with the largest f that they
// tolerate, ⌊(n−1)/3⌋. n must be at least 1.
func NewQuorum(n int) (Quorum, error) {
	return NewQuorumWithFaults(n, (n-1)/3)
}

// NewQuorumWithFaults returns the quorums of n replicas that tolerate f faults.
// It needs n ≥ 3f+1, the least with which a strong quorum of correct replicas
// exists.
func NewQuorumWithFaults(n, f int) (Quorum, error) {
	if n < 1 || f < 0 || n < 3*f+1 {
		return Quorum{}, fmt.Errorf("%d replicas cannot tolerate %d faults: n ≥ 3f+1 is needed", n, f)
	}
	return Quorum{n, f}, nil
}

// Replicas returns n.
func (q Quorum) Replicas() int { return q.n }

// Faults returns f, the number of replicas that may be Byzantine.
func (q Quorum) Faults() int { return q.f }

// Strong returns ⌈(n+f+1)/2⌉: two sets of so many replicas share at least f+1,
// so one that is correct.
func (q Quorum) Strong() int { return (q.n + q.f + 2) / 2 }

// Cut returns n − q + 1 + f: when so many replicas cannot reach another one, no strong
// quorum can, though f of them lie. All correct replicas are enough for that: it is at
// most n − f.
func (q Quorum) Cut() int { return q.n - q.Strong() + 1 + q.f }

// Weak returns f+1: a set of so many replicas holds a correct one.
func (q Quorum) Weak() int { return q.f + 1 }
