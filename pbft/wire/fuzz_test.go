package wire_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/quorate/quorate/pbft/wire"
)

// fuzzDecode feeds the decoder of one kind. Whatever is accepted encodes to the
// same bytes, and opens or is refused for its signatures; nothing panics.
func fuzzDecode(f *testing.F, k wire.Kind) {
	f.Helper()
	w := newStubWorld(f)
	frame := w.samples(f)[k].Frame()
	body := frame[2:]
	f.Add(body)
	f.Add(body[:len(body)/2])
	f.Add(append(bytes.Clone(body), 0))
	o := w.opener()
	f.Fuzz(func(t *testing.T, body []byte) {
		frame := append([]byte{wire.Version, byte(k)}, body...)
		m, err := wire.Decode(frame, &w.lim)
		if err != nil {
			if !errors.Is(err, wire.ErrMalformed) || m != nil {
				t.Fatalf("got %v and %v, want no message and ErrMalformed", m, err)
			}
			return
		}
		if m.Kind() != k {
			t.Fatalf("got a %s, want a %s", m.Kind(), k)
		}
		if again := wire.Encode(m); !bytes.Equal(again, frame) {
			t.Fatalf("encoded again: got %x, want %x", again, frame)
		}
		if s := wire.Reseal(m); s.Digest() != digestOf(m) {
			t.Fatalf("digest: got %s, want %s", s.Digest(), digestOf(m))
		}
		if _, err := o.OpenOne(frame); err != nil && !errors.Is(err, wire.ErrSignature) {
			t.Fatalf("opening gives %v, want ErrSignature or nothing", err)
		}
	})
}

func FuzzDecodeRequest(f *testing.F)         { fuzzDecode(f, wire.KindRequest) }
func FuzzDecodePrePrepare(f *testing.F)      { fuzzDecode(f, wire.KindPrePrepare) }
func FuzzDecodePrepare(f *testing.F)         { fuzzDecode(f, wire.KindPrepare) }
func FuzzDecodeCommit(f *testing.F)          { fuzzDecode(f, wire.KindCommit) }
func FuzzDecodeCheckpoint(f *testing.F)      { fuzzDecode(f, wire.KindCheckpoint) }
func FuzzDecodeViewChange(f *testing.F)      { fuzzDecode(f, wire.KindViewChange) }
func FuzzDecodeNewView(f *testing.F)         { fuzzDecode(f, wire.KindNewView) }
func FuzzDecodeReply(f *testing.F)           { fuzzDecode(f, wire.KindReply) }
func FuzzDecodeStatus(f *testing.F)          { fuzzDecode(f, wire.KindStatus) }
func FuzzDecodeFetchBatches(f *testing.F)    { fuzzDecode(f, wire.KindFetchBatches) }
func FuzzDecodeBatchBody(f *testing.F)       { fuzzDecode(f, wire.KindBatchBody) }
func FuzzDecodeFetchCommitted(f *testing.F)  { fuzzDecode(f, wire.KindFetchCommitted) }
func FuzzDecodeCommitted(f *testing.F)       { fuzzDecode(f, wire.KindCommitted) }
func FuzzDecodeFetchViewChange(f *testing.F) { fuzzDecode(f, wire.KindFetchViewChange) }
func FuzzDecodeStableProof(f *testing.F)     { fuzzDecode(f, wire.KindStableProof) }
func FuzzDecodeFetchPieces(f *testing.F)     { fuzzDecode(f, wire.KindFetchPieces) }
func FuzzDecodePiece(f *testing.F)           { fuzzDecode(f, wire.KindPiece) }
func FuzzDecodeAsk(f *testing.F)             { fuzzDecode(f, wire.KindAsk) }
func FuzzDecodeReport(f *testing.F)          { fuzzDecode(f, wire.KindReport) }
func FuzzDecodeRefusal(f *testing.F)         { fuzzDecode(f, wire.KindRefusal) }
func FuzzDecodePrepared(f *testing.F)        { fuzzDecode(f, wire.KindPrepared) }
func FuzzDecodeReplies(f *testing.F)         { fuzzDecode(f, wire.KindReplies) }
func FuzzDecodeAskOutputs(f *testing.F)      { fuzzDecode(f, wire.KindAskOutputs) }
func FuzzDecodeOutputs(f *testing.F)         { fuzzDecode(f, wire.KindOutputs) }
func FuzzDecodeQuery(f *testing.F)           { fuzzDecode(f, wire.KindQuery) }
func FuzzDecodeResults(f *testing.F)         { fuzzDecode(f, wire.KindResults) }
func FuzzDecodeCommitProof(f *testing.F)     { fuzzDecode(f, wire.KindCommitProof) }

// FuzzDecodeEvidence begins with a proof of every kind.
func FuzzDecodeEvidence(f *testing.F) {
	w := newStubWorld(f)
	for _, l := range w.lies() {
		if e, err := wire.NewEvidence(l.proof, 2, l.first, l.second); err == nil {
			f.Add(wire.Encode(e)[2:])
		}
	}
	nv, changes := w.misled()
	nv.Choices = nil
	if e, err := wire.NewChoicesEvidence(message[*wire.NewView](w.seal(nv)), changes); err == nil {
		f.Add(wire.Encode(e)[2:])
	}
	out := w.opener().Open([][]byte{w.proposal(6, 11, true).Frame()})[0]
	if e, err := wire.NewUnsignedEvidence(out.Unsigned, w.opening()); err == nil {
		f.Add(wire.Encode(e)[2:])
	}
	fuzzDecode(f, wire.KindEvidence)
}

// FuzzOpen feeds whole frames, of any kind and version.
func FuzzOpen(f *testing.F) {
	w := newStubWorld(f)
	all := w.samples(f)
	for _, k := range kinds() {
		f.Add(all[k].Frame())
	}
	o := w.opener()
	f.Fuzz(func(t *testing.T, frame []byte) {
		s, err := o.OpenOne(frame)
		if (s == nil) == (err == nil) {
			t.Fatalf("got %v and %v, want one of the two", s, err)
		}
		if s != nil && !bytes.Equal(wire.Encode(s.Message()), frame) {
			t.Fatal("an opened message has another encoding")
		}
	})
}
