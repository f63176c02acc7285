package forensics_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/forensics"
	"github.com/quorate/quorate/pbft/wire"
)

// TestAFileConvictsWithTheGenesisAlone holds the whole way: proofs, file, verdict.
func TestAFileConvictsWithTheGenesisAlone(t *testing.T) {
	w := newWorld(t)
	data, err := forensics.EncodeFile(w.domain(), w.evidence(3, 1))
	if err != nil {
		t.Fatal(err)
	}
	got, err := forensics.VerifyFile(newWorld(t).cluster, data)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].Culprit != 1 || got[1].Culprit != 3 {
		t.Fatalf("got %+v, want replicas 1 and 3", got)
	}
	if v := got[0]; v.Proof != wire.EvidenceCommits || v.View != 1 || v.Seq != 7 || v.Said() == "" || v.Why() == "" {
		t.Errorf("got %+v, said %q, why %q", v, v.Said(), v.Why())
	}
}

func TestEqualProofsMakeEqualFiles(t *testing.T) {
	w := newWorld(t)
	a, errA := forensics.EncodeFile(w.domain(), w.evidence(1, 3))
	b, errB := forensics.EncodeFile(w.domain(), w.evidence(3, 1, 3))
	if err := errors.Join(errA, errB); err != nil || !bytes.Equal(a, b) {
		t.Errorf("the files differ: %v", err)
	}
}

// TestATamperedFileIsRefused changes every byte of a file, and cuts it anywhere.
func TestATamperedFileIsRefused(t *testing.T) {
	w := newWorld(t)
	data, err := forensics.EncodeFile(w.domain(), w.evidence(1))
	if err != nil {
		t.Fatal(err)
	}
	for i := range data {
		bad := bytes.Clone(data)
		bad[i] ^= 4
		if _, err := forensics.VerifyFile(w.cluster, bad); !errors.Is(err, forensics.ErrFile) {
			t.Fatalf("byte %d changed: got %v, want ErrFile", i, err)
		}
		if _, err := forensics.VerifyFile(w.cluster, data[:i]); !errors.Is(err, forensics.ErrFile) {
			t.Fatalf("cut at %d: got %v, want ErrFile", i, err)
		}
	}
	if _, err := forensics.VerifyFile(w.cluster, append(bytes.Clone(data), 0)); !errors.Is(err, forensics.ErrFile) {
		t.Errorf("a byte more: got %v, want ErrFile", err)
	}
}

// TestAForgedProofIsRefused makes intact files of proofs that do not hold.
func TestAForgedProofIsRefused(t *testing.T) {
	w := newWorld(t)
	e := w.evidence(1)[0]
	e.Second.Signature[7]++
	data, err := forensics.EncodeFile(w.domain(), []*wire.Evidence{e})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := forensics.VerifyFile(w.cluster, data); !errors.Is(err, forensics.ErrProof) {
		t.Errorf("a forged signature: got %v, want ErrProof", err)
	}
	other := w.evidence(2)[0]
	other.Culprit = 3
	data, err = forensics.EncodeFile(w.domain(), []*wire.Evidence{other})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := forensics.VerifyFile(w.cluster, data); !errors.Is(err, forensics.ErrProof) {
		t.Errorf("another culprit: got %v, want ErrProof", err)
	}
	if _, err := forensics.Verify(w.cluster, wire.Encode(w.commit(0, 1, "a", 2))); !errors.Is(err, forensics.ErrProof) {
		t.Errorf("a commit as a proof: got %v, want ErrProof", err)
	}
}

// TestAProofOfALongBatchConvicts holds that a proof with more requests than a proposal may
// have, which no replica takes from another one, is true where it is kept.
func TestAProofOfALongBatchConvicts(t *testing.T) {
	w := newWorld(t)
	batch := &wire.Batch{Time: 1}
	for range 3 {
		batch.Requests = append(batch.Requests, &wire.Request{Client: w.cluster.Keys[1], Number: 1, Ops: [][]byte{{1}}})
	}
	vote := wire.Vote{Seq: 1, Digest: batch.Digest()}
	frame := wire.Seal(w.signers[0], w.domain(), &wire.PrePrepare{Vote: vote, Batch: batch}).Frame()
	e, err := wire.NewUnsignedEvidence(w.opener.Open([][]byte{frame})[0].Unsigned, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.cluster.Limits.BatchRequestsMax = 2
	dir := t.TempDir()
	a := w.archive(dir, 0)
	if err := errors.Join(a.Keep(e), a.Close()); err != nil {
		t.Fatal(err)
	}
	log := w.read(dir)
	found := forensics.Audit(w.cluster, log)
	if log.Refused != 0 || len(found.Convictions) != 1 || found.Convictions[0].Culprit != 0 {
		t.Errorf("%d records are refused, and convicted are %+v; want none and replica 0", log.Refused, found.Convictions)
	}
	if got, err := forensics.Verify(w.cluster, wire.Encode(e)); err != nil || len(got) != 1 {
		t.Errorf("the proof alone: %+v, %v", got, err)
	}
}

func TestAFileOfAnotherClusterIsRefused(t *testing.T) {
	w := newWorld(t)
	d := w.domain()
	d.Epoch++
	data, err := forensics.EncodeFile(d, w.evidence(1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := forensics.VerifyFile(w.cluster, data); !errors.Is(err, forensics.ErrOtherCluster) {
		t.Errorf("got %v, want ErrOtherCluster", err)
	}
}

// FuzzDecodeFile feeds the reader. What it accepts is what EncodeFile gives for
// the same frames, if they are evidence.
func FuzzDecodeFile(f *testing.F) {
	w := newWorld(f)
	data, err := forensics.EncodeFile(w.domain(), w.evidence(1, 2))
	if err != nil {
		f.Fatal(err)
	}
	body := data[:len(data)-crypto.DigestSize]
	f.Add(body)
	f.Add(body[:80])
	f.Fuzz(func(t *testing.T, body []byte) {
		sum := crypto.Sum(body) // or the fuzzer never gets past the checksum
		file := append(slices.Clone(body), sum[:]...)
		d, frames, err := forensics.DecodeFile(file)
		if err != nil {
			if !errors.Is(err, forensics.ErrFile) {
				t.Fatalf("got %v, want ErrFile", err)
			}
			return
		}
		var proofs []*wire.Evidence
		for _, frame := range frames {
			m, err := wire.Decode(frame, &w.cluster.Limits)
			e, ok := m.(*wire.Evidence)
			if err != nil || !ok {
				return
			}
			proofs = append(proofs, e)
		}
		if again, err := forensics.EncodeFile(d, proofs); err != nil || !bytes.Equal(again, file) {
			t.Fatalf("encoded again it differs: %v", err)
		}
	})
}

// TestOnlyVotesThatLeaveEarlyAreExcusedFromTheDisk holds the words to the protocol (step 9): a
// pre-prepare and a prepare may be sent before they are on disk, and nothing else that convicts.
func TestOnlyVotesThatLeaveEarlyAreExcusedFromTheDisk(t *testing.T) {
	for kind := wire.EvidencePrePrepares; kind <= wire.EvidenceChoices; kind++ {
		v := forensics.Conviction{Proof: kind}
		early := kind == wire.EvidencePrePrepares || kind == wire.EvidencePrepares
		if why := v.Why(); strings.Contains(why, "or its number") != early {
			t.Errorf("%s: got %q", kind, why)
		}
	}
}
