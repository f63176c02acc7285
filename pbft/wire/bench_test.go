package wire_test

import (
	"testing"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// benchPrePrepare returns a pre-prepare of 100 requests of 128 bytes by ten
// clients with ed25519 signatures.
func benchPrePrepare(b *testing.B, w *world) *wire.Sealed {
	b.Helper()
	batch := &wire.Batch{Time: 1}
	for i := range 100 {
		q := w.sampleRequest(i%len(w.clients), string(make([]byte, 128)))
		q.Number = wire.Number(i + 5)
		batch.Requests = append(batch.Requests, q)
	}
	return w.seal(&wire.PrePrepare{Vote: wire.Vote{Seq: 1}, Batch: batch})
}

func BenchmarkEncodePrePrepareOf100(b *testing.B) {
	m := benchPrePrepare(b, newWorld(b)).Message()
	b.SetBytes(int64(len(wire.Encode(m))))
	b.ReportAllocs()
	for b.Loop() {
		wire.Encode(m)
	}
}

// BenchmarkDecodePrePrepareOf100 includes the digest of the batch.
func BenchmarkDecodePrePrepareOf100(b *testing.B) {
	w := newWorld(b)
	frame := benchPrePrepare(b, w).Frame()
	b.SetBytes(int64(len(frame)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := wire.Decode(frame, &w.lim); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDigestOf25KB(b *testing.B) {
	data := make([]byte, 25_700)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		crypto.Sum(data)
	}
}

func BenchmarkOpenPrePrepareOf100(b *testing.B) {
	w := newWorld(b)
	frame := benchPrePrepare(b, w).Frame()
	seen := &seenAll{}
	for name, o := range map[string]*wire.Opener{"fresh": w.opener(), "seen": w.opener().WithSeen(seen)} {
		b.Run(name, func(b *testing.B) {
			var memory wire.Memory
			b.ReportAllocs()
			for b.Loop() {
				if err := o.OpenIn(&memory, [][]byte{frame})[0].Err; err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkOpen100Requests(b *testing.B) {
	w := newWorld(b)
	pp := message[*wire.PrePrepare](benchPrePrepare(b, w))
	var frames [][]byte
	for _, q := range pp.Batch.Requests {
		frames = append(frames, wire.Encode(q))
	}
	o, memory := w.opener(), wire.Memory{}
	b.ReportAllocs()
	for b.Loop() {
		for _, got := range o.OpenIn(&memory, frames) {
			if got.Err != nil {
				b.Fatal(got.Err)
			}
		}
	}
}

func BenchmarkSealCommit(b *testing.B) {
	w := newWorld(b)
	m := &wire.Commit{Vote: wire.Vote{View: 1, Seq: 3, Sender: 2}}
	b.ReportAllocs()
	for b.Loop() {
		wire.Seal(w.replicas[2], w.domain, m)
	}
}

func BenchmarkSealRepliesOf100(b *testing.B) {
	w := newWorld(b)
	told := tellHundred()
	b.ReportAllocs()
	for b.Loop() {
		wire.SealReplies(w.replicas[0], w.domain, 0, 0, told)
	}
}

// tellHundred returns a hundred answers for ten clients, as requests of ten
// operations give them.
func tellHundred() []wire.Told {
	var told []wire.Told
	for i := range 100 {
		told = append(told, wire.Told{
			Client: wire.ClientID{byte(i / 10)}, Answer: wire.Answer{Number: wire.Number(i + 1), Seq: 1, Result: []byte("done")},
		})
	}
	return told
}

func BenchmarkDecodeRepliesOf100(b *testing.B) {
	w := newWorld(b)
	told := tellHundred()
	for i := range told {
		told[i].Client = wire.ClientID{}
	}
	frame := wire.SealReplies(w.replicas[0], w.domain, 0, 0, told)[0].Frame()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := wire.Decode(frame, &w.lim); err != nil {
			b.Fatal(err)
		}
	}
}
