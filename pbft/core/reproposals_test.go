package core

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// history is what may happen over some views under the protocol's rules, seen
// from above: who prepared what where, and what committed. The last f replicas
// are faulty: they vote for everything and hide what they like.
type history struct {
	q         Quorum
	rng       *rand.Rand
	numbers   wire.Seq
	prepared  []map[wire.Seq]wire.PreparedCert // by correct replica: of the highest view
	stable    []wire.Seq                       // by replica
	committed map[wire.Seq]crypto.Digest
	certs     []wire.PreparedCert // that ever came to be: a faulty replica may show any
	fresh     byte
}

func (h *history) correct() int { return h.q.Replicas() - h.q.Faults() }

func newHistory(q Quorum, seed uint64) *history {
	h := &history{
		q: q, rng: rand.New(rand.NewPCG(seed, 7)), numbers: 4,
		stable: make([]wire.Seq, q.Replicas()), committed: map[wire.Seq]crypto.Digest{},
	}
	for range h.correct() {
		h.prepared = append(h.prepared, map[wire.Seq]wire.PreparedCert{})
	}
	return h
}

// view plays one view that opens with choices.
func (h *history) view(t *rapid.T, view wire.View, stable wire.Seq, choices []wire.Choice) {
	faulty := int(view.Primary(h.q.Replicas())) >= h.correct()
	inView := make([]bool, h.correct())
	for i := range inView {
		inView[i] = h.rng.IntN(5) > 0
	}
	carried := stable + wire.Seq(len(choices))
	for seq := stable + 1; seq <= h.numbers; seq++ {
		var proposals []crypto.Digest
		switch {
		case seq <= carried:
			proposals = []crypto.Digest{choices[seq-stable-1].Digest}
		case faulty && h.rng.IntN(2) == 0:
			proposals = []crypto.Digest{h.batch(), h.batch()} // equivocation
		case h.rng.IntN(4) > 0:
			proposals = []crypto.Digest{h.batch()}
		default:
			continue
		}
		accepted := make([]crypto.Digest, h.correct())
		for i := range accepted {
			if inView[i] && h.rng.IntN(6) > 0 {
				accepted[i] = proposals[h.rng.IntN(len(proposals))]
			}
		}
		for _, digest := range proposals {
			h.votes(t, wire.PreparedCert{View: view, Seq: seq, Digest: digest}, accepted)
		}
	}
	h.checkpoint()
}

func (h *history) batch() crypto.Digest {
	h.fresh++
	return crypto.Digest{h.fresh, 1}
}

// votes lets those that accepted a digest prepare, and commit, if enough did.
func (h *history) votes(t *rapid.T, cert wire.PreparedCert, accepted []crypto.Digest) {
	n := h.q.Faults()
	for _, digest := range accepted {
		if digest == cert.Digest {
			n++
		}
	}
	if n < h.q.Strong() {
		return
	}
	h.certs = append(h.certs, cert)
	commits := h.q.Faults()
	for i, digest := range accepted {
		if digest == cert.Digest && h.rng.IntN(5) > 0 { // its prepares arrive
			h.prepared[i][cert.Seq] = cert
			commits++
		}
	}
	if commits < h.q.Strong() {
		return
	}
	if old, ok := h.committed[cert.Seq]; ok && old != cert.Digest {
		t.Fatalf("view %d commits %s at %d, where %s committed", cert.View, cert.Digest.Short(), cert.Seq, old.Short())
	}
	h.committed[cert.Seq] = cert.Digest
}

// checkpoint lets some replicas see a stable checkpoint of what is committed
// without gaps.
func (h *history) checkpoint() {
	whole := wire.Seq(0)
	for h.committed[whole+1] != (crypto.Digest{}) {
		whole++
	}
	for i := range h.stable {
		if whole > h.stable[i] && h.rng.IntN(4) == 0 {
			h.stable[i] += wire.Seq(h.rng.IntN(int(whole-h.stable[i]) + 1))
		}
	}
}

// change returns the view change of a replica, a lie if it is faulty.
func (h *history) change(id int, view wire.View) *wire.ViewChange {
	vc := &wire.ViewChange{View: view, Sender: wire.ReplicaID(id)}
	vc.Stable = wire.CheckpointCert{Seq: h.stable[id], State: crypto.Digest{byte(h.stable[id])}}
	for seq := vc.Stable.Seq + 1; seq <= h.numbers; seq++ {
		if id < h.correct() {
			if cert, ok := h.prepared[id][seq]; ok {
				vc.Prepared = append(vc.Prepared, cert)
			}
			continue
		}
		for _, at := range h.rng.Perm(len(h.certs)) {
			if h.certs[at].Seq == seq && h.rng.IntN(3) > 0 {
				vc.Prepared = append(vc.Prepared, h.certs[at])
				break
			}
		}
	}
	return vc
}

// TestNewViewKeepsWhatCommitted plays views with faulty primaries, lost votes
// and lying view changes; every quorum of view changes carries over what
// committed anywhere, in whichever order it is counted.
func TestNewViewKeepsWhatCommitted(t *testing.T) {
	sizes := [][2]int{{1, 0}, {3, 0}, {4, 1}, {5, 1}, {6, 1}, {7, 2}, {8, 2}}
	commits := 0
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.SampledFrom(sizes).Draw(t, "n, f")
		q, err := NewQuorumWithFaults(size[0], size[1])
		if err != nil {
			t.Fatal(err)
		}
		h := newHistory(q, rapid.Uint64().Draw(t, "seed"))
		stable, choices := wire.CheckpointCert{}, []wire.Choice(nil)
		for view := range wire.View(rapid.IntRange(1, 7).Draw(t, "views")) {
			h.view(t, view, stable.Seq, choices)
			stable, choices = h.everyQuorum(t, view+1)
		}
		commits += len(h.committed)
	})
	if commits == 0 {
		t.Error("nothing ever committed: the test tests nothing")
	}
}

// everyQuorum checks every set of q view changes, and returns one result.
func (h *history) everyQuorum(t *rapid.T, view wire.View) (wire.CheckpointCert, []wire.Choice) {
	n := h.q.Replicas()
	var sets []uint
	for set := range uint(1) << n {
		if popCount(set) == h.q.Strong() {
			sets = append(sets, set)
		}
	}
	chosen := h.rng.IntN(len(sets))
	all := make([]*wire.ViewChange, n)
	for id := range all {
		all[id] = h.change(id, view)
	}
	var stable wire.CheckpointCert
	var choices []wire.Choice
	for i, set := range sets {
		var changes []*wire.ViewChange
		for id := range all {
			if set>>id&1 == 1 {
				changes = append(changes, all[id])
			}
		}
		s, c := reproposals(changes)
		h.check(t, &s, c)
		h.rng.Shuffle(len(changes), func(a, b int) { changes[a], changes[b] = changes[b], changes[a] })
		s2, c2 := reproposals(changes)
		if d := cmp.Diff(s, s2) + cmp.Diff(c, c2); d != "" {
			t.Fatalf("another order gives another choice: %s", d)
		}
		if i == chosen {
			stable, choices = s, c
		}
	}
	return stable, choices
}

func (h *history) check(t *rapid.T, stable *wire.CheckpointCert, choices []wire.Choice) {
	for i, c := range choices {
		if c.Seq != stable.Seq+wire.Seq(i)+1 {
			t.Fatalf("choice %d above %d is for %d", i, stable.Seq, c.Seq)
		}
	}
	for seq, digest := range h.committed {
		at := int(seq) - int(stable.Seq) - 1
		switch {
		case at < 0: // covered by the checkpoint
		case at >= len(choices):
			t.Fatalf("%d committed, and is not carried over: above %d come %d", seq, stable.Seq, len(choices))
		case choices[at].Digest != digest:
			t.Fatalf("%s committed at %d, and %s is carried over", digest.Short(), seq, choices[at].Digest.Short())
		}
	}
}

func popCount(set uint) int {
	n := 0
	for ; set != 0; set &= set - 1 {
		n++
	}
	return n
}

func TestEqualHeightsAreChosenByDigest(t *testing.T) {
	change := func(id wire.ReplicaID, state, batch byte) *wire.ViewChange {
		return &wire.ViewChange{
			View: 3, Sender: id, Stable: wire.CheckpointCert{Seq: 4, State: crypto.Digest{state}},
			Prepared: []wire.PreparedCert{{View: 2, Seq: 5, Digest: crypto.Digest{batch}}},
		}
	}
	a, b := change(0, 1, 9), change(1, 2, 8)
	s1, c1 := reproposals([]*wire.ViewChange{a, b})
	s2, c2 := reproposals([]*wire.ViewChange{b, a})
	if d := cmp.Diff(s1, s2) + cmp.Diff(c1, c2); d != "" {
		t.Errorf("two certificates of one height, which more than f lies make, split the choice: %s", d)
	}
	if s1.State != (crypto.Digest{2}) || c1[0].Digest != (crypto.Digest{9}) {
		t.Errorf("got %v and %v, want the greater digests", s1, c1)
	}
}
