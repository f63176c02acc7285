package adversary

import (
	"slices"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// OneVoiceNewView returns a new primary that opens its view at once, on its own
// view change repeated as often as a quorum needs: under its own name, and, to
// those with an even number, under the names of others.
func OneVoiceNewView() Strategy { return &oneVoice{} }

type oneVoice struct {
	Honest
	noter

	last *wire.Sealed
}

// Say adds the new view to the own view change, and withholds the right one.
func (s *oneVoice) Say(env Env, to wire.ReplicaID, m *wire.Sealed) []*wire.Sealed {
	if nv, ok := m.Message().(*wire.NewView); ok && mine(env, nv) {
		return nil
	}
	vc, ok := m.Message().(*wire.ViewChange)
	if !ok || !mine(env, vc) || vc.View.Primary(env.Replicas()) != env.ID() {
		return []*wire.Sealed{m}
	}
	if m != s.last {
		s.last = m
		s.note(env, "opens view %d with one voice", vc.View)
	}
	return []*wire.Sealed{m, env.Sign(s.open(env, to, vc, m.Digest()))}
}

// open returns the new view that vc alone implies.
func (s *oneVoice) open(env Env, to wire.ReplicaID, vc *wire.ViewChange, digest crypto.Digest) *wire.NewView {
	nv := &wire.NewView{View: vc.View, Stable: vc.Stable.Seq, StableState: vc.Stable.State, Sender: env.ID()}
	for id := range wire.ReplicaID(quorum(env)) { //nolint:gosec // a cluster is small
		ref := wire.ViewChangeRef{Sender: env.ID(), Digest: digest}
		if to%2 == 0 {
			ref.Sender = id
		}
		nv.ViewChanges = append(nv.ViewChanges, ref)
	}
	for _, cert := range vc.Prepared {
		for seq := nv.Stable + wire.Seq(len(nv.Choices)) + 1; seq < cert.Seq; seq++ {
			nv.Choices = append(nv.Choices, wire.Choice{Seq: seq, Digest: wire.NullDigest()})
		}
		nv.Choices = append(nv.Choices, wire.Choice{Seq: cert.Seq, Digest: cert.Digest})
	}
	return nv
}

// StaleNewView returns a new primary whose new views name view changes of another
// view if it heard such, or else ones that nobody has, as of another epoch or
// cluster; and, in every second, one of a replica that is no member. Who asks for
// them gets the stale ones.
func StaleNewView() Strategy { return &staleNewView{} }

type staleNewView struct {
	Honest
	noter

	heard []*wire.Sealed // view changes
	last  *wire.Sealed
	lies  int
}

// staleMax is how many view changes are kept.
const staleMax = 64

// Hear keeps view changes, and answers questions about them.
func (s *staleNewView) Hear(env Env, from wire.ReplicaID, m *wire.Sealed) []*wire.Sealed {
	switch q := m.Message().(type) { //nolint:gochecksumtype // the others are the core's
	case *wire.ViewChange:
		s.heard = append(s.heard[max(0, len(s.heard)-staleMax):], m)
	case *wire.FetchViewChange:
		for _, stale := range s.heard {
			if vc, ok := stale.Message().(*wire.ViewChange); ok && vc.View != q.View {
				env.Send(from, stale)
			}
		}
	default:
	}
	return []*wire.Sealed{m}
}

// Say names stale view changes.
func (s *staleNewView) Say(env Env, _ wire.ReplicaID, m *wire.Sealed) []*wire.Sealed {
	nv, ok := m.Message().(*wire.NewView)
	if !ok || !mine(env, nv) {
		return []*wire.Sealed{m}
	}
	if m != s.last {
		s.last = m
		s.lies++
		s.note(env, "names stale view changes in %s", describe(nv))
	}
	lie := *nv
	lie.ViewChanges = slices.Clone(nv.ViewChanges)
	for i := range lie.ViewChanges {
		lie.ViewChanges[i].Digest = s.stale(lie.ViewChanges[i].Sender, nv.View)
	}
	if s.lies%2 == 0 {
		lie.ViewChanges[len(lie.ViewChanges)-1].Sender = wire.ReplicaID(env.Replicas()) //nolint:gosec // small
	}
	return []*wire.Sealed{env.Sign(&lie)}
}

// stale returns the digest of a view change of sender for another view.
func (s *staleNewView) stale(sender wire.ReplicaID, view wire.View) crypto.Digest {
	for _, m := range s.heard {
		if vc, ok := m.Message().(*wire.ViewChange); ok && vc.Sender == sender && vc.View != view {
			return m.Digest()
		}
	}
	return crypto.Sum([]byte("another cluster"))
}

// WrongChoice is a way in which a new view does not follow from its view changes.
type WrongChoice byte

// The ways.
const (
	DropChoice   WrongChoice = iota // the last number is left out
	ChangeChoice                    // the last number gets a batch that nobody proposed
	NullChoice                      // the last number gets the null batch
	HighStart                       // it starts above the stable checkpoint
)

// WrongChoiceNewView returns a new primary whose new views are wrong in these
// ways, in turn; in all, without ways. With nothing to choose from it starts too
// high.
func WrongChoiceNewView(ways ...WrongChoice) Strategy {
	if len(ways) == 0 {
		ways = []WrongChoice{DropChoice, ChangeChoice, NullChoice, HighStart}
	}
	var last wire.View
	turn := -1
	return rewriting("chooses wrongly", func(env Env, _ wire.ReplicaID, m *wire.NewView) ([]wire.Message, bool) {
		if m.View != last {
			last = m.View
			turn++
		}
		way := ways[turn%len(ways)]
		lie := *m
		lie.Choices = slices.Clone(m.Choices)
		end := len(lie.Choices) - 1
		if end >= 0 && way == NullChoice && lie.Choices[end].Digest == wire.NullDigest() {
			way = ChangeChoice
		}
		switch {
		case end < 0 || way == HighStart:
			lie.Stable += env.Interval()
			lie.StableState = flipped(lie.StableState)
			lie.Choices = lie.Choices[min(len(lie.Choices), int(env.Interval())):] //nolint:gosec // small
		case way == DropChoice:
			lie.Choices = lie.Choices[:end]
		case way == ChangeChoice:
			lie.Choices[end].Digest = flipped(lie.Choices[end].Digest)
		default:
			lie.Choices[end].Digest = wire.NullDigest()
		}
		return one(&lie)
	})
}
