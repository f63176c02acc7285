package adversary

import (
	"bytes"
	"time"

	"github.com/quorate/quorate/pbft/wire"
)

// SplitPrePrepare returns a primary that proposes one batch to f backups and
// another to the rest, for every number. With votes it prepares and commits what
// each was told, and then the other batch too.
func SplitPrePrepare(votes bool) Strategy {
	return rewriting("proposes two batches", func(env Env, to wire.ReplicaID, m *wire.PrePrepare) ([]wire.Message, bool) {
		if m.Batch.IsNull() {
			return nil, false
		}
		first, second := m, retold(m)
		told, other := first, second
		if rank(env, to) >= env.Faults() {
			told, other = second, first
		}
		said := []wire.Message{told}
		if votes {
			for _, pp := range []*wire.PrePrepare{told, other} {
				said = append(said, &wire.Prepare{Vote: unsigned(pp.Vote)}, &wire.Commit{Vote: unsigned(pp.Vote)})
			}
		}
		return said, true
	})
}

// rank returns how many of the other replicas come before id.
func rank(env Env, id wire.ReplicaID) int {
	if id > env.ID() {
		return int(id) - 1
	}
	return int(id)
}

// unsigned returns what v says, without its signature.
func unsigned(v wire.Vote) wire.Vote {
	return wire.Vote{View: v.View, Seq: v.Seq, Digest: v.Digest, Sender: v.Sender}
}

// EmptyBatches returns a primary that proposes nothing but empty batches,
// whatever waits.
func EmptyBatches() Strategy {
	return rewriting("proposes an empty batch", func(_ Env, _ wire.ReplicaID, m *wire.PrePrepare) ([]wire.Message, bool) {
		lie := *m
		lie.Batch, lie.Digest = wire.NullBatch(), wire.NullDigest()
		return one(&lie)
	})
}

// HugeSequence returns a primary that proposes each of its batches at absurd
// numbers too: beyond all that fits, the largest legal one, 0, and just above
// the window.
func HugeSequence() Strategy {
	s := &hugeSequence{}
	s.does, s.lie = "proposes at absurd numbers", s.repeat
	return s
}

type hugeSequence struct {
	rewriter[*wire.PrePrepare]

	stance stance
}

// Say learns where the window is, too.
func (s *hugeSequence) Say(env Env, to wire.ReplicaID, m *wire.Sealed) []*wire.Sealed {
	s.stance.watch(env, m.Message())
	return s.rewriter.Say(env, to, m)
}

func (s *hugeSequence) repeat(env Env, _ wire.ReplicaID, m *wire.PrePrepare) ([]wire.Message, bool) {
	said := []wire.Message{m}
	for _, seq := range []wire.Seq{1 << 63, wire.NumberMax, 0, s.stance.stable + env.Window() + 1} {
		lie := *m
		lie.Seq = seq
		said = append(said, &lie)
	}
	return said, true
}

// WrongDigest returns a primary whose proposals name other batches than they
// carry, for odd numbers, and for even ones never come, but for its commit.
func WrongDigest() Strategy {
	return rewriting("hides a batch's body", func(_ Env, _ wire.ReplicaID, m *wire.PrePrepare) ([]wire.Message, bool) {
		if m.Batch.IsNull() {
			return nil, false
		}
		if m.Seq%2 == 0 {
			return one(&wire.Commit{Vote: unsigned(m.Vote)})
		}
		lie := *m
		lie.Batch = &wire.Batch{Time: m.Batch.Time + 1, Input: m.Batch.Input, Requests: m.Batch.Requests}
		return one(&lie)
	})
}

// ForgedRequest returns a primary that adds to each batch a request that its
// client never signed.
func ForgedRequest() Strategy {
	return rewriting("forges a request", func(_ Env, _ wire.ReplicaID, m *wire.PrePrepare) ([]wire.Message, bool) {
		if m.Batch.IsNull() {
			return nil, false
		}
		forged := *m.Batch.Requests[0]
		forged.Number++
		return one(proposing(m, m.Batch.Time, append(m.Batch.Requests[:len(m.Batch.Requests):len(m.Batch.Requests)], &forged)))
	})
}

// proposing returns a proposal like m of another batch.
func proposing(m *wire.PrePrepare, t wire.Time, requests []*wire.Request) *wire.PrePrepare {
	lie := *m
	lie.Batch = &wire.Batch{Time: t, Input: m.Batch.Input, Requests: requests}
	if len(requests) == 0 {
		lie.Batch = wire.NullBatch()
	}
	lie.Digest = lie.Batch.Digest()
	return &lie
}

// badTimeDefault is farther than any clock is allowed to be off.
const badTimeDefault = time.Hour

// BadTime returns a primary whose proposed times are off by so much; 0 means an
// hour ahead and an hour back in turn.
func BadTime(off time.Duration) Strategy {
	return rewriting("proposes a wrong time", func(_ Env, _ wire.ReplicaID, m *wire.PrePrepare) ([]wire.Message, bool) {
		if m.Batch.IsNull() {
			return nil, false
		}
		by := off
		if by == 0 {
			by = badTimeDefault
			if m.Seq%2 == 0 {
				by = -badTimeDefault
			}
		}
		return one(proposing(m, max(0, m.Batch.Time+wire.Time(by)), m.Batch.Requests))
	})
}

// madeUp is an input that no application read: one that spoils what quotes it.
func madeUp() []byte { return bytes.Repeat([]byte{0xff}, 300) }

// BadInput returns a primary whose batches have an input that no application read, or
// none where there should be one, in turn.
func BadInput() Strategy {
	return rewriting("proposes a made-up input", func(_ Env, _ wire.ReplicaID, m *wire.PrePrepare) ([]wire.Message, bool) {
		if m.Batch.IsNull() {
			return nil, false
		}
		lie := proposing(m, m.Batch.Time, m.Batch.Requests)
		lie.Batch.Input = nil
		if m.Seq%2 == 0 || len(m.Batch.Input) == 0 {
			lie.Batch.Input = madeUp()
		}
		lie.Digest = lie.Batch.Digest()
		return one(lie)
	})
}

// replayedMax is how many old requests ReplayRequests keeps.
const replayedMax = 64

// ReplayRequests returns a primary that proposes old requests again beside the
// new ones: once many batches have gone by, so that nobody remembers a
// proposal of them.
func ReplayRequests() Strategy {
	var old []*wire.Request
	proposed := map[wire.Seq]*wire.PrePrepare{}
	return rewriting("proposes an old request again", func(env Env, _ wire.ReplicaID, m *wire.PrePrepare) ([]wire.Message, bool) {
		if m.Batch.IsNull() {
			return nil, false
		}
		if known := proposed[m.Seq]; known != nil && known.View == m.View {
			return []wire.Message{known}, known.Digest != m.Digest
		}
		lie := m
		if oldest := len(old) / 2; oldest > 0 && env.Rand().IntN(2) == 0 {
			again := old[env.Rand().IntN(oldest)]
			lie = proposing(m, m.Batch.Time, append(m.Batch.Requests[:len(m.Batch.Requests):len(m.Batch.Requests)], again))
		}
		delete(proposed, m.Seq-min(m.Seq, 4*env.Window()))
		proposed[m.Seq] = lie
		old = append(old, m.Batch.Requests...)
		old = old[max(0, len(old)-replayedMax):]
		return []wire.Message{lie}, lie != m
	})
}
