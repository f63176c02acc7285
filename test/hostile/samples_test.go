package hostile

import (
	"testing"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

func newKey(tb testing.TB) crypto.PrivateKey {
	tb.Helper()
	key, err := crypto.GenerateKey(nil)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// request returns the frame of a client's request.
func (c *cluster) request(tb testing.TB, key crypto.PrivateKey, number wire.Number, ops ...[]byte) []byte {
	tb.Helper()
	q := &wire.Request{Client: key.Public(), Session: 1, Number: number, Ops: ops}
	return wire.Seal(key, c.genesis.Domain(), q).Frame()
}

// unreached is a number above all checkpoints: of proposals of the past nothing is read
// but their own signature.
const unreached wire.Seq = 1 << 40

// samples returns a frame of every kind that replicas send each other, signed by
// whomever it names, as only the test, which has all keys, can: so that a
// flipped bit is the one thing that is wrong. None says anything of now.
func (c *cluster) samples(tb testing.TB) [][]byte {
	tb.Helper()
	d, liar := c.genesis.Domain(), c.liar
	sign := func(id wire.ReplicaID, m wire.Message) wire.Message { return wire.Seal(c.keys[id], d, m).Message() }
	client := newKey(tb)
	q, ok := wire.Seal(client, d, &wire.Request{
		Client: client.Public(), Session: 1, Number: 1, Ops: [][]byte{[]byte("count")},
	}).Message().(*wire.Request)
	if !ok {
		tb.Fatal("no request")
	}
	batch := &wire.Batch{Time: 1, Requests: []*wire.Request{q}}
	vote := func(id wire.ReplicaID, seq wire.Seq) wire.Vote {
		return wire.Vote{View: 2, Seq: seq, Digest: batch.Digest(), Sender: id}
	}
	commits := certify(func(id wire.ReplicaID) wire.Message { return sign(id, &wire.Commit{Vote: vote(id, 1)}) })
	stable := wire.CheckpointCert{Seq: 1 << 40, State: crypto.Digest{1}}
	stable.Signers = certify(func(id wire.ReplicaID) wire.Message {
		return sign(id, &wire.Checkpoint{Seq: stable.Seq, State: stable.State, Sender: id})
	})
	first := sign(liar, &wire.Prepare{Vote: wire.Vote{View: 1 << 40, Seq: 1 << 40, Digest: crypto.Digest{1}, Sender: liar}})
	second := sign(liar, &wire.Prepare{Vote: wire.Vote{View: 1 << 40, Seq: 1 << 40, Digest: crypto.Digest{2}, Sender: liar}})
	evidence, err := wire.NewEvidence(wire.EvidencePrepares, liar, first, second)
	if err != nil {
		tb.Fatal(err)
	}
	var out [][]byte
	for _, m := range []wire.Message{
		q,
		sign(liar, &wire.PrePrepare{Vote: wire.Vote{View: 3, Seq: unreached, Digest: batch.Digest(), Sender: liar}, Batch: batch}),
		sign(liar, &wire.Prepare{Vote: vote(liar, 1)}),
		sign(liar, &wire.Commit{Vote: vote(liar, 1)}),
		sign(liar, &wire.Checkpoint{Seq: 1 << 40, Sender: liar}),
		sign(liar, &wire.ViewChange{View: 1, Sender: liar}),
		sign(liar, &wire.NewView{View: 3, ViewChanges: refs(0, 1, 2), Sender: liar}),
		sign(liar, &wire.Status{Sender: liar}),
		sign(liar, &wire.FetchBatches{Digests: []crypto.Digest{{1}}, Sender: liar}),
		&wire.BatchBody{Batch: batch},
		sign(liar, &wire.FetchCommitted{First: 1, Last: 1, Sender: liar}),
		&wire.Committed{Cert: wire.CommitCert{View: 2, Seq: 1, Digest: batch.Digest(), Commits: commits}, Batch: batch},
		sign(liar, &wire.FetchViewChange{View: 9, Refs: refs(0, 1), Sender: liar}),
		&wire.StableProof{Cert: stable},
		sign(liar, &wire.FetchPieces{Seq: 1, Root: crypto.Digest{1}, Digests: []crypto.Digest{{2}}, Sender: liar}),
		evidence,
	} {
		out = append(out, wire.Encode(m))
	}
	return out
}

// certify returns the signatures of replicas 0 to 2 under the votes that say makes
// them say.
func certify(say func(wire.ReplicaID) wire.Message) []wire.Signed {
	var out []wire.Signed
	for id := range wire.ReplicaID(3) {
		frame := wire.Encode(say(id)) // the signature is its end
		s := wire.Signed{Sender: id, Signature: crypto.Signature(frame[len(frame)-len(crypto.Signature{}):])}
		out = append(out, s)
	}
	return out
}
