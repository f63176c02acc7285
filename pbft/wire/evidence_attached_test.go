package wire_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// TestAViewChangeHidesWhatItsCommitProves holds the rule to its letter: each row
// is a view change for view 5, after a commit of view 3 at number 12.
func TestAViewChangeHidesWhatItsCommitProves(t *testing.T) {
	commit := wire.Vote{View: 3, Seq: 12, Digest: digest("batch"), Sender: 1}
	other := func(v wire.View) wire.PreparedCert {
		c := sampleCert(v, 12)
		c.Digest = digest("another")
		return c
	}
	for _, c := range []struct {
		name     string
		stable   wire.Seq
		prepared []wire.PreparedCert
		hides    bool
	}{
		{"nothing handed over", 0, nil, true},
		{"others handed over", 8, []wire.PreparedCert{sampleCert(3, 11), sampleCert(4, 13)}, true},
		{"an older certificate", 8, []wire.PreparedCert{sampleCert(2, 12)}, true},
		{"another batch of the same view", 8, []wire.PreparedCert{other(3)}, true},
		{"an older one of another batch", 8, []wire.PreparedCert{other(2)}, true},
		{"the certificate", 8, []wire.PreparedCert{sampleCert(3, 11), sampleCert(3, 12), sampleCert(3, 13)}, false},
		{"one of a later view", 8, []wire.PreparedCert{sampleCert(4, 12)}, false},
		{"another batch of a later view", 8, []wire.PreparedCert{other(4)}, false},
		{"a checkpoint at the number", 12, nil, false},
		{"a checkpoint above the number", 16, nil, false},
	} {
		vc := &wire.ViewChange{View: 5, Stable: wire.CheckpointCert{Seq: c.stable}, Prepared: c.prepared, Sender: 1}
		if got := vc.Hides(&commit); got != c.hides {
			t.Errorf("%s: hides is %t, want %t", c.name, got, c.hides)
		}
		_, err := wire.NewEvidence(wire.EvidenceHidden, 1, &wire.Commit{Vote: commit}, vc)
		if (err == nil) != c.hides {
			t.Errorf("%s: evidence gives %v", c.name, err)
		}
		vc.View = 3 // the commit is of the view that it asks for, or came after it
		if vc.Hides(&commit) {
			t.Errorf("%s: a view change for the commit's own view hides it", c.name)
		}
		if vc.View, vc.Sender = 5, 2; vc.Hides(&commit) {
			t.Errorf("%s: the commit of another replica is hidden", c.name)
		}
	}
}

// proposal returns a signed pre-prepare whose second request nobody signed.
func (w *world) proposal(view wire.View, seq wire.Seq, bad bool) *wire.Sealed {
	batch := w.sampleBatch()
	w.signBatch(batch)
	if bad {
		forged := *batch.Requests[1]
		forged.Signature[9]++
		batch.Requests[1] = &forged
	}
	v := wire.Vote{View: view, Seq: seq, Digest: batch.Digest(), Sender: view.Primary(replicas)}
	return wire.Seal(w.replicas[v.Sender], w.domain, &wire.PrePrepare{Vote: v, Batch: batch})
}

// exposed opens a proposal that must be exposed.
func (w *world) exposed(t *testing.T, sealed *wire.Sealed) *wire.Unsigned {
	t.Helper()
	out := w.opener().Open([][]byte{sealed.Frame()})[0]
	if out.Unsigned == nil || out.Sealed != nil || !errors.Is(out.Err, wire.ErrSignature) {
		t.Fatalf("got %+v, want an exposed pre-prepare and ErrSignature", out)
	}
	return out.Unsigned
}

// opening is a new view of view 6, of replica 2, that carries over 9 and 10.
func (w *world) opening() *wire.NewView {
	return message[*wire.NewView](w.seal(&wire.NewView{
		View: 6, ViewChanges: []wire.ViewChangeRef{{Sender: 1}}, Stable: 8, Sender: 2,
		Choices: []wire.Choice{{Seq: 9, Digest: digest("a")}, {Seq: 10, Digest: digest("b")}},
	}))
}

func TestUnsignedRequestsConvictTheirPrimary(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		view   wire.View
		opened *wire.NewView
	}{{0, nil}, {6, w.opening()}} {
		e, err := wire.NewUnsignedEvidence(w.exposed(t, w.proposal(c.view, 11, true)), c.opened)
		if err != nil {
			t.Fatal(err)
		}
		got, err := w.opener().OpenOne(wire.Encode(e))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(wire.Message(e), got.Message()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if at, led := e.Led(replicas); at != c.view || !led || e.Culprit != c.view.Primary(replicas) {
			t.Errorf("names replica %d, primary of %d, %t; want that of %d", e.Culprit, at, led, c.view)
		}
		e.First.Signature[0]++
		if _, err := w.opener().OpenOne(wire.Encode(e)); !errors.Is(err, wire.ErrSignature) {
			t.Errorf("a forged statement: got %v, want ErrSignature", err)
		}
	}
}

// TestAKeyThatIsNoneConvicts holds that a request in the name of a client whose
// key is of small order counts as unsigned.
func TestAKeyThatIsNoneConvicts(t *testing.T) {
	w := newWorld(t)
	pp := *message[*wire.PrePrepare](w.proposal(0, 3, false))
	request := *pp.Batch.Requests[0]
	request.Client = crypto.PublicKey{1} // the neutral element
	pp.Batch = &wire.Batch{Time: pp.Batch.Time, Requests: []*wire.Request{&request}}
	pp.Digest = pp.Batch.Digest()
	e, err := wire.NewUnsignedEvidence(w.exposed(t, wire.Seal(w.replicas[0], w.domain, &pp)), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.opener().OpenOne(wire.Encode(e)); err != nil {
		t.Error(err)
	}
}

func TestSignedRequestsConvictNobody(t *testing.T) {
	w := newWorld(t)
	e, err := wire.NewUnsignedEvidence(w.exposed(t, w.proposal(6, 11, true)), w.opening())
	if err != nil {
		t.Fatal(err)
	}
	good := message[*wire.PrePrepare](w.proposal(6, 11, false))
	body := wire.Encode(&wire.BatchBody{Batch: good.Batch})[2:]
	vote := wire.Encode(&wire.Commit{Vote: good.Vote})
	signed := *e
	signed.First = wire.Statement{Kind: wire.KindPrePrepare, Body: vote[2 : len(vote)-64], Signature: good.Signature}
	signed.Attached = [][]byte{body}
	if _, err := w.opener().OpenOne(wire.Encode(&signed)); !errors.Is(err, wire.ErrSignature) {
		t.Errorf("a batch of signed requests: got %v, want ErrSignature", err)
	}
	for name, change := range map[string]func(e *wire.Evidence){
		"another batch":      func(e *wire.Evidence) { e.Attached = [][]byte{body} },
		"no batch":           func(e *wire.Evidence) { e.Attached = nil },
		"two batches":        func(e *wire.Evidence) { e.Attached = append(slices.Clone(e.Attached), e.Attached[0]) },
		"a cut batch":        func(e *wire.Evidence) { e.Attached = [][]byte{e.Attached[0][:40]} },
		"no new view":        func(e *wire.Evidence) { e.Second = wire.Statement{} },
		"another's new view": func(e *wire.Evidence) { e.Second.Body[len(e.Second.Body)-1]++ },
		"of another view":    func(e *wire.Evidence) { e.Second.Body[7] += replicas },
	} {
		bad := *e
		bad.Second.Body = bytes.Clone(e.Second.Body)
		change(&bad)
		if err := bad.Check(replicas); !errors.Is(err, wire.ErrNoEvidence) {
			t.Errorf("%s: got %v, want ErrNoEvidence", name, err)
		}
	}
}

// TestWhatANewViewCarriesOverConvictsNobody holds that a new primary is not
// blamed for what earlier views prepared: it signs it again, perhaps unseen.
func TestWhatANewViewCarriesOverConvictsNobody(t *testing.T) {
	w := newStubWorld(t)
	for _, seq := range []wire.Seq{8, 9, 10} {
		if _, err := wire.NewUnsignedEvidence(w.exposed(t, w.proposal(6, seq, true)), w.opening()); !errors.Is(err, wire.ErrNoEvidence) {
			t.Errorf("number %d: got %v, want ErrNoEvidence", seq, err)
		}
	}
	if _, err := wire.NewUnsignedEvidence(w.exposed(t, w.proposal(6, 11, true)), nil); !errors.Is(err, wire.ErrNoEvidence) {
		t.Errorf("without the new view: got %v, want ErrNoEvidence", err)
	}
}

func TestOnlyTheirPrimaryIsExposed(t *testing.T) {
	w := newStubWorld(t)
	pp := *message[*wire.PrePrepare](w.proposal(0, 3, true))
	pp.Signature[3]++
	good, request := w.proposal(0, 3, false), *w.sampleRequest(0, "x")
	for _, frame := range [][]byte{wire.Encode(&pp), good.Frame(), wire.Encode(&request), wire.Encode(&wire.Ask{}), {1}} {
		if out := w.opener().Open([][]byte{frame})[0]; out.Unsigned != nil {
			t.Errorf("exposed with %v and a frame of kind %d", out.Err, frame[len(frame)-1])
		}
	}
}

// misled is a new view of view 10, of replica 2, and the view changes that it
// names: above 8, number 9 is prepared in views 6 and 7, and number 11.
func (w *world) misled() (*wire.NewView, []*wire.ViewChange) {
	change := func(id wire.ReplicaID, certs ...wire.PreparedCert) *wire.ViewChange {
		stable := wire.CheckpointCert{Seq: 8, State: digest("state"), Signers: signers(0, 1, 2)}
		return message[*wire.ViewChange](w.seal(&wire.ViewChange{View: 10, Stable: stable, Prepared: certs, Sender: id}))
	}
	older := sampleCert(6, 9, 0, 1)
	older.Digest = digest("another")
	changes := []*wire.ViewChange{change(0, older), change(1, sampleCert(7, 9, 0, 1), sampleCert(6, 11, 0, 1)), change(3)}
	nv := &wire.NewView{View: 10, Stable: 8, StableState: digest("state"), Sender: 2, Choices: []wire.Choice{
		{Seq: 9, Digest: digest("batch")}, {Seq: 10, Digest: wire.NullDigest()}, {Seq: 11, Digest: digest("batch")},
	}}
	for _, vc := range changes {
		nv.ViewChanges = append(nv.ViewChanges, wire.ViewChangeRef{Sender: vc.Sender, Digest: vc.Digest()})
	}
	return nv, changes
}

func TestAWrongNewViewConvictsItsPrimary(t *testing.T) {
	w := newWorld(t)
	for name, change := range map[string]func(nv *wire.NewView){
		"an older certificate": func(nv *wire.NewView) { nv.Choices[0].Digest = digest("another") },
		"null for a batch":     func(nv *wire.NewView) { nv.Choices[2].Digest = wire.NullDigest() },
		"a batch for null":     func(nv *wire.NewView) { nv.Choices[1].Digest = digest("batch") },
		"one dropped":          func(nv *wire.NewView) { nv.Choices = nv.Choices[:2] },
		"one too many":         func(nv *wire.NewView) { nv.Choices = append(nv.Choices, wire.Choice{Seq: 12}) },
		"another checkpoint":   func(nv *wire.NewView) { nv.Stable, nv.Choices = 0, nil },
		"another state":        func(nv *wire.NewView) { nv.StableState = digest("wrong") },
	} {
		nv, changes := w.misled()
		change(nv)
		signed := message[*wire.NewView](w.seal(nv))
		e, err := wire.NewChoicesEvidence(signed, changes)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := w.opener().OpenOne(wire.Encode(e))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(wire.Message(e), got.Message()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if at, led := e.Led(replicas); at != 10 || !led {
			t.Errorf("%s: led view %d, %t; want 10", name, at, led)
		}
		e.Attached = e.Attached[1:]
		if err := e.Check(replicas); !errors.Is(err, wire.ErrNoEvidence) {
			t.Errorf("%s without a view change: got %v, want ErrNoEvidence", name, err)
		}
	}
}

func TestARightNewViewConvictsNobody(t *testing.T) {
	w := newStubWorld(t)
	nv, changes := w.misled()
	if _, err := wire.NewChoicesEvidence(nv, changes); !errors.Is(err, wire.ErrNoEvidence) {
		t.Errorf("got %v, want ErrNoEvidence", err)
	}
	nv.Choices[1].Digest = digest("batch")
	e, err := wire.NewChoicesEvidence(message[*wire.NewView](w.seal(nv)), changes)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(){
		"another order":         func() { slices.Reverse(e.Attached) },
		"a changed view change": func() { e.Attached[0] = append(bytes.Clone(e.Attached[0]), 0) },
		"one twice":             func() { e.Attached[0] = e.Attached[1] },
		"a second statement":    func() { e.Second = e.First },
	} {
		attached, second := slices.Clone(e.Attached), e.Second
		change()
		if err := e.Check(replicas); !errors.Is(err, wire.ErrNoEvidence) {
			t.Errorf("%s: got %v, want ErrNoEvidence", name, err)
		}
		e.Attached, e.Second = attached, second
	}
}

// TestEndlessNumbersInAttachmentsCostNothing holds that a view change that claims
// a number far away makes nobody compute all choices up to it.
func TestEndlessNumbersInAttachmentsCostNothing(t *testing.T) {
	w := newStubWorld(t)
	nv, changes := w.misled()
	far := *changes[0]
	far.Prepared = []wire.PreparedCert{sampleCert(6, wire.NumberMax, 0, 1)}
	changes[0] = &far
	nv.ViewChanges[0].Digest = far.Digest()
	e, err := wire.NewChoicesEvidence(message[*wire.NewView](w.seal(nv)), changes)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Check(replicas); err != nil {
		t.Error(err)
	}
}
