package core

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// anyBatch returns one of a few batches, each always the same.
func anyBatch(number int) (crypto.Digest, *wire.Batch) {
	if number == 0 {
		return wire.NullDigest(), wire.NullBatch()
	}
	b := &wire.Batch{Time: wire.Time(number), Requests: []*wire.Request{requestOf(byte(number), 1, 1)}}
	return b.Digest(), b
}

func TestSlotKeepsWhatIsNeeded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &slot{seq: 1}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			digest, batch := anyBatch(rapid.IntRange(0, 12).Draw(t, "batch"))
			switch rapid.SampledFrom([]string{"propose", "prepare", "commit", "leave", "keep", "aim"}).Draw(t, "what") {
			case "propose":
				if s.proposal == nil {
					s.proposal = &wire.PrePrepare{Vote: wire.Vote{Digest: digest}, Batch: batch}
					s.keep(digest, batch)
				}
			case "prepare":
				if s.proposal != nil {
					s.prepared = &wire.PreparedCert{Digest: s.proposal.Digest}
				}
			case "commit":
				if s.committed == nil {
					s.committed = &wire.CommitCert{Digest: digest}
					s.keep(digest, batch)
				}
			case "leave":
				s.forgetView()
			case "keep":
				s.keep(digest, batch)
			case "aim":
				if s.proposal == nil {
					s.aim = digest
					s.keep(digest, batch)
				}
			}
			checkNeeded(t, s)
		}
	})
}

func checkNeeded(t *rapid.T, s *slot) {
	if len(s.bodies) > bodiesMax {
		t.Fatalf("got %d bodies, want at most %d", len(s.bodies), bodiesMax)
	}
	for what, digest := range map[string]*crypto.Digest{
		"proposal": digestIf(s.proposal != nil, func() crypto.Digest { return s.proposal.Digest }),
		"prepared": digestIf(s.prepared != nil, func() crypto.Digest { return s.prepared.Digest }),
		"commit":   digestIf(s.committed != nil, func() crypto.Digest { return s.committed.Digest }),
		"aim":      digestIf(!s.aim.IsZero(), func() crypto.Digest { return s.aim }),
	} {
		if digest == nil {
			continue
		}
		if b := s.body(*digest); b == nil || b.Digest() != *digest {
			t.Fatalf("the batch of the %s is gone", what)
		}
	}
}

func digestIf(ok bool, of func() crypto.Digest) *crypto.Digest {
	if !ok {
		return nil
	}
	d := of()
	return &d
}

func TestBallotCountsTheFirstVoteOfEach(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 10).Draw(t, "n")
		var b ballot
		model := map[wire.ReplicaID]vote{}
		for range rapid.IntRange(0, 30).Draw(t, "votes") {
			sender := wire.ReplicaID(rapid.IntRange(0, n-1).Draw(t, "sender"))
			v := vote{
				digest:    crypto.Digest{byte(rapid.IntRange(1, 3).Draw(t, "digest"))},
				signature: crypto.Signature{rapid.Byte().Draw(t, "signature")},
			}
			conflict, ok := b.add(n, sender, v)
			old, voted := model[sender]
			if wantOK := !voted || old.digest == v.digest; ok != wantOK {
				t.Fatalf("R%d votes %v after %v: got ok %v", sender, v, old, ok)
			}
			if !ok && (conflict.digest != old.digest || conflict.signature != old.signature) {
				t.Fatalf("got the earlier vote %v, want %v", conflict, old)
			}
			if !voted {
				model[sender] = v
			}
		}
		checkBallot(t, &b, model, n)
	})
}

func checkBallot(t *rapid.T, b *ballot, model map[wire.ReplicaID]vote, n int) {
	for d := byte(0); d <= 3; d++ {
		digest, want := crypto.Digest{d}, 0
		for _, v := range model {
			if v.digest == digest {
				want++
			}
		}
		if got := b.count(digest); got != want {
			t.Fatalf("digest %d: got %d votes, want %d", d, got, want)
		}
		signers := b.signers(digest, want)
		if len(signers) != want {
			t.Fatalf("digest %d: got %d signers, want %d", d, len(signers), want)
		}
		for i, s := range signers {
			of := model[s.Sender]
			if i > 0 && s.Sender <= signers[i-1].Sender || of.digest != digest || of.signature != s.Signature {
				t.Fatalf("digest %d: got signers %v", d, signers)
			}
		}
	}
	for k := 1; k <= n; k++ {
		winner, ok := b.winner(k)
		most := max(b.count(crypto.Digest{1}), b.count(crypto.Digest{2}), b.count(crypto.Digest{3}))
		if ok != (most >= k) || ok && b.count(winner) < k {
			t.Fatalf("winner with %d: got %v, %v", k, winner, ok)
		}
	}
}

func TestBufferIsBoundedForEachSender(t *testing.T) {
	b := newBuffer(3)
	small := wire.Reseal(&wire.Prepare{Vote: wire.Vote{View: 9, Seq: 1, Sender: 1}})
	for range 2 * earlyMessagesMax {
		b.keep(1, Received{From: 1, Message: small})
	}
	op := make([]byte, 200<<10)
	large := wire.Reseal(&wire.PrePrepare{Batch: &wire.Batch{Requests: []*wire.Request{{Ops: [][]byte{op}}}}})
	for range 2 * earlyBytesMax / len(op) {
		b.keep(2, Received{From: 2, Message: large})
	}
	b.keep(0, Received{From: 0, Message: small})
	if got := len(b.senders[1].messages); got != earlyMessagesMax {
		t.Errorf("got %d messages of a sender, want %d", got, earlyMessagesMax)
	}
	if got := b.senders[2].bytes; got > earlyBytesMax || got < earlyBytesMax-len(large.Frame()) {
		t.Errorf("got %d bytes of a sender, want nearly %d", got, earlyBytesMax)
	}
	large2 := len(b.senders[2].messages)
	drained := b.drain()
	if len(drained) != 1+earlyMessagesMax+large2 {
		t.Errorf("got %d messages back, want %d", len(drained), 1+earlyMessagesMax+large2)
	}
	if drained[0].From != 0 || len(b.drain()) != 0 {
		t.Error("a flooding sender pushed out another's message, or the buffer is not empty")
	}
}

func TestArchiveIsConsecutiveAndBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var a archive
		bytesMax := rapid.IntRange(1, 2000).Draw(t, "bytes")
		seq := wire.Seq(0)
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			seq += wire.Seq(rapid.SampledFrom([]int{1, 1, 1, 1, 2}).Draw(t, "step"))
			s := &slot{seq: seq}
			digest, batch := anyBatch(int(seq%12) + 1)
			what := rapid.SampledFrom([]string{"whole", "whole", "whole", "no certificate", "no batch"}).Draw(t, "slot")
			if what != "no certificate" {
				s.committed = &wire.CommitCert{Seq: seq, Digest: digest, Commits: make([]wire.Signed, seq%4)}
			}
			if what == "whole" {
				s.keep(digest, batch)
			}
			a.add(s, bytesMax)
			bytes := 0
			for i, e := range a.entries {
				bytes += committedBytes(e)
				if i > 0 && e.Cert.Seq != a.entries[i-1].Cert.Seq+1 {
					t.Fatalf("%d follows %d", e.Cert.Seq, a.entries[i-1].Cert.Seq)
				}
				if a.at(e.Cert.Seq) != e || a.body(e.Cert.Digest) == nil {
					t.Fatalf("%d is not found", e.Cert.Seq)
				}
			}
			if bytes != a.bytes || bytes > bytesMax && len(a.entries) > 1 {
				t.Fatalf("got %d bytes counted, %d kept, want at most %d", a.bytes, bytes, bytesMax)
			}
			unknown := a.at(seq+1) == nil && a.at(0) == nil && a.body(crypto.Digest{1}) == nil
			if what == "whole" != (a.at(seq) != nil) || !unknown {
				t.Fatalf("%d, %s: got %v", seq, what, a.at(seq))
			}
		}
	})
}
