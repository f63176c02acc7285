package core

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// archived adds number seq with the i-th batch.
func (a *archive) archived(seq wire.Seq, i, bytesMax int) {
	batch := numberedBatch(i)
	cert := wire.CommitCert{Seq: seq, Digest: batch.Digest(), Commits: []wire.Signed{{Sender: 2, Signature: crypto.Signature{1}}}}
	a.add(&slot{seq: seq, committed: &cert, bodies: []body{{cert.Digest, batch, batch.Size()}}}, bytesMax)
}

// TestArchiveFindsEveryBatchThatItHolds adds few different batches again and again, leaves
// numbers out, and has the oldest dropped.
func TestArchiveFindsEveryBatchThatItHolds(t *testing.T) {
	const different = 5
	one := committedBytes(&wire.Committed{Batch: numberedBatch(0), Cert: wire.CommitCert{Commits: make([]wire.Signed, 1)}})
	rapid.Check(t, func(t *rapid.T) {
		var a archive
		most, seq := rapid.IntRange(1, 8).Draw(t, "most"), wire.Seq(0)
		for range rapid.IntRange(1, 60).Draw(t, "numbers") {
			seq++
			if rapid.IntRange(0, 9).Draw(t, "gap") == 0 {
				seq++
			}
			a.archived(seq, rapid.IntRange(0, different-1).Draw(t, "batch"), most*one)
			for i := range different {
				digest := numberedBatch(i).Digest()
				holds := slices.ContainsFunc(a.entries, func(e *wire.Committed) bool { return e.Cert.Digest == digest })
				if got := a.body(digest); (got != nil) != holds || holds && got.Digest() != digest {
					t.Fatalf("at number %d it gives %v for batch %d, and holds it: %v", seq, got, i, holds)
				}
			}
			if len(a.entries) > most || len(a.numbers) > len(a.entries) {
				t.Fatalf("%d entries, and the places of %d batches, want at most %d", len(a.entries), len(a.numbers), most)
			}
		}
	})
}

// TestWhoAsksForNothingHasNothingSearched asks for batches that nobody has. Entries that
// were looked at would end the test.
func TestWhoAsksForNothingHasNothingSearched(t *testing.T) {
	var fx Effects
	r := backup(t)
	for i := range 100 {
		r.archive.archived(wire.Seq(i+1), i, 1<<20)
	}
	clear(r.archive.entries[1:])
	ask := &wire.FetchBatches{Digests: []crypto.Digest{{1}, {2}}, Sender: 2}
	r.Step(Received{From: 2, Message: wire.Reseal(ask)}, &fx)
	if len(fx.Send) > 0 {
		t.Errorf("it sends %v", fx.Send)
	}
}

// TestViewChangesAreSearchedForOnce repeats view changes. Entries that were looked at would end
// the test: of a replica's view changes those of later views alone are held against them.
func TestViewChangesAreSearchedForOnce(t *testing.T) {
	r := backup(t)
	for i := range 100 {
		r.archive.archived(wire.Seq(i+1), i, 1<<20)
	}
	r.low = 100
	proofs := func(sender wire.ReplicaID, view wire.View, from wire.ReplicaID) (told int) {
		for range r.cfg.StatusTicks {
			r.Step(Tick{1}, &Effects{})
		}
		var fx Effects
		vc := &wire.ViewChange{View: view, Sender: sender, Signature: crypto.Signature{1}}
		r.Step(Received{From: from, Message: wire.Reseal(vc)}, &fx)
		for _, rec := range fx.Persist {
			if _, is := rec.(EvidenceRecord); is {
				told++
			}
		}
		return told
	}
	if n := proofs(3, 7, 3); n > 0 { // it committed nothing
		t.Errorf("%d proofs against one that hides nothing", n)
	}
	entries := slices.Clone(r.archive.entries)
	clear(r.archive.entries[1:])
	proofs(3, 7, 3)
	proofs(3, 7, 2)
	proofs(3, 5, 2)
	copy(r.archive.entries, entries)
	if n := proofs(2, 5, 2); n != 1 {
		t.Errorf("%d proofs against one that hides all that it committed, want one", n)
	}
}
