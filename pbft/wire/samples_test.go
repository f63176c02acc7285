package wire_test

import (
	"bytes"
	"testing"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

func digest(name string) crypto.Digest { return crypto.Sum([]byte(name)) }

func signers(ids ...wire.ReplicaID) []wire.Signed {
	var s []wire.Signed
	for _, id := range ids {
		s = append(s, wire.Signed{Sender: id})
	}
	return s
}

func (w *world) sampleRequest(client int, ops ...string) *wire.Request {
	q := &wire.Request{Client: w.clients[client].Public(), Session: 5, Number: 9, Acked: 4}
	for _, op := range ops {
		q.Ops = append(q.Ops, []byte(op))
	}
	return q
}

func (w *world) sampleBatch() *wire.Batch {
	return &wire.Batch{Time: 1_700_000_000_000_000_001, Input: []byte("from outside"), Requests: []*wire.Request{
		w.sampleRequest(0, "add 1"), w.sampleRequest(1, "add 2", "add 3"),
	}}
}

func sampleCert(v wire.View, s wire.Seq, prepares ...wire.ReplicaID) wire.PreparedCert {
	return wire.PreparedCert{View: v, Seq: s, Digest: digest("batch"), Prepares: signers(prepares...)}
}

// samples returns one sealed message of each kind, by kind, always the same.
func (w *world) samples(tb testing.TB) map[wire.Kind]*wire.Sealed {
	tb.Helper()
	vote := wire.Vote{View: 6, Seq: 300, Digest: digest("batch"), Sender: 3}
	stable := func() wire.CheckpointCert {
		return wire.CheckpointCert{Seq: 256, State: digest("state"), Signers: signers(0, 2, 3)}
	}
	refs := []wire.ViewChangeRef{
		{Sender: 0, Digest: digest("vc 0")}, {Sender: 1, Digest: digest("vc 1")}, {Sender: 3, Digest: digest("vc 3")},
	}
	commits := func() wire.CommitCert {
		return wire.CommitCert{View: 6, Seq: 300, Digest: digest("batch"), Commits: signers(0, 1, 3)}
	}
	unsigned := []wire.Message{
		w.sampleRequest(0, "add 1", "add 2"),
		&wire.PrePrepare{Vote: wire.Vote{View: 6, Seq: 300, Sender: 2}, Batch: w.sampleBatch()},
		&wire.Prepare{Vote: vote},
		&wire.Commit{Vote: vote},
		&wire.Checkpoint{Seq: 384, State: digest("state"), Sender: 1},
		&wire.ViewChange{
			View: 8, Stable: stable(), Sender: 1,
			Prepared: []wire.PreparedCert{sampleCert(6, 257, 0, 1), sampleCert(7, 259, 0, 2)},
		},
		&wire.NewView{
			View: 9, ViewChanges: refs, Stable: 256, StableState: digest("state"), Sender: 1,
			Choices: []wire.Choice{{Seq: 257, Digest: digest("batch")}, {Seq: 258, Digest: wire.NullDigest()}},
		},
		&wire.Status{
			View: 6, LostPrimary: true, Suspects: true, Stable: 256, Executed: 299, Sender: 2, ViewChanges: []wire.ReplicaID{0, 2},
			Asks: 0x1122334455667788, Answers: 0x8877665544332211,
			Slots: []wire.SlotStatus{{Seq: 300, HavePrePrepare: true}, {Seq: 302, HavePrepared: true, HaveCommitted: true}},
		},
		&wire.FetchBatches{Digests: []crypto.Digest{digest("batch"), digest("another")}, Sender: 3},
		&wire.BatchBody{Batch: w.sampleBatch()},
		&wire.FetchCommitted{First: 257, Last: 299, Sender: 0},
		&wire.Committed{Cert: commits(), Batch: w.sampleBatch()},
		&wire.FetchViewChange{View: 8, Refs: refs, Sender: 2},
		&wire.StableProof{Cert: stable()},
		&wire.FetchPieces{Seq: 256, Root: digest("state"), Digests: []crypto.Digest{digest("page")}, Life: 0x0a0b0c0d0e0f1011, Sender: 1},
		&wire.Piece{Root: digest("state"), Life: 0x0a0b0c0d0e0f1011, Data: []byte("a page of the state")},
		w.sampleEvidence(tb),
		&wire.Ask{Nonce: 0x0102030405060708},
		&wire.Report{
			Nonce: 77, View: 6, Active: true, Silent: true, Executed: 301, Stable: 256, StableState: digest("state"),
			Checkpoint: 256, State: digest("state"), Division: sampleDivision(), Sender: 0,
		},
		&wire.Refusal{
			Client: w.clients[0].Public(), Session: 5, Number: 9, Reason: wire.RefusalInvalid, Detail: "no such account",
			Sender: 2,
		},
		&wire.Prepared{Cert: sampleCert(6, 300, 0, 1)},
		&wire.AskOutputs{From: 17},
		&wire.Outputs{
			From: 17, Kept: 3, Next: 20, Sender: 1,
			Emitted: []wire.Emitted{{Seq: 300, Payload: []byte("one")}, {Seq: 301, Payload: []byte("two")}},
		},
		&wire.Query{Client: w.clients[1].Public(), Nonce: 0x0a0b0c, Ops: [][]byte{[]byte("get a"), []byte("get b")}},
		&wire.Results{
			Client: w.clients[1].Public(), Nonce: 0x0a0b0c, Seq: 300, Sender: 3,
			Results: []wire.QueryResult{{Result: []byte("value of a")}, {Outcome: wire.OutcomePanicked, Result: []byte("it panicked")}},
		},
		&wire.CommitProof{Cert: commits()},
	}
	replies := w.sampleReplies()[1]
	all := map[wire.Kind]*wire.Sealed{
		wire.KindReplies: replies, wire.KindReply: wire.Reseal(message[*wire.Replies](replies).Reply(1)),
	}
	for _, m := range unsigned {
		all[m.Kind()] = w.seal(m)
	}
	return all
}

func (w *world) sampleReplies() []*wire.Sealed {
	var told []wire.Told
	for i, result := range []string{"1", "3", "gone", "6", "10", "15"} {
		told = append(told, wire.Told{
			Client: w.clients[i/2].Public(), Session: 5, // three for the second, in the end
			Answer: wire.Answer{Number: wire.Number(9 + i), Seq: 300, Outcome: wire.Outcome(i % 2), Result: []byte(result)},
		})
	}
	told[4].Client = told[2].Client
	return wire.SealReplies(w.replicas[2], w.domain, 6, 2, told)
}

func (w *world) sampleEvidence(tb testing.TB) *wire.Evidence {
	tb.Helper()
	v := wire.Vote{View: 6, Seq: 300, Digest: digest("batch"), Sender: 3}
	first := w.seal(&wire.Prepare{Vote: v}).Message()
	v.Digest = digest("another")
	e, err := wire.NewEvidence(wire.EvidencePrepares, 3, first, w.seal(&wire.Prepare{Vote: v}).Message())
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

// kinds returns all kinds in order.
func kinds() []wire.Kind {
	var all []wire.Kind
	for k := wire.KindRequest; k <= wire.KindLast; k++ {
		all = append(all, k)
	}
	return all
}

func sampleDivision() wire.Division {
	return wire.Division{Seq: 256, Own: digest("state"), States: []wire.OtherState{
		{State: digest("other"), Replicas: []wire.ReplicaID{1, 3}, More: 5, Keys: []wire.DifferingKey{
			{
				Part: wire.PartApplication, Key: []byte("mood"), KeyBytes: 4,
				Own: wire.ValueSize{Present: true, Bytes: 4}, Other: wire.ValueSize{Present: true, Bytes: 3},
			},
			{
				Part: wire.PartApplication, Key: bytes.Repeat([]byte("x"), wire.DivisionKeyBytesMax), KeyBytes: 1000,
				Other: wire.ValueSize{Present: true, Bytes: 0},
			},
		}},
		{State: digest("third"), Replicas: []wire.ReplicaID{2}, Why: "nobody gave its pages"},
	}}
}
