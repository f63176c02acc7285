package wire_test

import (
	"errors"
	"testing"

	"github.com/quorate/quorate/pbft/wire"
)

// unsigned returns evidence of a proposal with so many requests, of which those at bad are
// not signed.
func (w *world) unsigned(t *testing.T, requests int, bad ...int) *wire.Evidence {
	t.Helper()
	batch := &wire.Batch{Time: 1}
	for i := range requests {
		client := w.clients[i%len(w.clients)]
		q := &wire.Request{Client: client.Public(), Session: 1, Number: wire.Number(i + 1), Ops: [][]byte{{1}}} //nolint:gosec // small
		batch.Requests = append(batch.Requests, message[*wire.Request](w.seal(q)))
	}
	for _, i := range bad {
		batch.Requests[i].Signature[9]++
	}
	v := wire.Vote{Seq: 3, Digest: batch.Digest()}
	e, err := wire.NewUnsignedEvidence(w.exposed(t, wire.Seal(w.replicas[0], w.domain, &wire.PrePrepare{Vote: v, Batch: batch})), nil)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// TestRequestsAreVerifiedUpToTheFirstBadOne holds that a liar has nobody verify all of a
// batch because one signature in it is bad, and that what is not looked at is not taken for
// good; that signatures that are good count as such in other frames; and that the sums
// are right.
func TestRequestsAreVerifiedUpToTheFirstBadOne(t *testing.T) {
	const requests, together = 200, 32
	w := newStubWorld(t)
	all := make([]int, requests)
	for i := range all {
		all[i] = i
	}
	for name, c := range map[string]struct {
		bad  []int
		most int // signatures of requests
	}{
		"the first":         {[]int{0}, together},
		"all":               {all, together},
		"one in the middle": {[]int{100}, 128},
		"two":               {[]int{170, 70}, 96},
		"the last":          {[]int{requests - 1}, requests},
	} {
		e := w.unsigned(t, requests, c.bad...)
		v, seen := &countingVerifier{Verifier: w.verifier, bad: -1}, &seenAll{}
		o := wire.NewOpener(w.domain, w.keys, w.lim, v).WithSeen(seen)
		other := w.seal(&wire.Status{Sender: 1}).Frame()
		out := o.Open([][]byte{other, wire.Encode(e), other})
		for i := range out {
			if out[i].Err != nil {
				t.Errorf("%s: frame %d: %v", name, i, out[i].Err)
			}
		}
		if got := out[1].Checks - 1; got > c.most {
			t.Errorf("%s: %d requests were verified, want %d at most", name, got, c.most)
		}
		if sum := out[0].Checks + out[1].Checks + out[2].Checks; sum != v.checks || out[0].Checks != 1 || out[2].Checks != 1 {
			t.Errorf("%s: %d, %d and %d signatures are counted, %d were verified",
				name, out[0].Checks, out[1].Checks, out[2].Checks, v.checks)
		}
		verified := out[1].Checks - 1
		v.checks = 0
		batch := message[*wire.BatchBody](wire.Reseal(&wire.BatchBody{Batch: w.batchIn(t, e)}))
		if out := o.Open([][]byte{wire.Encode(batch)})[0]; !errors.Is(out.Err, wire.ErrSignature) {
			t.Errorf("%s: the batch alone: got %v, want ErrSignature", name, out.Err)
		}
		if want := requests - verified + badUpTo(c.bad, verified); v.checks != want {
			t.Errorf("%s: %d signatures of the batch were verified later, want %d: all but the good ones of before", name, v.checks, want)
		}
	}
}

// batchIn returns the batch that is attached to e.
func (w *world) batchIn(t *testing.T, e *wire.Evidence) *wire.Batch {
	t.Helper()
	frame := append([]byte{wire.Version, byte(wire.KindBatchBody)}, e.Attached[0]...)
	m, err := wire.Decode(frame, &w.lim)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := m.(*wire.BatchBody)
	return b.Batch
}

// badUpTo counts those below n.
func badUpTo(bad []int, n int) (count int) {
	for _, i := range bad {
		if i < n {
			count++
		}
	}
	return count
}

// TestDoubtsAboutKnownSignaturesAreSettledWithoutVerifying holds that requests which were
// verified before count as signed, and cost nothing.
func TestDoubtsAboutKnownSignaturesAreSettledWithoutVerifying(t *testing.T) {
	const requests = 100
	w := newStubWorld(t)
	e := w.unsigned(t, requests, requests-1)
	good := w.batchIn(t, e)
	good.Requests = good.Requests[:requests-1]
	v := &countingVerifier{Verifier: w.verifier, bad: -1}
	o := wire.NewOpener(w.domain, w.keys, w.lim, v).WithSeen(&seenAll{})
	if _, err := o.OpenOne(wire.Encode(&wire.BatchBody{Batch: good})); err != nil {
		t.Fatal(err)
	}
	v.checks = 0
	out := o.Open([][]byte{wire.Encode(e)})[0]
	if out.Err != nil || v.checks != 2 || out.Checks != 2 {
		t.Errorf("%d signatures were verified, %d counted, %v; want 2: of the vote, and the bad one", v.checks, out.Checks, out.Err)
	}
}

// TestEvidenceWithAForgedStatementCostsNoRequests holds that nobody has others verify the
// requests of a batch by evidence that its culprit did not sign.
func TestEvidenceWithAForgedStatementCostsNoRequests(t *testing.T) {
	w := newStubWorld(t)
	e := w.unsigned(t, 100, 99)
	e.First.Signature[3]++
	out := w.opener().Open([][]byte{wire.Encode(e)})[0]
	if !errors.Is(out.Err, wire.ErrSignature) || out.Checks != 1 {
		t.Errorf("%d signatures were verified, %v; want one, and ErrSignature", out.Checks, out.Err)
	}
}

// TestABatchInEvidenceIsWithinTheLimits holds that a frame of evidence has nobody verify,
// or keep, more requests than a proposal may; and that what was kept is still read.
func TestABatchInEvidenceIsWithinTheLimits(t *testing.T) {
	const most = 64
	w := newStubWorld(t)
	fits, long := w.unsigned(t, most, 5), w.unsigned(t, most+1, 5)
	w.lim.BatchRequestsMax = most
	if _, err := w.opener().OpenOne(wire.Encode(fits)); err != nil || !fits.Fits(&w.lim) {
		t.Errorf("a batch at the limit: %v, fits is %t", err, fits.Fits(&w.lim))
	}
	out := w.opener().Open([][]byte{wire.Encode(long)})[0]
	if !errors.Is(out.Err, wire.ErrMalformed) || out.Checks > 0 || out.Sealed != nil {
		t.Errorf("a batch beyond it: got %v, and %d signatures were verified; want ErrMalformed, and none", out.Err, out.Checks)
	}
	if long.Fits(&w.lim) {
		t.Error("a batch beyond the limit fits")
	}
	if _, err := wire.Decode(wire.Encode(long), &w.lim); err != nil {
		t.Errorf("a journal with it cannot be read: %v", err)
	}
	if _, err := w.opener().WithLongProofs().OpenOne(wire.Encode(long)); err != nil {
		t.Errorf("who reads what was kept: %v", err)
	}
	long.First.Signature[3]++
	if _, err := w.opener().WithLongProofs().OpenOne(wire.Encode(long)); !errors.Is(err, wire.ErrSignature) {
		t.Errorf("who reads what was forged: got %v, want ErrSignature", err)
	}
	e, err := wire.NewEvidence(wire.EvidencePrepares, 2, w.lies()[1].first, w.lies()[1].second)
	if err != nil || !e.Fits(&wire.Limits{}) {
		t.Errorf("evidence without a batch does not fit: %v", err)
	}
}

// TestPeekingTellsWhatEvidenceIsAbout compares it with what is decoded.
func TestPeekingTellsWhatEvidenceIsAbout(t *testing.T) {
	w := newStubWorld(t)
	all := []*wire.Evidence{w.unsigned(t, 3, 1)}
	for _, l := range w.lies() {
		e, err := wire.NewEvidence(l.proof, 2, l.first, l.second)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	nv, changes := w.misled()
	nv.Choices = nv.Choices[:2]
	choices, err := wire.NewChoicesEvidence(message[*wire.NewView](w.seal(nv)), changes)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range append(all, choices) {
		frame := wire.Encode(e)
		got := wire.PeekEvidence(frame, &w.lim)
		if got == nil || got.Proof != e.Proof || got.Culprit != e.Culprit {
			t.Errorf("%s of %d: got %+v", e.Proof, e.Culprit, got)
			continue
		}
		view, led := got.Led(replicas)
		if want, wantLed := e.Led(replicas); view != want || led != wantLed {
			t.Errorf("%s: led view %d, %t; want %d, %t", e.Proof, view, led, want, wantLed)
		}
		for n := range frame {
			if got := wire.PeekEvidence(frame[:n], &w.lim); got != nil && got.Proof != e.Proof {
				t.Errorf("%s, cut after %d bytes: got %+v", e.Proof, n, got)
			}
		}
		empty := &wire.Evidence{Proof: e.Proof, Culprit: e.Culprit}
		if view, led := wire.PeekEvidence(wire.Encode(empty), &w.lim).Led(replicas); led {
			t.Errorf("%s without statements is of a primary of view %d", e.Proof, view)
		}
		frame[2] = 99
		if got := wire.PeekEvidence(frame, &w.lim); got != nil {
			t.Errorf("of an unknown kind: got %+v, want nil", got)
		}
	}
	long := append(wire.Encode(all[1]), make([]byte, w.lim.KindBytesMax(wire.KindEvidence))...)
	for name, frame := range map[string][]byte{
		"nothing":                  nil,
		"another kind":             w.seal(&wire.Status{Sender: 1}).Frame(),
		"of nobody in the cluster": wire.Encode(&wire.Evidence{Proof: wire.EvidenceCommits, Culprit: replicas}),
		"longer than may be":       long,
	} {
		if got := wire.PeekEvidence(frame, &w.lim); got != nil {
			t.Errorf("%s: got %+v, want nil", name, got)
		}
	}
}
