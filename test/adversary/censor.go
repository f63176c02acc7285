package adversary

import (
	"slices"
	"time"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// CensorClient returns a primary that leaves out the requests of some clients and
// serves the others. Without victims it is the first client that it sees.
func CensorClient(victims ...wire.ClientID) Strategy { return &censor{victims: victims} }

// CensorByOrder returns a primary that lets the requests of some clients wait for
// a share of the timeout, while it serves the others. Without victims it is the
// first client that it sees.
func CensorByOrder(share float64, victims ...wire.ClientID) Strategy {
	return &censor{victims: victims, share: share}
}

const (
	// recastMax is how many proposals a censor remembers, to repeat them alike.
	recastMax = 256
	// postponedMax is how many requests a censor holds.
	postponedMax = 256
)

// censor proposes other batches than its core does. It commits to them too; its
// core learns of them as one that is behind.
type censor struct {
	Honest
	noter

	victims   []wire.ClientID
	share     float64 // of the timeout; 0 for ever
	recasts   []recast
	postponed []postponed
	released  map[crypto.Digest]bool
	fillers   wire.Number
}

// recast is what became of one proposal.
type recast struct{ from, to *wire.PrePrepare }

// postponed is a request that waits.
type postponed struct {
	request *wire.Request
	since   time.Duration
}

// Say proposes batches without the victims' requests.
func (s *censor) Say(env Env, _ wire.ReplicaID, m *wire.Sealed) []*wire.Sealed {
	pp, ok := m.Message().(*wire.PrePrepare)
	if !ok || !mine(env, pp) || pp.Batch.IsNull() {
		return []*wire.Sealed{m}
	}
	lie := s.recast(env, pp)
	if lie.Digest == pp.Digest {
		return []*wire.Sealed{m}
	}
	return []*wire.Sealed{env.Sign(lie), env.Sign(&wire.Commit{Vote: unsigned(lie.Vote)})}
}

// recast returns what goes out in place of pp, the same at every time.
func (s *censor) recast(env Env, pp *wire.PrePrepare) *wire.PrePrepare {
	for _, known := range s.recasts {
		if known.from.View == pp.View && known.from.Seq == pp.Seq && known.from.Digest == pp.Digest {
			return known.to
		}
	}
	if s.victims == nil {
		s.victims = []wire.ClientID{pp.Batch.Requests[0].Client}
	}
	var requests []*wire.Request
	for _, r := range pp.Batch.Requests {
		if !slices.Contains(s.victims, r.Client) {
			requests = append(requests, r)
			continue
		}
		s.postpone(env, r)
	}
	requests = append(requests, s.release(env)...)
	if len(requests) == 0 {
		requests = []*wire.Request{s.filler(env)}
	}
	lie := proposing(pp, pp.Batch.Time, requests)
	s.recasts = append(s.recasts[max(0, len(s.recasts)-recastMax):], recast{pp, lie})
	return lie
}

// postpone takes a request out of the order.
func (s *censor) postpone(env Env, r *wire.Request) {
	digest := r.Digest()
	if s.released[digest] || slices.ContainsFunc(s.postponed, func(p postponed) bool { return p.request.Digest() == digest }) {
		return
	}
	s.note(env, "leaves out request %d of client %s", r.Number, r.Client.Short())
	if s.share > 0 && len(s.postponed) < postponedMax {
		s.postponed = append(s.postponed, postponed{r, env.Now()})
	}
}

// release returns the requests that have waited for long enough, last of all.
func (s *censor) release(env Env) []*wire.Request {
	var out []*wire.Request
	for len(s.postponed) > 0 && float64(env.Now()-s.postponed[0].since) >= s.share*float64(env.Timeout()) {
		r := s.postponed[0].request
		s.postponed = s.postponed[1:]
		if s.released == nil || len(s.released) > postponedMax {
			s.released = map[crypto.Digest]bool{}
		}
		s.released[r.Digest()] = true
		out = append(out, r)
	}
	return out
}

// filler returns a request of the adversary's own client, for a batch of which
// nothing is left: a number that is not filled would stop everyone.
func (s *censor) filler(env Env) *wire.Request {
	s.fillers++
	sealed := env.SignRequest(int(env.ID()), &wire.Request{
		Session: 1, Number: s.fillers, Acked: s.fillers - 1, Ops: [][]byte{[]byte("filler")},
	})
	r, _ := sealed.Message().(*wire.Request) // SignRequest signs a request
	return r
}
