package wire_test

import (
	"pgregory.net/rapid"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// draw makes legal messages of every kind.
type draw struct {
	*rapid.T
	world *world
}

func (d draw) n(name string, low, high uint64) uint64 {
	return rapid.Uint64Range(low, high).Draw(d.T, name)
}

func (d draw) flag(name string) bool { return rapid.Bool().Draw(d.T, name) }

// seq returns a number above low that leaves room for more above it.
func (d draw) seq(low wire.Seq) wire.Seq {
	return wire.Seq(d.n("seq", uint64(low)+1, uint64(low)+1000))
}

// view returns a view of at least low, some near the largest.
func (d draw) view(low uint64) wire.View {
	if d.flag("large") {
		return wire.View(d.n("view", wire.NumberMax-10, wire.NumberMax))
	}
	return wire.View(d.n("view", low, 50))
}

func (d draw) id() wire.ReplicaID { return wire.ReplicaID(d.n("replica", 0, replicas-1)) }

func (d draw) ids() []wire.ReplicaID {
	var ids []wire.ReplicaID
	for id := range wire.ReplicaID(replicas) {
		if d.flag("in") {
			ids = append(ids, id)
		}
	}
	return ids
}

func (d draw) digest() crypto.Digest { return crypto.Digest(d.raw(crypto.DigestSize)) }

func (d draw) raw(n int) []byte { return rapid.SliceOfN(rapid.Byte(), n, n).Draw(d.T, "raw") }

func (d draw) bytes() []byte {
	if b := rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(d.T, "bytes"); len(b) > 0 {
		return b
	}
	return nil
}

func (d draw) digests() []crypto.Digest {
	var v []crypto.Digest
	for range d.n("digests", 1, 4) {
		v = append(v, d.digest())
	}
	return v
}

func (d draw) signers(without wire.ReplicaID) []wire.Signed {
	var v []wire.Signed
	for _, id := range d.ids() {
		if id != without {
			v = append(v, wire.Signed{Sender: id})
		}
	}
	return v
}

const nobody = wire.ReplicaID(replicas)

func (d draw) refs() []wire.ViewChangeRef {
	v := []wire.ViewChangeRef{{Sender: 0, Digest: d.digest()}}
	for _, id := range d.ids() {
		if id > 0 {
			v = append(v, wire.ViewChangeRef{Sender: id, Digest: d.digest()})
		}
	}
	return v
}

func (d draw) vote() wire.Vote {
	return wire.Vote{View: d.view(0), Seq: d.seq(0), Digest: d.digest(), Sender: d.id()}
}

func (d draw) client() wire.ClientID {
	return d.world.clients[d.n("client", 0, uint64(len(d.world.clients)-1))].Public()
}

func (d draw) request() *wire.Request {
	q := &wire.Request{Client: d.client(), Session: wire.Session(d.n("session", 0, 1<<64-1)), ReadOnly: d.flag("read")}
	for range d.n("ops", 1, 4) {
		q.Ops = append(q.Ops, d.bytes())
	}
	q.Number = wire.Number(d.n("number", 1, wire.NumberMax-uint64(len(q.Ops))))
	q.Acked = wire.Number(d.n("acked", 0, uint64(q.Number)-1))
	return q
}

func (d draw) batch() *wire.Batch {
	if d.flag("null") {
		return wire.NullBatch()
	}
	b := &wire.Batch{Time: wire.Time(d.n("time", 0, 1<<63-1))}
	if n := d.n("input", 0, 8); n > 0 {
		b.Input = make([]byte, n)
		b.Input[n-1] = byte(n)
	}
	for range d.n("requests", 1, 4) {
		b.Requests = append(b.Requests, d.request())
	}
	return b
}

func (d draw) checkpointCert(seq wire.Seq) wire.CheckpointCert {
	c := wire.CheckpointCert{Seq: seq, State: d.digest()}
	if seq > 0 {
		c.Signers = d.signers(nobody)
	}
	return c
}

func (d draw) preparedCert(v wire.View, s wire.Seq) wire.PreparedCert {
	return wire.PreparedCert{View: v, Seq: s, Digest: d.digest(), Prepares: d.signers(v.Primary(replicas))}
}

func (d draw) commitCert() wire.CommitCert {
	return wire.CommitCert{View: d.view(0), Seq: d.seq(0), Digest: d.digest(), Commits: d.signers(nobody)}
}

func (d draw) viewChange() *wire.ViewChange {
	m := &wire.ViewChange{View: d.view(1), Sender: d.id(), Stable: d.checkpointCert(wire.Seq(d.n("stable", 0, 500)))}
	seq := m.Stable.Seq
	for range d.n("prepared", 0, 3) {
		seq += wire.Seq(d.n("step", 1, 100))
		v := wire.View(d.n("prepared in", 0, uint64(m.View)-1))
		m.Prepared = append(m.Prepared, d.preparedCert(v, seq))
	}
	return m
}

func (d draw) newView() *wire.NewView {
	m := &wire.NewView{View: d.view(1), ViewChanges: d.refs(), StableState: d.digest()}
	m.Stable, m.Sender = wire.Seq(d.n("stable", 0, 500)), m.View.Primary(replicas)
	for i := range wire.Seq(d.n("choices", 0, 4)) {
		m.Choices = append(m.Choices, wire.Choice{Seq: m.Stable + 1 + i, Digest: d.digest()})
	}
	return m
}

func (d draw) status() *wire.Status {
	m := &wire.Status{View: d.view(0), Active: d.flag("active"), LostPrimary: d.flag("lost"), Suspects: d.flag("suspects"), Sender: d.id()}
	m.Asks, m.Answers = d.n("asks", 0, 1<<64-1), d.n("answers", 0, 1<<64-1)
	m.Stable = wire.Seq(d.n("stable", 0, 500))
	m.Executed = wire.Seq(d.n("executed", 0, 500))
	seq := m.Executed
	for range d.n("slots", 0, 4) {
		seq = d.seq(seq)
		m.Slots = append(m.Slots, wire.SlotStatus{
			Seq: seq, HavePrePrepare: d.flag("pre-prepare"),
			HavePrepared: d.flag("prepared"), HaveCommitted: d.flag("committed"), Abstains: d.flag("abstains"),
		})
	}
	m.ViewChanges = d.ids()
	return m
}

func (d draw) told() []wire.Told {
	var told []wire.Told
	for range d.n("answers", 1, 12) {
		told = append(told, wire.Told{
			Client: d.client(), Session: wire.Session(d.n("session", 1, 2)),
			Answer: wire.Answer{
				Number: wire.Number(d.n("number", 1, 9)), Seq: d.seq(0),
				Outcome: wire.Outcome(d.n("outcome", 0, uint64(wire.OutcomeTooLarge))), Result: d.bytes(),
			},
		})
	}
	return told
}

func (d draw) replies() *wire.Sealed {
	sender := d.id()
	sealed := wire.SealReplies(d.world.replicas[sender], d.world.domain, d.view(0), sender, d.told())
	return sealed[d.n("group", 0, uint64(len(sealed)-1))]
}

func (d draw) reply() *wire.Sealed {
	m := message[*wire.Replies](d.replies())
	return wire.Reseal(m.Reply(int(d.n("reply", 0, uint64(len(m.Answers)-1)))))
}

func (d draw) evidence() *wire.Evidence {
	culprit := d.id()
	a := wire.Vote{View: d.view(0), Seq: d.seq(0), Digest: d.digest(), Sender: culprit}
	b := a
	b.Digest[0]++
	first, second := d.world.seal(&wire.Commit{Vote: a}), d.world.seal(&wire.Commit{Vote: b})
	e, err := wire.NewEvidence(wire.EvidenceCommits, culprit, first.Message(), second.Message())
	if err != nil {
		d.Fatal(err)
	}
	return e
}

// sealed returns a legal message of kind k with all of its signatures.
func (d draw) sealed(k wire.Kind) *wire.Sealed {
	if k == wire.KindReply {
		return d.reply()
	}
	if k == wire.KindReplies {
		return d.replies()
	}
	return d.world.seal(d.unsigned(k))
}

func (d draw) unsigned(k wire.Kind) wire.Message {
	switch k {
	case wire.KindRequest:
		return d.request()
	case wire.KindPrePrepare:
		v := d.vote()
		v.Sender = v.View.Primary(replicas)
		return &wire.PrePrepare{Vote: v, Batch: d.batch()}
	case wire.KindPrepare:
		v := d.vote()
		if v.Sender == v.View.Primary(replicas) {
			v.Sender = (v.Sender + 1) % replicas
		}
		return &wire.Prepare{Vote: v}
	case wire.KindCommit:
		return &wire.Commit{Vote: d.vote()}
	case wire.KindCheckpoint:
		return &wire.Checkpoint{Seq: d.seq(0), State: d.digest(), Sender: d.id()}
	case wire.KindViewChange:
		return d.viewChange()
	case wire.KindNewView:
		return d.newView()
	case wire.KindStatus:
		return d.status()
	case wire.KindFetchBatches:
		return &wire.FetchBatches{Digests: d.digests(), Sender: d.id()}
	case wire.KindBatchBody:
		return &wire.BatchBody{Batch: d.batch()}
	case wire.KindFetchCommitted:
		first := d.seq(0)
		return &wire.FetchCommitted{First: first, Last: d.seq(first - 1), Sender: d.id()}
	case wire.KindCommitted:
		return &wire.Committed{Cert: d.commitCert(), Batch: d.batch()}
	case wire.KindFetchViewChange:
		return &wire.FetchViewChange{View: d.view(1), Refs: d.refs(), Sender: d.id()}
	case wire.KindStableProof:
		return &wire.StableProof{Cert: d.checkpointCert(d.seq(0))}
	case wire.KindFetchPieces:
		return &wire.FetchPieces{Seq: d.seq(0), Root: d.digest(), Digests: d.digests(), Life: d.n("life", 0, 1<<64-1), Sender: d.id()}
	case wire.KindPiece:
		return &wire.Piece{Root: d.digest(), Life: d.n("life", 0, 1<<64-1), Data: d.bytes()}
	case wire.KindEvidence:
		return d.evidence()
	case wire.KindAsk:
		return &wire.Ask{Nonce: d.n("nonce", 0, 1<<64-1)}
	case wire.KindReport:
		return &wire.Report{
			Nonce: d.n("nonce", 0, 1<<64-1), View: d.view(0), Active: d.flag("active"), Silent: d.flag("silent"),
			Executed: d.seq(0), Stable: d.seq(0), StableState: d.digest(), Checkpoint: d.seq(0), State: d.digest(), Sender: d.id(),
			Division: d.division(),
		}
	case wire.KindRefusal:
		return &wire.Refusal{
			Client: d.client(), Session: 3, Number: 9, Reason: wire.RefusalReason(d.n("reason", 1, 4)),
			Detail: string(d.bytes()), Sender: d.id(),
		}
	case wire.KindAskOutputs:
		return &wire.AskOutputs{From: d.n("from", 1, wire.NumberMax)}
	case wire.KindOutputs:
		return d.outputs()
	case wire.KindQuery:
		m := &wire.Query{Client: d.client(), Nonce: d.n("nonce", 0, 1<<64-1)}
		for range d.n("operations", 1, 3) {
			m.Ops = append(m.Ops, d.bytes())
		}
		return m
	case wire.KindResults:
		m := &wire.Results{Client: d.client(), Nonce: d.n("nonce", 0, 1<<64-1), Seq: d.seq(0), Sender: d.id()}
		for range d.n("results", 0, 3) {
			m.Results = append(m.Results, wire.QueryResult{Outcome: wire.OutcomeReadOnly, Result: d.bytes()})
		}
		return m
	case wire.KindPrepared:
		return &wire.Prepared{Cert: d.preparedCert(d.view(0), d.seq(0))}
	case wire.KindCommitProof:
		return &wire.CommitProof{Cert: d.commitCert()}
	default:
		d.Fatalf("no generator for %s", k)
		return nil
	}
}

func (d draw) outputs() *wire.Outputs {
	m := &wire.Outputs{From: d.n("from", 1, 1<<40), Sender: d.id()}
	m.Kept = d.n("kept", 1, m.From)
	for range d.n("outputs", 0, 3) {
		m.Emitted = append(m.Emitted, wire.Emitted{Seq: d.seq(0), Payload: d.bytes()})
	}
	m.Next = d.n("next", m.From+uint64(len(m.Emitted)), 1<<41)
	return m
}

func (d draw) division() wire.Division {
	if d.flag("none") {
		return wire.Division{}
	}
	v := wire.Division{Seq: d.seq(1), Replaced: d.flag("replaced"), Own: d.digest()}
	for range d.n("states", 0, wire.DivisionStatesMax) {
		s := wire.OtherState{State: d.digest(), Replicas: d.ids(), More: uint32(d.n("more", 0, 1<<32-1)), Why: string(d.bytes())}
		for range d.n("keys", 0, 3) {
			s.Keys = append(s.Keys, d.differingKey())
		}
		v.States = append(v.States, s)
	}
	return v
}

func (d draw) differingKey() wire.DifferingKey {
	k := wire.DifferingKey{Part: wire.StatePart(d.n("part", 1, 6)), Key: d.bytes()}
	if d.flag("long") {
		k.Key = d.raw(wire.DivisionKeyBytesMax)
	}
	k.KeyBytes = uint32(len(k.Key))
	if len(k.Key) == wire.DivisionKeyBytesMax {
		k.KeyBytes += uint32(d.n("rest", 0, 1000))
	}
	own := d.flag("own")
	if own {
		k.Own = wire.ValueSize{Present: true, Bytes: uint32(d.n("bytes", 0, 1<<32-1))}
	}
	if !own || d.flag("both") {
		k.Other = wire.ValueSize{Present: true, Bytes: uint32(d.n("bytes", 0, 1<<32-1))}
	}
	return k
}
