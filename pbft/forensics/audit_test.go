package forensics_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/quorate/quorate/pbft/forensics"
	"github.com/quorate/quorate/pbft/wire"
)

// audit audits messages, and verifies every proof that is found in a file of its
// own, as somebody else would.
func (w *world) audit(logs ...[]wire.Message) *forensics.Findings {
	w.tb.Helper()
	var all []*forensics.Log
	for _, messages := range logs {
		all = append(all, &forensics.Log{Messages: messages})
	}
	found := forensics.Audit(w.cluster, all...)
	data, err := forensics.EncodeFile(w.domain(), found.Proofs())
	if err != nil {
		w.tb.Fatal(err)
	}
	verified, err := forensics.VerifyFile(w.cluster, data)
	if err != nil || len(verified) != len(found.Convictions) {
		w.tb.Errorf("%d convictions, of which %d verify: %v", len(found.Convictions), len(verified), err)
	}
	return found
}

// charges are the convictions in short.
func charges(f *forensics.Findings) map[wire.ReplicaID][]wire.EvidenceKind {
	out := map[wire.ReplicaID][]wire.EvidenceKind{}
	for _, v := range f.Convictions {
		out[v.Culprit] = append(out[v.Culprit], v.Proof)
	}
	return out
}

func expect(t *testing.T, f *forensics.Findings, conflicts int, want map[wire.ReplicaID][]wire.EvidenceKind) {
	t.Helper()
	if diff := cmp.Diff(want, charges(f)); diff != "" {
		t.Errorf("convictions (-want +got):\n%s", diff)
	}
	if len(f.Conflicts) != conflicts {
		t.Errorf("%d conflicts, want %d: %+v", len(f.Conflicts), conflicts, f.Conflicts)
	}
}

// Two certificates of one view share f+1 signers: 0 and 1 lied.
func TestTwoCertificatesOfOneViewConvictTheirCommonSigners(t *testing.T) {
	w := newWorld(t)
	f := w.audit([]wire.Message{w.committed(0, 5, "a", 0, 1, 2), w.committed(0, 5, "b", 0, 1, 3), w.committed(0, 6, "c", 1, 2, 3)})
	expect(t, f, 1, map[wire.ReplicaID][]wire.EvidenceKind{0: {wire.EvidenceCommits}, 1: {wire.EvidenceCommits}})
	want := forensics.Conflict{Seq: 5, First: digest("a"), Second: digest("b")}
	if f.Conflicts[0] != want || f.Messages != 3 || !slices.Equal(f.Culprits(), []wire.ReplicaID{0, 1}) {
		t.Errorf("got %+v", f)
	}
}

// The new view rests on view changes of 0 and 1 that hide what they committed.
func TestHiddenCertificatesConvictAcrossViews(t *testing.T) {
	w := newWorld(t)
	changes := []*wire.ViewChange{w.change(2, 0), w.change(2, 1), w.change(2, 3)}
	log := []wire.Message{w.committed(1, 1, "a", 0, 1, 2), w.committed(2, 1, "b", 0, 1, 3), w.open(2, changes, "b")}
	for _, vc := range changes {
		log = append(log, vc)
	}
	log[2] = w.open(2, changes) // it carries nothing over; "b" is new
	expect(t, w.audit(log), 1, map[wire.ReplicaID][]wire.EvidenceKind{0: {wire.EvidenceHidden}, 1: {wire.EvidenceHidden}})
}

// Everybody hands the certificate over, and the new primary drops it.
func TestAWrongNewViewConvictsAcrossViews(t *testing.T) {
	w := newWorld(t)
	cert := w.prepared(1, 1, "a", 0, 2)
	changes := []*wire.ViewChange{w.change(2, 0, cert), w.change(2, 2, cert), w.change(2, 3, cert)}
	log := []wire.Message{w.committed(1, 1, "a", 0, 1, 2), w.open(2, changes, "b")}
	for _, vc := range changes {
		log = append(log, vc)
	}
	expect(t, w.audit(log), 0, map[wire.ReplicaID][]wire.EvidenceKind{2: {wire.EvidenceChoices}})
}

// Most commits of a long log are above most view changes, and of later views.
func TestAuditGrowsAsTheLogDoes(t *testing.T) {
	w := newWorld(t)
	const each = 100 // numbers of each view
	allocations := func(views int) float64 {
		log := &forensics.Log{}
		for v := range wire.View(views) { //nolint:gosec // small
			for seq := wire.Seq(v)*each + 1; seq <= wire.Seq(v+1)*each; seq++ {
				log.Messages = append(log.Messages, &wire.CommitProof{Cert: wire.CommitCert{
					View: v, Seq: seq, Commits: []wire.Signed{{Sender: 0}, {Sender: 1}, {Sender: 2}},
				}})
			}
			for id := range wire.ReplicaID(3) {
				stable := wire.CheckpointCert{Seq: wire.Seq(v+1) * each}
				log.Messages = append(log.Messages, &wire.ViewChange{View: v + 1, Stable: stable, Sender: id})
			}
		}
		return testing.AllocsPerRun(1, func() {
			if found := forensics.Audit(w.cluster, log); len(found.Convictions) > 0 {
				t.Errorf("%d convictions", len(found.Convictions))
			}
		})
	}
	if half, whole := allocations(30), allocations(60); whole > 3*half {
		t.Errorf("an audit of a log twice as long makes %.0f allocations, not %.0f", whole, half)
	}
}

// A commit of an early view may be at the end of the log.
func TestHiddenCommitFarAboveConvicts(t *testing.T) {
	w := newWorld(t)
	log := []wire.Message{w.change(2, 1)}
	for seq := wire.Seq(1); seq < 20; seq++ {
		log = append(log, w.committed(3, seq, "a", 0, 1, 2))
	}
	log = append(log, w.committed(1, 20, "b", 1, 2, 3))
	expect(t, w.audit(log), 0, map[wire.ReplicaID][]wire.EvidenceKind{1: {wire.EvidenceHidden}})
}

func TestTwoStatesConvictTheirCommonSigners(t *testing.T) {
	w := newWorld(t)
	f := w.audit([]wire.Message{w.stable(8, "a", 0, 1, 2), w.stable(8, "b", 1, 2, 3)})
	expect(t, f, 1, map[wire.ReplicaID][]wire.EvidenceKind{1: {wire.EvidenceCheckpoints}, 2: {wire.EvidenceCheckpoints}})
}

// Votes within certificates of view changes, and choices of new views, count.
func TestVotesWithinCertificatesConvict(t *testing.T) {
	w := newWorld(t)
	f := w.audit([]wire.Message{w.change(2, 0, w.prepared(1, 1, "a", 0, 2)), w.change(2, 3, w.prepared(1, 1, "b", 0, 3))})
	expect(t, f, 0, map[wire.ReplicaID][]wire.EvidenceKind{0: {wire.EvidencePrepares}, 1: {wire.EvidencePrePrepares}})
}

func TestTwoMessagesForOneViewConvict(t *testing.T) {
	w := newWorld(t)
	one, two := w.change(2, 3), w.change(2, 3, w.prepared(0, 1, "a", 1, 3))
	f := w.audit([]wire.Message{one, two, w.open(2, []*wire.ViewChange{one}), w.open(2, []*wire.ViewChange{two}, "a")})
	expect(t, f, 0, map[wire.ReplicaID][]wire.EvidenceKind{2: {wire.EvidenceNewViews}, 3: {wire.EvidenceViewChanges}})
}

// Neither half convicts; both together do.
func TestSeveralArchivesConvictTogether(t *testing.T) {
	w := newWorld(t)
	one, two := []wire.Message{w.committed(0, 5, "a", 0, 1, 2)}, []wire.Message{w.committed(0, 5, "b", 0, 1, 3)}
	expect(t, w.audit(one), 0, map[wire.ReplicaID][]wire.EvidenceKind{})
	expect(t, w.audit(two), 0, map[wire.ReplicaID][]wire.EvidenceKind{})
	expect(t, w.audit(one, two), 1, map[wire.ReplicaID][]wire.EvidenceKind{
		0: {wire.EvidenceCommits}, 1: {wire.EvidenceCommits},
	})
}

// What correct replicas sign over views, checkpoints and certificates with
// different signers convicts nobody.
func TestTheHonestAreNotConvicted(t *testing.T) {
	w := newWorld(t)
	a1, again, b2 := w.prepared(0, 1, "a", 1, 2), w.prepared(1, 1, "a", 0, 2), w.prepared(1, 2, "b", 2, 3)
	first := []*wire.ViewChange{w.change(1, 1, a1), w.change(1, 2, a1), w.change(1, 3)}
	second := []*wire.ViewChange{w.change(2, 1, again, b2), w.change(2, 2, again, b2), w.change(2, 3, again, b2)}
	log := []wire.Message{
		w.committed(0, 1, "a", 0, 1, 2), w.committed(1, 1, "a", 1, 2, 3), w.committed(1, 2, "b", 1, 2, 3),
		w.open(1, first, "a"), w.open(2, second, "a", "b"), w.stable(2, "s", 0, 1, 2), w.stable(2, "s", 1, 2, 3),
	}
	for _, vc := range slices.Concat(first, second) {
		log = append(log, vc, vc)
	}
	expect(t, w.audit(slices.Concat(log, log)), 0, map[wire.ReplicaID][]wire.EvidenceKind{})
}
