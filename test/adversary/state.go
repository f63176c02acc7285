package adversary

import (
	"slices"

	"github.com/quorate/quorate/pbft/wire"
)

// CheckpointLies returns a replica that signs two checkpoints for each number, a
// wrong one beside the right one, and others for numbers to come.
func CheckpointLies() Strategy {
	return rewriting("signs wrong checkpoints", func(env Env, to wire.ReplicaID, m *wire.Checkpoint) ([]wire.Message, bool) {
		wrong, future := *m, *m
		wrong.State = flipped(m.State)
		future.Seq += env.Interval()
		future.State = noise(env)
		if to%2 == 0 {
			return []wire.Message{m, &wrong, &future}, true
		}
		return []wire.Message{&wrong, m, &future}, true
	})
}

// DivergingApp returns a replica that speaks as if its application differed by a
// byte: in its checkpoints and in its answers to clients.
func DivergingApp() Strategy {
	lie := func(_ Env, _ wire.ReplicaID, m *wire.Checkpoint) ([]wire.Message, bool) {
		own := *m
		own.State = flipped(m.State)
		return one(&own)
	}
	return &diverging{rewriting("has another state", lie), &mutatingReplies{ways: 1}}
}

type diverging struct {
	*rewriter[*wire.Checkpoint]

	replies *mutatingReplies
}

// Answer gives other results.
func (s *diverging) Answer(env Env, m *wire.Sealed) []*wire.Sealed { return s.replies.Answer(env, m) }

// poisonBytes is how much PoisonedTransfer adds to a piece.
const poisonBytes = 64 << 10

// PoisonedTransfer returns a replica that serves spoilt pieces of the state: with
// a flipped bit, cut short, with something added, empty, for another root, and
// not at all, in turn.
func PoisonedTransfer() Strategy {
	turn := -1
	return rewriting("spoils a piece of the state", func(_ Env, _ wire.ReplicaID, m *wire.Piece) ([]wire.Message, bool) {
		turn++
		lie := wire.Piece{Root: m.Root, Life: m.Life, Data: slices.Clone(m.Data)}
		switch turn % 6 {
		case 0:
			if len(lie.Data) > 0 {
				lie.Data[len(lie.Data)/2] ^= 1
			}
		case 1:
			lie.Data = lie.Data[:len(lie.Data)/2]
		case 2:
			lie.Data = append(lie.Data, make([]byte, poisonBytes)...)
		case 3:
			lie.Data = nil
		case 4:
			lie.Root = flipped(lie.Root)
			lie.Data = append(lie.Data, 0)
		default:
			return nil, true
		}
		return one(&lie)
	})
}

// MutatingReplies returns a replica that answers clients with another result, or
// another outcome, or as if the operation was executed elsewhere, or with the
// answer to another operation, in turn.
func MutatingReplies() Strategy { return &mutatingReplies{ways: 4} }

type mutatingReplies struct {
	Honest
	noter

	ways, turn int
}

// Answer changes replies.
func (s *mutatingReplies) Answer(env Env, m *wire.Sealed) []*wire.Sealed {
	replies, ok := m.Message().(*wire.Replies)
	if !ok || !mine(env, replies) {
		return []*wire.Sealed{m}
	}
	turn := s.turn % s.ways
	lie := retellAll(replies, func(a *wire.Answer) {
		switch turn {
		case 0:
			a.Result = append(slices.Clone(a.Result), 1)
		case 1:
			a.Outcome = wire.OutcomePanicked - min(a.Outcome, wire.OutcomePanicked)
		case 2:
			a.Seq++
		default:
			a.Number++
		}
	})
	s.turn++
	s.note(env, "changes its %s", describe(replies))
	return []*wire.Sealed{env.Sign(lie)}
}

// retellAll returns a copy of m with every answer changed.
func retellAll(m *wire.Replies, change func(*wire.Answer)) *wire.Replies {
	lie := *m
	lie.Answers = slices.Clone(m.Answers)
	for i := range lie.Answers {
		change(&lie.Answers[i])
	}
	return &lie
}
