package wire_test

import (
	"bytes"
	"errors"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// TestEncodingIsABijection holds, for every kind: what is decoded equals what
// was encoded, and encodes to the same bytes again.
func TestEncodingIsABijection(t *testing.T) {
	w := newStubWorld(t)
	for _, k := range kinds() {
		t.Run(k.String(), func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				s := draw{rt, w}.sealed(k)
				got, err := wire.Decode(s.Frame(), &w.lim)
				if err != nil {
					rt.Fatal(err)
				}
				if diff := cmp.Diff(s.Message(), got); diff != "" {
					rt.Fatalf("decoded (-want +got):\n%s", diff)
				}
				if again := wire.Encode(got); !bytes.Equal(again, s.Frame()) {
					rt.Fatalf("encoded again: got %x, want %x", again, s.Frame())
				}
				if f := s.Frame(); cap(f) != len(f) {
					rt.Fatalf("frame of %d bytes was allocated with %d", len(f), cap(f))
				}
			})
		})
	}
}

// TestOpenAcceptsWhatSealMakes holds digests and signatures of both sides
// together.
func TestOpenAcceptsWhatSealMakes(t *testing.T) {
	w := newStubWorld(t)
	for _, k := range kinds() {
		t.Run(k.String(), func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				s := draw{rt, w}.sealed(k)
				got, err := w.opener().OpenOne(s.Frame())
				if err != nil {
					rt.Fatal(err)
				}
				if got.Digest() != s.Digest() {
					rt.Fatalf("digest: got %s, want %s", got.Digest(), s.Digest())
				}
				if diff := cmp.Diff(s.Message(), got.Message()); diff != "" {
					rt.Fatalf("opened (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestSizesAreThoseOfTheEncoding(t *testing.T) {
	w := newStubWorld(t)
	rapid.Check(t, func(rt *rapid.T) {
		b := draw{rt, w}.batch()
		header := 2
		if got, want := b.Size(), len(wire.Encode(&wire.BatchBody{Batch: b}))-header; got != want {
			rt.Fatalf("batch: got %d bytes, want %d", got, want)
		}
		for _, q := range b.Requests {
			if got, want := q.Size(), len(wire.Encode(q))-header; got != want {
				rt.Fatalf("request: got %d bytes, want %d", got, want)
			}
		}
	})
}

func TestEveryTruncationIsMalformed(t *testing.T) {
	w := newStubWorld(t)
	for k, s := range w.samples(t) {
		for n := range len(s.Frame()) {
			if _, err := wire.Decode(s.Frame()[:n], &w.lim); !errors.Is(err, wire.ErrMalformed) {
				t.Errorf("%s cut to %d of %d bytes: got %v, want ErrMalformed", k, n, len(s.Frame()), err)
			}
		}
	}
}

func TestTrailingBytesAreMalformed(t *testing.T) {
	w := newStubWorld(t)
	for k, s := range w.samples(t) {
		for _, tail := range []int{1, 4, 68} {
			frame := append(bytes.Clone(s.Frame()), make([]byte, tail)...)
			if _, err := wire.Decode(frame, &w.lim); !errors.Is(err, wire.ErrMalformed) {
				t.Errorf("%s with %d more bytes: got %v, want ErrMalformed", k, tail, err)
			}
		}
	}
}

func TestForeignVersionsAndKindsAreMalformed(t *testing.T) {
	w := newStubWorld(t)
	for k, s := range w.samples(t) {
		for _, version := range []byte{0, wire.Version + 1, 255} {
			frame := bytes.Clone(s.Frame())
			frame[0] = version
			if _, err := wire.Decode(frame, &w.lim); !errors.Is(err, wire.ErrMalformed) {
				t.Errorf("%s of version %d: got %v, want ErrMalformed", k, version, err)
			}
		}
		for _, kind := range []byte{0, byte(wire.KindLast) + 1, 255} {
			frame := bytes.Clone(s.Frame())
			frame[1] = kind
			if _, err := wire.Decode(frame, &w.lim); !errors.Is(err, wire.ErrMalformed) {
				t.Errorf("%s as kind %d: got %v, want ErrMalformed", k, kind, err)
			}
		}
	}
}

// TestFlippedBitsNeverOpen flips every bit of a message of every kind. Four
// kinds prove nothing by themselves, and what they say is checked by whoever
// asked: any Ask, AskOutputs and Piece is as good as another, and a BatchBody whose own
// fields changed has another digest.
func TestFlippedBitsNeverOpen(t *testing.T) {
	w := newStubWorld(t)
	o := w.opener()
	for k, s := range w.samples(t) {
		frame := bytes.Clone(s.Frame())
		for bit := range len(frame) * 8 {
			frame[bit/8] ^= 1 << (bit % 8)
			got, err := o.OpenOne(frame)
			if err != nil {
				if !errors.Is(err, wire.ErrMalformed) && !errors.Is(err, wire.ErrSignature) {
					t.Errorf("%s, bit %d: got %v, want ErrMalformed or ErrSignature", k, bit, err)
				}
			} else if !harmless(s, got) {
				t.Errorf("%s with bit %d flipped was opened", k, bit)
			}
			frame[bit/8] ^= 1 << (bit % 8)
		}
	}
}

func harmless(s, got *wire.Sealed) bool {
	switch got.Message().Kind() {
	case wire.KindAsk, wire.KindAskOutputs, wire.KindPiece:
		return true
	case wire.KindBatchBody:
		return got.Digest() != s.Digest()
	default:
		return false
	}
}

// TestCountsAreCheckedBeforeAllocation overwrites every four bytes of every
// frame, counts among them, with huge numbers.
func TestCountsAreCheckedBeforeAllocation(t *testing.T) {
	w := newStubWorld(t)
	const room = 256 << 10 // the error, the lists that are there, and what the runtime allocates beside us
	for k, s := range w.samples(t) {
		for at := 2; at+4 <= len(s.Frame()); at++ {
			for _, count := range [][4]byte{{0x80, 0, 0, 0}, {0xff, 0xff, 0xff, 0xff}, {0x7f, 0xff, 0xff, 0xff}} {
				frame := bytes.Clone(s.Frame())
				copy(frame[at:], count[:])
				if got := allocated(func() { _, _ = wire.Decode(frame, &w.lim) }); got > room {
					t.Errorf("%s with %x at byte %d: allocated %d bytes", k, count, at, got)
				}
			}
		}
	}
}

func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestBoolsHaveTwoValues(t *testing.T) {
	w := newStubWorld(t)
	frame := bytes.Clone(w.samples(t)[wire.KindRequest].Frame())
	const readOnly = 2 + 32 + 8 + 8 + 8
	for v := 2; v < 256; v++ {
		frame[readOnly] = byte(v)
		if _, err := wire.Decode(frame, &w.lim); !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("bool %d: got %v, want ErrMalformed", v, err)
		}
	}
}

func TestDecodedBytesDoNotGrowIntoTheirFrame(t *testing.T) {
	w := newStubWorld(t)
	frame := bytes.Clone(w.samples(t)[wire.KindRequest].Frame())
	want := bytes.Clone(frame)
	m, err := wire.Decode(frame, &w.lim)
	if err != nil {
		t.Fatal(err)
	}
	q, ok := m.(*wire.Request)
	if !ok {
		t.Fatalf("got a %s, want a request", m.Kind())
	}
	for i := range q.Ops {
		_ = append(q.Ops[i], 0xee)
	}
	if !bytes.Equal(frame, want) {
		t.Errorf("got %x, want %x", frame, want)
	}
}

func TestOperationsOfOneBatchDoNotShareLists(t *testing.T) {
	w := newStubWorld(t)
	b := &wire.Batch{Time: 1}
	for i := range 40 { // lists of many lengths, to cross from one allocation into the next
		q := w.sampleRequest(i%3, "a")
		for j := range i % 7 {
			q.Ops = append(q.Ops, bytes.Repeat([]byte{byte(j)}, j+1))
		}
		b.Requests = append(b.Requests, q)
	}
	m, err := wire.Decode(wire.Encode(&wire.BatchBody{Batch: b}), &w.lim)
	if err != nil {
		t.Fatal(err)
	}
	got, ok := m.(*wire.BatchBody)
	if !ok {
		t.Fatalf("got a %s, want a batch-body", m.Kind())
	}
	if diff := cmp.Diff(b, got.Batch); diff != "" {
		t.Errorf("decoded (-want +got):\n%s", diff)
	}
	for i, q := range got.Batch.Requests {
		q.Ops = append(q.Ops, []byte("more"))
		if diff := cmp.Diff(b.Requests[min(i+1, 39)].Ops[0], got.Batch.Requests[min(i+1, 39)].Ops[0]); diff != "" {
			t.Fatalf("an append to request %d changed the next (-want +got):\n%s", i, diff)
		}
	}
}

func TestFrameKindReadsTwoBytes(t *testing.T) {
	for k, s := range newStubWorld(t).samples(t) {
		if got, err := wire.FrameKind(s.Frame()[:2]); err != nil || got != k {
			t.Errorf("got %s, %v, want %s", got, err, k)
		}
	}
	if _, err := wire.FrameKind([]byte{wire.Version}); !errors.Is(err, wire.ErrMalformed) {
		t.Errorf("one byte: got %v, want ErrMalformed", err)
	}
}

func TestNullDigestIsThatOfTheNullBatch(t *testing.T) {
	if got, want := wire.NullDigest(), wire.NullBatch().Digest(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestDigestsOfTheSameBytesDifferByUse(t *testing.T) {
	a, b := digest("a"), digest("b")
	seen := map[crypto.Digest]string{}
	for name, d := range map[string]crypto.Digest{
		"history":      wire.HistoryDigest(a, b),
		"plain":        crypto.Sum(a[:], b[:]),
		"null batch":   wire.NullDigest(),
		"empty":        crypto.Sum(),
		"view change":  (&wire.ViewChange{}).Digest(),
		"request":      (&wire.Request{}).Digest(),
		"answer":       wire.AnswerDigest(&wire.Answer{}),
		"history flip": wire.HistoryDigest(b, a),
	} {
		if other := seen[d]; other != "" {
			t.Errorf("%s and %s have one digest", name, other)
		}
		seen[d] = name
	}
}
