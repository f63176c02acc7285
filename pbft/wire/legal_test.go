package wire_test

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// illegal is the law of Decode: what is wrong with a sample after change, in
// the words of the error.
type illegal struct {
	name string
	kind wire.Kind
	// change breaks a copy of the sample of the kind.
	change func(m wire.Message)
	why    string
}

// on makes a change of one type one of any.
func on[M wire.Message](change func(M)) func(wire.Message) {
	return func(m wire.Message) {
		if m, ok := m.(M); ok {
			change(m)
		}
	}
}

func refuseAll(t *testing.T, table []illegal) {
	t.Helper()
	for _, c := range table {
		t.Run(c.kind.String()+"/"+c.name, func(t *testing.T) {
			w := newStubWorld(t)
			m := w.samples(t)[c.kind].Message()
			c.change(m)
			_, err := wire.Decode(wire.Encode(m), &w.lim)
			if !errors.Is(err, wire.ErrMalformed) {
				t.Fatalf("got %v, want ErrMalformed", err)
			}
			if !strings.Contains(err.Error(), c.why) {
				t.Errorf("got %q, want it to say %q", err, c.why)
			}
		})
	}
}

func TestIllegalRequestsAreMalformed(t *testing.T) {
	request := on[*wire.Request]
	k := wire.KindRequest
	refuseAll(t, []illegal{
		{"number 0", k, request(func(m *wire.Request) { m.Number, m.Acked = 0, 0 }), "request number is 0"},
		{"number too large", k, request(func(m *wire.Request) { m.Number = wire.NumberMax + 1 }), "request number"},
		{"numbers overflow", k, request(func(m *wire.Request) { m.Number = wire.NumberMax - 1 }), "overflow"},
		{"largest number", k, request(func(m *wire.Request) { m.Number = math.MaxUint64 }), "request number"},
		{"acknowledges itself", k, request(func(m *wire.Request) { m.Acked = m.Number }), "acknowledges its own number"},
		{"no operation", k, request(func(m *wire.Request) { m.Ops = nil }), "no operation"},
		{"65 operations", k, request(func(m *wire.Request) { m.Ops = make([][]byte, 65) }), "at most 64 are allowed"},
		{"long operation", k, request(func(m *wire.Request) { m.Ops = [][]byte{make([]byte, 256<<10+1)} }), "at most 262144"},
		{"operations long together", k, request(func(m *wire.Request) {
			m.Ops = [][]byte{make([]byte, 200<<10), make([]byte, 56<<10+1)}
		}), "at most 57344"},
	})
}

func TestIllegalVotesAreMalformed(t *testing.T) {
	vote := func(change func(*wire.Vote)) func(wire.Message) {
		return func(m wire.Message) {
			switch m := any(m).(type) {
			case *wire.PrePrepare:
				change(&m.Vote)
			case *wire.Prepare:
				change(&m.Vote)
			case *wire.Commit:
				change(&m.Vote)
			default:
			}
		}
	}
	var table []illegal
	for _, k := range []wire.Kind{wire.KindPrePrepare, wire.KindPrepare, wire.KindCommit} {
		table = append(table,
			illegal{"number 0", k, vote(func(v *wire.Vote) { v.Seq = 0 }), "sequence number is 0"},
			illegal{"largest number", k, vote(func(v *wire.Vote) { v.Seq = math.MaxUint64 }), "sequence number"},
			illegal{"largest view", k, vote(func(v *wire.Vote) { v.View = math.MaxUint64 }), "view"},
			illegal{"sender n", k, vote(func(v *wire.Vote) { v.Sender = replicas }), "not one of 4"},
			illegal{"largest sender", k, vote(func(v *wire.Vote) { v.Sender = math.MaxUint32 }), "not one of 4"},
		)
	}
	table = append(
		table,
		illegal{"of a backup", wire.KindPrePrepare, vote(func(v *wire.Vote) { v.Sender = 1 }), "the primary of view 6 is 2"},
		illegal{"of another batch", wire.KindPrePrepare, vote(func(v *wire.Vote) { v.Digest[0]++ }), "is not the one"},
		illegal{"of the primary", wire.KindPrepare, vote(func(v *wire.Vote) { v.Sender = 2 }), "prepares nothing"},
	)
	refuseAll(t, table)
}

func TestIllegalBatchesAreMalformed(t *testing.T) {
	batch := func(change func(*wire.Batch)) func(wire.Message) {
		return func(m wire.Message) {
			switch m := any(m).(type) {
			case *wire.BatchBody:
				change(m.Batch)
			case *wire.PrePrepare:
				change(m.Batch)
				m.Digest = m.Batch.Digest()
			case *wire.Committed:
				change(m.Batch)
				m.Cert.Digest = m.Batch.Digest()
			default:
			}
		}
	}
	var table []illegal
	for _, k := range []wire.Kind{wire.KindPrePrepare, wire.KindBatchBody, wire.KindCommitted} {
		table = append(table,
			illegal{"empty with an input", k, batch(func(b *wire.Batch) { b.Time, b.Requests = 0, nil }), "no input"},
			illegal{"long input", k, batch(func(b *wire.Batch) { b.Input = make([]byte, wire.InputBytesMax+1) }), "at most 65536"},
			illegal{"empty with a time", k, batch(func(b *wire.Batch) { b.Requests = nil }), "has time 0"},
			illegal{"before 1970", k, batch(func(b *wire.Batch) { b.Time = -1 }), "before 1970"},
			illegal{"illegal request", k, batch(func(b *wire.Batch) { b.Requests[1].Ops = nil }), "request 1: no operation"},
			illegal{"1025 requests", k, batch(func(b *wire.Batch) {
				b.Requests = slices.Repeat(b.Requests[:1], 1025)
			}), "at most 1024 are allowed"},
			illegal{"too many bytes", k, batch(func(b *wire.Batch) {
				b.Requests[0].Ops = [][]byte{make([]byte, 256<<10)}
				b.Requests = slices.Repeat(b.Requests[:1], 6)
			}), "are allowed"},
		)
	}
	table = append(table, illegal{"another batch", wire.KindCommitted, on(func(m *wire.Committed) {
		m.Cert.Digest = digest("another")
	}), "not the one that is named"})
	refuseAll(t, table)
}

func TestIllegalOutputsAreMalformed(t *testing.T) {
	out, k := on[*wire.Outputs], wire.KindOutputs
	refuseAll(t, []illegal{
		{"from 0", wire.KindAskOutputs, on(func(m *wire.AskOutputs) { m.From = 0 }), "they start at 1"},
		{"from the last number", wire.KindAskOutputs, on(func(m *wire.AskOutputs) { m.From = math.MaxUint64 }), "output number"},
		{"from 0", k, out(func(m *wire.Outputs) { m.From = 0 }), "they start at 1"},
		{"keeps 0", k, out(func(m *wire.Outputs) { m.Kept = 0 }), "they start at 1"},
		{"keeps what comes", k, out(func(m *wire.Outputs) { m.Kept = m.Next + 1 }), "above the next one"},
		{"not kept", k, out(func(m *wire.Outputs) { m.Kept = 18 }), "does not have"},
		{"not emitted yet", k, out(func(m *wire.Outputs) { m.Next = 18 }), "does not have"},
		{"of number 0", k, out(func(m *wire.Outputs) { m.Emitted[1].Seq = 0 }), "sequence number is 0"},
		{"sender n", k, out(func(m *wire.Outputs) { m.Sender = replicas }), "not one of 4"},
		{"long output", k, out(func(m *wire.Outputs) {
			m.Emitted = m.Emitted[:1]
			m.Emitted[0].Payload = make([]byte, wire.OutputBytesMax+1)
		}), "allowed"},
		{"many bytes", k, out(func(m *wire.Outputs) { m.Emitted[0].Payload = make([]byte, wire.OutputsBytesMax) }), "too many bytes"},
		{"257 outputs", k, out(func(m *wire.Outputs) {
			m.Emitted, m.Next = slices.Repeat(m.Emitted[:1], wire.OutputsMax+1), 1000
		}), "at most 256"},
	})
}

func TestIllegalReadsAreMalformed(t *testing.T) {
	query, results := on[*wire.Query], on[*wire.Results]
	refuseAll(t, []illegal{
		{"no operation", wire.KindQuery, query(func(m *wire.Query) { m.Ops = nil }), "no operation"},
		{"many operations", wire.KindQuery, query(func(m *wire.Query) { m.Ops = make([][]byte, 1000) }), "operations"},
		{"long operations", wire.KindQuery, query(func(m *wire.Query) { m.Ops[0] = make([]byte, 2<<20) }), "allowed"},
		{"sender n", wire.KindResults, results(func(m *wire.Results) { m.Sender = replicas }), "not one of 4"},
		{"an outcome of the order", wire.KindResults, results(func(m *wire.Results) { m.Results[1].Outcome = wire.OutcomeWindow }), "none of a read"},
		{"many results", wire.KindResults, results(func(m *wire.Results) { m.Results = make([]wire.QueryResult, 1000) }), "results"},
	})
	lim := wire.DefaultLimits(replicas)
	lim.ResultBytesMax = wire.ResultsBytesMax
	half := wire.QueryResult{Result: make([]byte, wire.ResultsBytesMax/2+1)}
	frame := wire.Encode(&wire.Results{Results: []wire.QueryResult{half, half}})
	if _, err := wire.Decode(frame, &lim); err == nil || !strings.Contains(err.Error(), "too many bytes") {
		t.Errorf("two bytes too many: got %v", err)
	}
}

func TestIllegalCertificatesAreMalformed(t *testing.T) {
	checkpoint, proof := on[*wire.Checkpoint], on[*wire.StableProof]
	prepared, commits := on[*wire.Prepared], on[*wire.CommitProof]
	swap := func(s []wire.Signed) { s[0], s[1] = s[1], s[0] }
	refuseAll(t, []illegal{
		{"number 0", wire.KindCheckpoint, checkpoint(func(m *wire.Checkpoint) { m.Seq = 0 }), "sequence number is 0"},
		{"sender n", wire.KindCheckpoint, checkpoint(func(m *wire.Checkpoint) { m.Sender = replicas }), "not one of 4"},
		{"of number 0", wire.KindStableProof, proof(func(m *wire.StableProof) {
			m.Cert.Seq, m.Cert.Signers = 0, nil
		}), "needs no proof"},
		{"signed number 0", wire.KindStableProof, proof(func(m *wire.StableProof) { m.Cert.Seq = 0 }), "nobody signs"},
		{"unsorted", wire.KindStableProof, proof(func(m *wire.StableProof) { swap(m.Cert.Signers) }), "ascending"},
		{"five signers", wire.KindStableProof, proof(func(m *wire.StableProof) {
			m.Cert.Signers = signers(0, 1, 2, 3, 4)
		}), "are allowed"},
		{"by the primary", wire.KindPrepared, prepared(func(m *wire.Prepared) { m.Cert.Prepares[1].Sender = 2 }), "primary"},
		{"unsorted", wire.KindPrepared, prepared(func(m *wire.Prepared) { swap(m.Cert.Prepares) }), "ascending"},
		{"repeated", wire.KindPrepared, prepared(func(m *wire.Prepared) { m.Cert.Prepares[1].Sender = 0 }), "ascending"},
		{"number 0", wire.KindPrepared, prepared(func(m *wire.Prepared) { m.Cert.Seq = 0 }), "sequence number is 0"},
		{"unsorted", wire.KindCommitProof, commits(func(m *wire.CommitProof) { swap(m.Cert.Commits) }), "ascending"},
		{"repeated", wire.KindCommitProof, commits(func(m *wire.CommitProof) { m.Cert.Commits[1].Sender = 0 }), "ascending"},
		{"signer n", wire.KindCommitProof, commits(func(m *wire.CommitProof) { m.Cert.Commits[2].Sender = 4 }), "not one of"},
		{"number 0", wire.KindCommitProof, commits(func(m *wire.CommitProof) { m.Cert.Seq = 0 }), "sequence number is 0"},
	})
}

func TestIllegalViewChangesAreMalformed(t *testing.T) {
	vc := on[*wire.ViewChange]
	k := wire.KindViewChange
	refuseAll(t, []illegal{
		{"view 0", k, vc(func(m *wire.ViewChange) { m.View = 0 }), "view is 0"},
		{"largest view", k, vc(func(m *wire.ViewChange) { m.View = math.MaxUint64 }), "view"},
		{"sender n", k, vc(func(m *wire.ViewChange) { m.Sender = replicas }), "not one of 4"},
		{"unsorted", k, vc(func(m *wire.ViewChange) { slices.Reverse(m.Prepared) }), "ascending"},
		{"same number", k, vc(func(m *wire.ViewChange) { m.Prepared[1].Seq = 257 }), "ascending"},
		{"at the checkpoint", k, vc(func(m *wire.ViewChange) { m.Prepared[0].Seq = 256 }), "follows 256"},
		{"below the checkpoint", k, vc(func(m *wire.ViewChange) { m.Prepared[0].Seq = 1 }), "follows 256"},
		{"beyond the window", k, vc(func(m *wire.ViewChange) { m.Prepared[1].Seq = 256 + 1025 }), "more than 1024"},
		{"of the new view", k, vc(func(m *wire.ViewChange) { m.View = 7 }), "not before the new view"},
		{"of a later view", k, vc(func(m *wire.ViewChange) { m.Prepared[1].View = 11 }), "not before the new view"},
		{"signed number 0", k, vc(func(m *wire.ViewChange) { m.Stable.Seq = 0 }), "nobody signs"},
		{"repeated signer", k, vc(func(m *wire.ViewChange) { m.Stable.Signers[1].Sender = 0 }), "ascending"},
		{"prepare by the primary", k, vc(func(m *wire.ViewChange) { m.Prepared[0].Prepares[1].Sender = 2 }), "primary"},
		{"too many", k, vc(func(m *wire.ViewChange) {
			m.Prepared = slices.Repeat(m.Prepared[:1], 1025)
		}), "at most 1024"},
	})
}

func TestIllegalNewViewsAreMalformed(t *testing.T) {
	nv := on[*wire.NewView]
	k := wire.KindNewView
	refuseAll(t, []illegal{
		{"view 0", k, nv(func(m *wire.NewView) { m.View, m.Sender = 0, 0 }), "view is 0"},
		{"of a backup", k, nv(func(m *wire.NewView) { m.Sender = 2 }), "the primary of view 9 is 1"},
		{"no view change", k, nv(func(m *wire.NewView) { m.ViewChanges = nil }), "no view change"},
		{"unsorted", k, nv(func(m *wire.NewView) { slices.Reverse(m.ViewChanges) }), "ascending"},
		{"repeated", k, nv(func(m *wire.NewView) { m.ViewChanges[1].Sender = 0 }), "ascending"},
		{"view change of n", k, nv(func(m *wire.NewView) { m.ViewChanges[2].Sender = 4 }), "not one of"},
		{"gap below", k, nv(func(m *wire.NewView) { m.Choices = m.Choices[1:] }), "want no gap"},
		{"gap between", k, nv(func(m *wire.NewView) { m.Choices[1].Seq++ }), "want no gap"},
		{"repeated choice", k, nv(func(m *wire.NewView) { m.Choices[1].Seq-- }), "want no gap"},
		{"too many", k, nv(func(m *wire.NewView) { m.Choices = make([]wire.Choice, 1025) }), "are allowed"},
	})
}

func TestIllegalAnswersAreMalformed(t *testing.T) {
	reply, refusal := on[*wire.Reply], on[*wire.Refusal]
	inner := func(change func(*wire.Place)) func(wire.Message) {
		return reply(func(m *wire.Reply) { change(&m.Inner) })
	}
	refuseAll(t, illegalPlaces(wire.KindReply, inner, 30))
	outer := func(change func(*wire.Place)) func(wire.Message) {
		return reply(func(m *wire.Reply) { change(&m.Outer) })
	}
	refuseAll(t, illegalPlaces(wire.KindReply, outer, 32))
	refuseAll(t, []illegal{
		{"number 0", wire.KindReply, reply(func(m *wire.Reply) { m.Number = 0 }), "request number is 0"},
		{"unknown outcome", wire.KindReply, reply(func(m *wire.Reply) { m.Outcome = 8 }), "unknown outcome"},
		{"long result", wire.KindReply, reply(func(m *wire.Reply) { m.Result = make([]byte, 256<<10+1) }), "at most 262144"},
		{"group too large", wire.KindReply, inner(func(p *wire.Place) {
			*p = wire.Place{Index: 256, Leaves: 257, Path: make([]crypto.Digest, 1)}
		}), "too many answers"},
		{"sender n", wire.KindReply, reply(func(m *wire.Reply) { m.Sender = replicas }), "not one of"},
		{"unknown reason", wire.KindRefusal, refusal(func(m *wire.Refusal) { m.Reason = 5 }), "unknown reason"},
		{"no reason", wire.KindRefusal, refusal(func(m *wire.Refusal) { m.Reason = 0 }), "unknown reason"},
		{"long detail", wire.KindRefusal, refusal(func(m *wire.Refusal) {
			m.Detail = strings.Repeat("x", wire.RefusalDetailBytesMax+1)
		}), "are allowed"},
		{"long piece", wire.KindPiece, on(func(m *wire.Piece) { m.Data = make([]byte, 512<<10+1) }), "are allowed"},
	})
}

// illegalPlaces are places that are none in a tree of three leaves.
func illegalPlaces(k wire.Kind, place func(func(*wire.Place)) func(wire.Message), pathMax int) []illegal {
	return []illegal{
		{"no leaves", k, place(func(p *wire.Place) { p.Index, p.Leaves = 0, 0 }), "path"},
		{"index beyond", k, place(func(p *wire.Place) { p.Index = 3 }), "path"},
		{"short path", k, place(func(p *wire.Place) { p.Path = p.Path[1:] }), "path"},
		{"long path", k, place(func(p *wire.Place) { p.Path = append(p.Path, digest("more")) }), "path"},
		{"endless path", k, place(func(p *wire.Place) { p.Path = make([]crypto.Digest, pathMax+1) }), "are allowed"},
	}
}

func TestIllegalRepliesAreMalformed(t *testing.T) {
	replies := on[*wire.Replies]
	k := wire.KindReplies
	outer := func(change func(*wire.Place)) func(wire.Message) {
		return replies(func(m *wire.Replies) { change(&m.Outer) })
	}
	refuseAll(t, illegalPlaces(k, outer, 32))
	refuseAll(t, []illegal{
		{"nothing", k, replies(func(m *wire.Replies) { m.Answers = nil }), "no operation is answered"},
		{"too many", k, replies(func(m *wire.Replies) {
			m.Answers = make([]wire.Answer, wire.RepliesMax+1)
		}), "at most 256 are allowed"},
		{"number 0", k, replies(func(m *wire.Replies) { m.Answers[0].Number = 0 }), "request number is 0"},
		{"largest number", k, replies(func(m *wire.Replies) { m.Answers[2].Number = math.MaxUint64 }), "request number"},
		{"unsorted", k, replies(func(m *wire.Replies) { slices.Reverse(m.Answers) }), "ascending"},
		{"repeated", k, replies(func(m *wire.Replies) { m.Answers[1] = m.Answers[0] }), "ascending"},
		{"largest place", k, replies(func(m *wire.Replies) { m.Answers[1].Seq = math.MaxUint64 }), "sequence number"},
		{"unknown outcome", k, replies(func(m *wire.Replies) { m.Answers[2].Outcome = 8 }), "unknown outcome"},
		{"long result", k, replies(func(m *wire.Replies) {
			m.Answers = m.Answers[:1]
			m.Answers[0].Result = make([]byte, 256<<10+1)
		}), "allowed"},
		{"results long together", k, replies(func(m *wire.Replies) {
			m.Answers[0].Result = make([]byte, wire.RepliesBytesMax-len(m.Answers[1].Result)-len(m.Answers[2].Result)+1)
		}), "65537 bytes of several results"},
		{"largest view", k, replies(func(m *wire.Replies) { m.View = math.MaxUint64 }), "view"},
		{"sender n", k, replies(func(m *wire.Replies) { m.Sender = replicas }), "not one of"},
	})
}

func TestIllegalQuestionsAreMalformed(t *testing.T) {
	status, fetch := on[*wire.Status], on[*wire.FetchCommitted]
	refuseAll(t, []illegal{
		{"unsorted slots", wire.KindStatus, status(func(m *wire.Status) { slices.Reverse(m.Slots) }), "ascending"},
		{"repeated slot", wire.KindStatus, status(func(m *wire.Status) { m.Slots[1].Seq = 300 }), "ascending"},
		{"executed slot", wire.KindStatus, status(func(m *wire.Status) { m.Executed = 300 }), "above the last executed"},
		{"too many slots", wire.KindStatus, status(func(m *wire.Status) {
			m.Slots = make([]wire.SlotStatus, wire.StatusSlotsMax+1)
		}), "are allowed"},
		{"unsorted senders", wire.KindStatus, status(func(m *wire.Status) { slices.Reverse(m.ViewChanges) }), "ascending"},
		{"repeated sender", wire.KindStatus, status(func(m *wire.Status) { m.ViewChanges[1] = 0 }), "ascending"},
		{"sender n", wire.KindStatus, status(func(m *wire.Status) { m.ViewChanges[1] = replicas }), "not one of"},
		{"nothing", wire.KindFetchBatches, on(func(m *wire.FetchBatches) { m.Digests = nil }), "asks for nothing"},
		{"too much", wire.KindFetchBatches, on(func(m *wire.FetchBatches) {
			m.Digests = make([]crypto.Digest, wire.FetchDigestsMax+1)
		}), "are allowed"},
		{"backwards", wire.KindFetchCommitted, fetch(func(m *wire.FetchCommitted) { m.First = 300 }), "below the first"},
		{"from 0", wire.KindFetchCommitted, fetch(func(m *wire.FetchCommitted) { m.First = 0 }), "sequence number is 0"},
		{"nothing", wire.KindFetchViewChange, on(func(m *wire.FetchViewChange) { m.Refs = nil }), "no view change"},
		{"view 0", wire.KindFetchViewChange, on(func(m *wire.FetchViewChange) { m.View = 0 }), "view is 0"},
		{"nothing", wire.KindFetchPieces, on(func(m *wire.FetchPieces) { m.Digests = nil }), "asks for nothing"},
		{"of number 0", wire.KindFetchPieces, on(func(m *wire.FetchPieces) { m.Seq = 0 }), "sequence number is 0"},
	})
}

func TestIllegalReportsAreMalformed(t *testing.T) {
	k := wire.KindReport
	division := func(change func(*wire.Division)) func(wire.Message) {
		return on(func(m *wire.Report) { change(&m.Division) })
	}
	other := func(change func(*wire.OtherState)) func(wire.Message) {
		return division(func(d *wire.Division) { change(&d.States[0]) })
	}
	key := func(at int, change func(*wire.DifferingKey)) func(wire.Message) {
		return other(func(s *wire.OtherState) { change(&s.Keys[at]) })
	}
	refuseAll(t, []illegal{
		{"states of nothing", k, division(func(d *wire.Division) { d.Seq = 0 }), "at no checkpoint"},
		{"a state of nothing", k, division(func(d *wire.Division) { *d = wire.Division{Own: digest("own")} }), "at no checkpoint"},
		{"nothing replaced", k, division(func(d *wire.Division) { *d = wire.Division{Replaced: true} }), "at no checkpoint"},
		{"too many states", k, division(func(d *wire.Division) {
			d.States = make([]wire.OtherState, wire.DivisionStatesMax+1)
		}), "are allowed"},
		{"unsorted replicas", k, other(func(s *wire.OtherState) { slices.Reverse(s.Replicas) }), "ascending"},
		{"repeated replica", k, other(func(s *wire.OtherState) { s.Replicas[1] = s.Replicas[0] }), "ascending"},
		{"replica n", k, other(func(s *wire.OtherState) { s.Replicas[1] = replicas }), "not one of"},
		{"too many keys", k, other(func(s *wire.OtherState) {
			s.Keys = make([]wire.DifferingKey, wire.DivisionKeysMax+1)
		}), "are allowed"},
		{"long why", k, other(func(s *wire.OtherState) { s.Why = strings.Repeat("x", wire.DivisionWhyBytesMax+1) }), "are allowed"},
		{"no part", k, key(0, func(k *wire.DifferingKey) { k.Part = 0 }), "unknown part"},
		{"unknown part", k, key(0, func(k *wire.DifferingKey) { k.Part = wire.PartOther + 1 }), "unknown part"},
		{"long key", k, key(1, func(k *wire.DifferingKey) { k.Key = append(k.Key, 'x') }), "are allowed"},
		{"a key that is longer than it says", k, key(0, func(k *wire.DifferingKey) { k.KeyBytes-- }), "another length"},
		{"a key that is cut too short", k, key(0, func(k *wire.DifferingKey) { k.KeyBytes++ }), "another length"},
		{"a key that is nowhere", k, key(1, func(k *wire.DifferingKey) { k.Other = wire.ValueSize{} }), "neither state"},
		{"no value with a length", k, key(1, func(k *wire.DifferingKey) { k.Own.Bytes = 1 }), "no value has a length"},
	})
}
