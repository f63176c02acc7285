package node

import "time"

// bucket is a token bucket: it lets through burst at once and perSecond in the
// long run. The zero bucket is empty and lets nothing through. It is not safe
// for concurrent use.
type bucket struct {
	perSecond, burst float64
	debtMax          float64 // that charge makes
	tokens           float64
	at               time.Time
}

func newBucket(perSecond, burst float64) bucket {
	return bucket{perSecond: perSecond, burst: burst, debtMax: burst, tokens: burst}
}

// take takes cost if the bucket is not empty; it may go into debt by one cost,
// so that a cost above burst gets through too.
func (b *bucket) take(now time.Time, cost float64) bool {
	b.fill(now)
	if b.tokens <= 0 {
		return false
	}
	b.tokens -= cost
	return true
}

// charge takes cost even if that makes a debt, of at most debtMax, which is one burst
// unless it is set.
func (b *bucket) charge(now time.Time, cost float64) {
	b.fill(now)
	b.tokens = max(b.tokens-cost, -b.debtMax)
}

// wait returns how long the bucket stays empty.
func (b *bucket) wait(now time.Time) time.Duration {
	b.fill(now)
	if b.tokens > 0 || b.perSecond <= 0 {
		return 0
	}
	return time.Duration((1-b.tokens)/b.perSecond*float64(time.Second)) + time.Microsecond
}

func (b *bucket) fill(now time.Time) {
	if b.at.IsZero() {
		b.at = now
	}
	if now.After(b.at) {
		b.tokens = min(b.burst, b.tokens+now.Sub(b.at).Seconds()*b.perSecond)
		b.at = now
	}
}
