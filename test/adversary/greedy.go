package adversary

import (
	"encoding/binary"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// GreedyPeer returns a replica that asks every other one for all that there is,
// so many times at every tick: batches, committed numbers, view changes and
// pieces of the state; and claims to have nothing.
func GreedyPeer(perTick int) Strategy { return &greedy{perTick: perTick} }

type greedy struct {
	Honest
	noter

	perTick int
	stance  stance
	digests []crypto.Digest // of batches
	root    wire.CheckpointCert
}

// greedyDigestsMax is how many batches a greedy peer asks for at once.
const greedyDigestsMax = 256

// Say learns what there is to ask for.
func (s *greedy) Say(env Env, _ wire.ReplicaID, m *wire.Sealed) []*wire.Sealed {
	s.stance.watch(env, m.Message())
	return []*wire.Sealed{m}
}

// Hear learns what there is to ask for.
func (s *greedy) Hear(_ Env, _ wire.ReplicaID, m *wire.Sealed) []*wire.Sealed {
	switch m := m.Message().(type) { //nolint:gochecksumtype // the others name nothing
	case *wire.PrePrepare:
		s.digests = append(s.digests[max(0, len(s.digests)-greedyDigestsMax+1):], m.Digest)
	case *wire.Checkpoint:
		if m.Seq > s.root.Seq {
			s.root = wire.CheckpointCert{Seq: m.Seq, State: m.State}
		}
	default:
	}
	return []*wire.Sealed{m}
}

// Tick asks.
func (s *greedy) Tick(env Env) {
	id := env.ID()
	questions := []wire.Message{
		&wire.Status{View: s.stance.view, Active: true, Sender: id},
		&wire.FetchCommitted{First: 1, Last: wire.NumberMax, Sender: id},
		&wire.FetchViewChange{View: s.stance.view + 1, Refs: []wire.ViewChangeRef{{Sender: id}}, Sender: id},
	}
	if len(s.digests) > 0 {
		questions = append(questions, &wire.FetchBatches{Digests: s.digests, Sender: id})
	}
	if s.root.Seq > 0 {
		questions = append(questions, &wire.FetchPieces{
			Seq: s.root.Seq, Root: s.root.State, Digests: []crypto.Digest{s.root.State}, Sender: id,
		})
	}
	s.note(env, "asks everyone for everything, %d times", s.perTick)
	for _, q := range questions {
		sealed := env.Sign(q)
		for range s.perTick {
			broadcast(env, sealed)
		}
	}
}

// RawSender is what an Env may be besides: it sends bytes that are no message.
type RawSender interface {
	SendRaw(to wire.ReplicaID, frame []byte)
}

// DecodeBombs returns a replica that sends, at every tick, a frame that no decoder
// may accept: see Bombs. Where an Env sends messages only, they are messages
// beyond every bound.
func DecodeBombs() Strategy { return &bomber{} }

// bomber makes each bomb once: the largest have megabytes.
type bomber struct {
	Honest
	noter

	thrown   int
	frames   [][]byte
	messages []*wire.Sealed
}

// Tick throws the next one.
func (s *bomber) Tick(env Env) {
	raw, able := env.(RawSender)
	if able && s.frames == nil {
		s.frames = Bombs()
	}
	s.note(env, "throws decode bomb %d", s.thrown)
	kinds := oversized(env.ID())
	if len(s.messages) < len(kinds) {
		s.messages = append(s.messages, wire.Reseal(kinds[s.thrown]()))
	}
	for _, to := range others(env) {
		if able {
			raw.SendRaw(to, s.frames[s.thrown%len(s.frames)])
		}
		env.Send(to, s.messages[s.thrown%len(kinds)])
	}
	s.thrown++
}

// oversized returns what makes messages beyond bounds.
func oversized(id wire.ReplicaID) []func() wire.Message {
	const many = 2048
	return []func() wire.Message{
		func() wire.Message { return &wire.Status{View: ^wire.View(0), Executed: ^wire.Seq(0), Sender: id} },
		func() wire.Message { return &wire.Status{Slots: make([]wire.SlotStatus, many), Sender: id} },
		func() wire.Message { return &wire.FetchBatches{Digests: make([]crypto.Digest, many), Sender: id} },
		func() wire.Message { return &wire.FetchCommitted{First: ^wire.Seq(0), Sender: id} },
		func() wire.Message {
			return &wire.ViewChange{View: 1, Prepared: make([]wire.PreparedCert, many), Sender: id}
		},
		func() wire.Message { return &wire.NewView{View: 1, Choices: make([]wire.Choice, many), Sender: id} },
		func() wire.Message {
			return &wire.Evidence{Culprit: id, First: wire.Statement{Body: make([]byte, many)}}
		},
		func() wire.Message { return &wire.Piece{Data: make([]byte, many<<10)} },
		func() wire.Message { return &wire.Committed{Batch: &wire.Batch{Time: -1}} },
		func() wire.Message { return &wire.Commit{Vote: wire.Vote{View: ^wire.View(0), Sender: ^id}} },
	}
}

// Bombs returns frames that a decoder must refuse, before it allocates what they
// announce: of every kind one that is all ones, whose lengths say 2^32 − 1, and
// one that is cut; and a few that are no frames at all. It needs no Env.
func Bombs() [][]byte {
	const length = 512
	out := [][]byte{nil, {}, {wire.Version}, {0, 1}, {^byte(0), ^byte(0)}}
	for kind := wire.KindRequest; kind <= wire.KindLast; kind++ {
		ones := []byte{wire.Version, byte(kind)}
		for range length {
			ones = append(ones, 0xff)
		}
		zeros := append([]byte{wire.Version, byte(kind)}, make([]byte, length)...)
		long := append(zeros[:len(zeros):len(zeros)], 0)
		lengths := []byte{wire.Version, byte(kind)}
		for len(lengths) < length {
			lengths = binary.BigEndian.AppendUint32(lengths, 1<<31)
		}
		out = append(out, ones, ones[:2], ones[:len(ones)/2], zeros[:length/2], long, lengths)
	}
	return append(out, []byte{wire.Version, 0}, []byte{wire.Version, byte(wire.KindLast) + 1})
}
