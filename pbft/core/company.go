package core

import "github.com/quorate/quorate/pbft/wire"

// A batch takes the same votes however few requests are in it. Where processors have
// nothing left, clients wait for those votes: they are served sooner, all of them, when
// requests wait for company. Where processors have time, waiting gains nobody anything.
// So the primary waits while it is told that they are busy (Measured), with a patience
// that grows meanwhile, and shrinks when they are not. It settles where they are just so.
//
// It waits for almost as many requests as there are clients that were served lately: most
// ask again once they have their answer. Whether they do, nobody knows. So it waits no
// longer than its patience since the last batch, which is bounded as that for late
// checkpoints is. A batch that is full waits for nothing, nor does who was alone lately.
//
// As for those, all this is about when a correct primary proposes. Nothing depends on it,
// and nothing of it is kept.

// crowdTicks is the time over which clients are counted: long enough for those of a loaded
// cluster to have been served once.
const crowdTicks = 32

// company is what a replica knows of requests that may come.
type company struct {
	busy     bool                       // processors are
	patience uint64                     // in fractions of a tick
	crowd    int                        // clients served in the last whole time
	served   map[wire.ClientID]struct{} // clients served since, no more than fill a batch
}

func newCompany() company { return company{served: map[wire.ClientID]struct{}{}} }

// tick lets a tick pass. Patience is at most so many ticks.
func (c *company) tick(now, most uint64) {
	switch {
	case c.busy:
		c.patience = min(c.patience+1, most*fraction)
	case c.patience > 0:
		c.patience--
	}
	if now%crowdTicks == 0 {
		c.crowd = len(c.served)
		clear(c.served)
	}
}

// serve notes that a request of a client was executed.
func (c *company) serve(client wire.ClientID, most int) {
	if len(c.served) < most {
		c.served[client] = struct{}{}
	}
}

// expected returns how many requests the primary waits for, where it has the patience.
func (c *company) expected() int { return max(c.crowd, len(c.served)) * 7 / 8 }

// awaitsCompany tells whether the requests that wait shall go on waiting for others.
func (r *Replica) awaitsCompany() bool {
	return r.tick < r.proposed+r.company.patience/fraction && r.pool.waiting < r.company.expected()
}
