package wire_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

func TestSealLeavesItsMessageAlone(t *testing.T) {
	w := newStubWorld(t)
	for k, s := range w.samples(t) {
		frame := string(s.Frame())
		signer := w.replicas[0] // not the sender's: any signature would change
		wire.Seal(signer, w.domain, s.Message())
		if got := string(wire.Encode(s.Message())); got != frame {
			t.Errorf("sealing changed its %s: got %x, want %x", k, got, frame)
		}
	}
}

// TestChoicesSignPrePrepares holds that the signatures of a new view's choices
// serve the certificates that are made in it.
func TestChoicesSignPrePrepares(t *testing.T) {
	w := newWorld(t)
	nv := message[*wire.NewView](w.samples(t)[wire.KindNewView])
	for _, c := range nv.Choices {
		cert := wire.PreparedCert{View: nv.View, Seq: c.Seq, Digest: c.Digest, PrePrepare: c.Signature}
		if _, err := w.opener().OpenOne(wire.Encode(&wire.Prepared{Cert: cert})); err != nil {
			t.Errorf("choice %d: %v", c.Seq, err)
		}
	}
	null := &wire.PrePrepare{
		Vote:  wire.Vote{View: nv.View, Seq: 258, Digest: wire.NullDigest(), Sender: 1, Signature: nv.Choices[1].Signature},
		Batch: wire.NullBatch(),
	}
	if _, err := w.opener().OpenOne(wire.Reseal(null).Frame()); err != nil {
		t.Errorf("the carried null batch as a pre-prepare: %v", err)
	}
}

func TestPrePrepareSignsItsVoteAlone(t *testing.T) {
	w := newWorld(t)
	pp := message[*wire.PrePrepare](w.samples(t)[wire.KindPrePrepare])
	cert := wire.PreparedCert{View: pp.View, Seq: pp.Seq, Digest: pp.Digest, PrePrepare: pp.Signature}
	if _, err := w.opener().OpenOne(wire.Encode(&wire.Prepared{Cert: cert})); err != nil {
		t.Error(err)
	}
}

func TestResealKeepsFrameAndDigest(t *testing.T) {
	w := newStubWorld(t)
	for k, s := range w.samples(t) {
		got := wire.Reseal(s.Message())
		if string(got.Frame()) != string(s.Frame()) || got.Digest() != s.Digest() {
			t.Errorf("%s: got %x, %s, want %x, %s", k, got.Frame(), got.Digest(), s.Frame(), s.Digest())
		}
	}
}

// TestSealedDigestNamesWhatIsCarried holds Sealed.Digest to the methods that
// compute the same from the message.
func TestSealedDigestNamesWhatIsCarried(t *testing.T) {
	w := newStubWorld(t)
	for k, s := range w.samples(t) {
		want := digestOf(s.Message())
		if diff := cmp.Diff(want, s.Digest()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", k, diff)
		}
	}
}

func TestRequestDigestIgnoresTheSignatureAndBatchDigestDoesNot(t *testing.T) {
	w := newStubWorld(t)
	b := w.sampleBatch()
	request, batch := b.Requests[0].Digest(), b.Digest()
	b.Requests[0].Signature[0]++
	if got := b.Requests[0].Digest(); got != request {
		t.Errorf("request: got %s, want %s", got, request)
	}
	if b.Digest() == batch {
		t.Error("another signature left the digest of the batch as it was")
	}
}

func TestViewChangeDigestIgnoresItsOwnSignature(t *testing.T) {
	vc := message[*wire.ViewChange](newStubWorld(t).samples(t)[wire.KindViewChange])
	want := vc.Digest()
	vc.Signature[0]++
	if got := vc.Digest(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	vc.Prepared[0].PrePrepare[0]++
	if vc.Digest() == want {
		t.Error("another nested signature left the digest as it was")
	}
}

func TestTheNullBatchIsAlwaysTheSame(t *testing.T) {
	if !wire.NullBatch().IsNull() || newStubWorld(t).sampleBatch().IsNull() {
		t.Error("IsNull tells wrong")
	}
	var none *wire.Batch
	got, want := wire.Encode(&wire.BatchBody{Batch: none}), wire.Encode(&wire.BatchBody{Batch: wire.NullBatch()})
	if string(got) != string(want) {
		t.Errorf("no batch: got %x, want the null batch %x", got, want)
	}
}

// digestOf computes what Sealed.Digest promises from the message.
func digestOf(m wire.Message) crypto.Digest {
	switch m := any(m).(type) {
	case *wire.Request:
		return m.Digest()
	case *wire.PrePrepare:
		return m.Batch.Digest()
	case *wire.BatchBody:
		return m.Batch.Digest()
	case *wire.Committed:
		return m.Batch.Digest()
	case *wire.ViewChange:
		return m.Digest()
	default:
		return crypto.Digest{}
	}
}
