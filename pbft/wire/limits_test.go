package wire_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// tight are limits small enough to fill to the brim.
func tight() wire.Limits {
	return wire.Limits{
		Replicas: replicas, OpBytesMax: 300, OpsMax: 5, BatchRequestsMax: 64, BatchBytesMax: 1500,
		ResultBytesMax: 70, PieceBytesMax: 90, Window: 6,
	}
}

func everyone() []wire.Signed { return signers(0, 1, 2, 3) }

func largestRequest(lim wire.Limits) *wire.Request {
	q := &wire.Request{Number: 1, Ops: make([][]byte, lim.OpsMax)}
	q.Ops[2] = make([]byte, lim.OpBytesMax)
	return q
}

// largestBatch is filled by requests of one size, and then by the largest.
func largestBatch(lim wire.Limits) *wire.Batch {
	b := &wire.Batch{Time: 1, Input: make([]byte, wire.InputBytesMax)}
	one := &wire.Request{Number: 1, Ops: [][]byte{make([]byte, 121)}}
	for b.Size()-len(b.Input)-wire.NullBatch().Size()+one.Size() <= lim.BatchBytesMax {
		b.Requests = append(b.Requests, one)
	}
	b.Requests = append(b.Requests, largestRequest(lim))
	return b
}

func largestReply(lim wire.Limits) *wire.Reply {
	m := &wire.Reply{Inner: wire.Place{Leaves: 1}, Outer: wire.Place{Leaves: 1}}
	m.Number, m.Result = 1, make([]byte, lim.ResultBytesMax)
	return m
}

func largestReplies(lim wire.Limits) *wire.Replies {
	m := &wire.Replies{Outer: wire.Place{Leaves: 1}}
	for i := range wire.Number(wire.RepliesMax) {
		m.Answers = append(m.Answers, wire.Answer{Number: i + 1, Result: make([]byte, lim.ResultBytesMax)})
	}
	return m
}

func largestViewChange(lim wire.Limits, view wire.View) *wire.ViewChange {
	vc := &wire.ViewChange{View: view, Stable: wire.CheckpointCert{Seq: 1, Signers: everyone()}}
	for i := range lim.Window {
		vc.Prepared = append(vc.Prepared, wire.PreparedCert{Seq: 2 + i, Prepares: signers(1, 2, 3)})
	}
	return vc
}

func largestReport() *wire.Report {
	s := wire.OtherState{Replicas: []wire.ReplicaID{0, 1, 2, 3}, Why: string(make([]byte, wire.DivisionWhyBytesMax))}
	for range wire.DivisionKeysMax {
		s.Keys = append(s.Keys, wire.DifferingKey{
			Part: wire.PartOther, Key: make([]byte, wire.DivisionKeyBytesMax), KeyBytes: 1000, Own: wire.ValueSize{Present: true},
		})
	}
	m := &wire.Report{Division: wire.Division{Seq: 1}}
	for range wire.DivisionStatesMax {
		m.Division.States = append(m.Division.States, s)
	}
	return m
}

// TestEveryKindFitsItsLimit builds the largest legal message of kinds with
// variable parts. Only a prepared certificate has one signer less than is
// reserved for it, and a reply's path is as long as 2^32 leaves would need.
func TestEveryKindFitsItsLimit(t *testing.T) {
	lim := tight()
	batch := largestBatch(lim)
	d := batch.Digest()
	nv := &wire.NewView{View: 4, Choices: make([]wire.Choice, lim.Window)}
	slots := make([]wire.SlotStatus, wire.StatusSlotsMax)
	for i := range slots {
		slots[i].Seq = wire.Seq(i + 1)
	}
	for i := range nv.Choices {
		nv.Choices[i].Seq = wire.Seq(i + 1)
	}
	for id := range wire.ReplicaID(replicas) {
		nv.ViewChanges = append(nv.ViewChanges, wire.ViewChangeRef{Sender: id})
	}
	digests := make([]crypto.Digest, wire.FetchDigestsMax)
	for _, c := range []struct {
		m     wire.Message
		slack int
	}{
		{largestRequest(lim), 0},
		{&wire.PrePrepare{Vote: wire.Vote{Seq: 1, Digest: d}, Batch: batch}, 0},
		{&wire.BatchBody{Batch: batch}, 0},
		{&wire.Committed{Cert: wire.CommitCert{Seq: 1, Digest: d, Commits: everyone()}, Batch: batch}, 0},
		{&wire.CommitProof{Cert: wire.CommitCert{Seq: 1, Commits: everyone()}}, 0},
		{&wire.Prepared{Cert: wire.PreparedCert{Seq: 1, Prepares: signers(1, 2, 3)}}, 68},
		{&wire.StableProof{Cert: wire.CheckpointCert{Seq: 1, Signers: everyone()}}, 0},
		{largestViewChange(lim, 1), 68 * int(lim.Window)},
		{nv, 0},
		{&wire.Status{Slots: slots, ViewChanges: []wire.ReplicaID{0, 1, 2, 3}}, 0},
		{&wire.FetchBatches{Digests: digests}, 0},
		{&wire.FetchPieces{Seq: 1, Digests: digests}, 0},
		{&wire.FetchCommitted{First: 1, Last: 1}, 0},
		{&wire.FetchViewChange{View: 1, Refs: nv.ViewChanges}, 0},
		{&wire.Piece{Data: make([]byte, lim.PieceBytesMax)}, 0},
		{largestReply(lim), (30 + 32) * crypto.DigestSize},
		{largestReplies(lim), 32 * crypto.DigestSize},
		{&wire.Refusal{Reason: 1, Detail: string(make([]byte, wire.RefusalDetailBytesMax))}, 0},
		{&wire.Prepare{Vote: wire.Vote{Seq: 1, Sender: 1}}, 0},
		{&wire.Commit{Vote: wire.Vote{Seq: 1}}, 0},
		{&wire.Checkpoint{Seq: 1}, 0},
		{&wire.Ask{}, 0},
		{&wire.AskOutputs{From: 1}, 0},
		{&wire.Outputs{From: 1, Kept: 1, Next: 2, Emitted: []wire.Emitted{{Seq: 1, Payload: make([]byte, wire.OutputBytesMax)}}}, 0},
		{&wire.Query{Ops: slices.Insert(make([][]byte, lim.OpsMax-1), 0, make([]byte, lim.OpBytesMax))}, 0},
		{&wire.Results{Results: []wire.QueryResult{{Result: make([]byte, lim.ResultBytesMax)}}}, wire.ResultsBytesMax - lim.ResultBytesMax},
		{largestReport(), 0},
	} {
		k, frame := c.m.Kind(), wire.Encode(c.m)
		if _, err := wire.Decode(frame, &lim); err != nil {
			t.Errorf("%s: %v", k, err)
		}
		slack := lim.KindBytesMax(k) - len(frame)
		if bound := c.slack + lim.BatchBytesMax/5; slack < c.slack || slack > bound {
			t.Errorf("%s: %d bytes of %d, want %d to %d less", k, len(frame), lim.KindBytesMax(k), c.slack, bound)
		}
	}
}

// TestABatchIsBoundedWhateverItsFrame holds that a batch cannot use the room
// that signers leave in its frame.
func TestABatchIsBoundedWhateverItsFrame(t *testing.T) {
	lim := tight()
	b := largestBatch(lim)
	lim.BatchBytesMax = b.Size() - wire.NullBatch().Size() - wire.InputBytesMax - lim.RequestBytesMax()
	decode := func() error {
		m := &wire.Committed{Cert: wire.CommitCert{Seq: 1, Digest: b.Digest()}, Batch: b}
		_, err := wire.Decode(wire.Encode(m), &lim)
		return err
	}
	if err := decode(); err != nil {
		t.Error(err)
	}
	b.Requests[0] = &wire.Request{Number: 1, Ops: [][]byte{make([]byte, len(b.Requests[0].Ops[0])+1)}}
	if err := decode(); !errors.Is(err, wire.ErrMalformed) {
		t.Errorf("one byte more: got %v, want ErrMalformed", err)
	}
}

// TestTheLongestFrameHoldsEvidence holds that two of the longest statements fit
// into one frame, with the default limits too.
func TestTheLongestFrameHoldsEvidence(t *testing.T) {
	for _, lim := range []wire.Limits{tight(), wire.DefaultLimits(replicas)} {
		first, second := largestViewChange(lim, 2), largestViewChange(lim, 2)
		second.Prepared[0].Digest[0]++
		e, err := wire.NewEvidence(wire.EvidenceViewChanges, 0, first, second)
		if err != nil {
			t.Fatal(err)
		}
		frame := wire.Encode(e)
		if len(frame) > lim.KindBytesMax(wire.KindEvidence) || len(frame) > lim.FrameBytesMax() {
			t.Errorf("evidence of %d bytes, allowed are %d", len(frame), lim.KindBytesMax(wire.KindEvidence))
		}
		if _, err := wire.Decode(frame, &lim); err != nil {
			t.Error(err)
		}
	}
}

func TestFrameBytesMaxIsThatOfTheLongestKind(t *testing.T) {
	for _, n := range []int{1, 4, 7, 31, 100} {
		lim := wire.DefaultLimits(n)
		var all []int
		for _, k := range kinds() {
			if lim.KindBytesMax(k) < 10 {
				t.Errorf("%s of %d replicas: %d bytes are too few", k, n, lim.KindBytesMax(k))
			}
			all = append(all, lim.KindBytesMax(k))
		}
		if got, want := lim.FrameBytesMax(), slices.Max(all); got != want {
			t.Errorf("%d replicas: got %d, want %d", n, got, want)
		}
	}
	lim := wire.DefaultLimits(replicas)
	for _, k := range []wire.Kind{0, wire.KindLast + 1, 255} {
		if got := lim.KindBytesMax(k); got != 0 {
			t.Errorf("kind %d: got %d bytes, want 0", byte(k), got)
		}
	}
}
