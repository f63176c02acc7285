package core

import (
	"slices"
	"testing"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// proofOf returns evidence of some size against a replica.
func proofOf(culprit wire.ReplicaID, proof wire.EvidenceKind, bytes int) *wire.Evidence {
	return &wire.Evidence{Proof: proof, Culprit: culprit, First: wire.Statement{Body: make([]byte, bytes)}}
}

func TestTheFirstProofOfAKindIsKeptWhileThereIsRoom(t *testing.T) {
	var p proofs
	for _, c := range []struct {
		proof *wire.Evidence
		kept  bool
	}{
		{proofOf(1, wire.EvidenceCommits, 10), true},
		{proofOf(1, wire.EvidenceCommits, 11), false},
		{proofOf(2, wire.EvidenceCommits, 10), true},
		{proofOf(1, wire.EvidencePrepares, proofsBytesMax), false},
		{proofOf(1, wire.EvidencePrepares, proofsBytesMax/2), true},
		{proofOf(2, wire.EvidencePrepares, proofsBytesMax/2), false},
		{proofOf(2, wire.EvidencePrepares, 10), true},
	} {
		before, size := p.of, len(wire.Encode(c.proof))
		lacks := before.Lacks(c.proof.Proof, c.proof.Culprit, size)
		if got := p.add(c.proof); got != c.kept || lacks != c.kept {
			t.Errorf("%s against %d: kept is %t, lacking %t, want %t", c.proof.Proof, c.proof.Culprit, got, lacks, c.kept)
		}
		if before.Lacks(c.proof.Proof, c.proof.Culprit, size) != lacks || p.of.Lacks(c.proof.Proof, c.proof.Culprit, size) {
			t.Errorf("%s against %d: it is lacking still, or was not before", c.proof.Proof, c.proof.Culprit)
		}
	}
	if p.of.size() > proofsBytesMax || len(p.base()) != len(p.kept) || len(p.kept) != 4 {
		t.Errorf("%d proofs of %d bytes, %d records", len(p.kept), p.of.size(), len(p.base()))
	}
}

func TestConflictsAreKeptOnceAndNotForEver(t *testing.T) {
	var p proofs
	pair := func(seq wire.Seq, name string) ConflictRecord {
		return ConflictRecord{wire.CommitCert{Seq: seq}, wire.CommitCert{Seq: seq, Digest: crypto.Sum([]byte(name))}}
	}
	if !p.addConflict(pair(1, "a")) || p.addConflict(pair(1, "a")) || !p.addConflict(pair(1, "b")) {
		t.Error("a pair is kept twice, or not at all")
	}
	for seq := range wire.Seq(2 * conflictsMax) {
		p.addConflict(pair(2+seq, "a"))
	}
	if len(p.conflicts) != conflictsMax {
		t.Errorf("%d conflicts are kept, want %d", len(p.conflicts), conflictsMax)
	}
}

// TestProofsOutliveARestart holds that what New restores has the proofs, from the
// records as they were made and from a base.
func TestProofsOutliveARestart(t *testing.T) {
	q, _ := NewQuorum(4)
	cfg := DefaultConfig(0, q)
	records := []Record{
		EvidenceRecord{proofOf(1, wire.EvidenceCommits, 10)},
		EvidenceRecord{proofOf(2, wire.EvidenceCommits, 10)},
		ConflictRecord{wire.CommitCert{Seq: 1}, wire.CommitCert{Seq: 1, View: 3}},
	}
	for range 3 {
		r, err := New(cfg, Restored{Records: records})
		if err != nil {
			t.Fatal(err)
		}
		if len(r.proofs.kept) != 2 || len(r.proofs.conflicts) != 1 {
			t.Fatalf("%d proofs and %d conflicts, want 2 and 1", len(r.proofs.kept), len(r.proofs.conflicts))
		}
		records = slices.Clone(r.Base())
	}
}
