package core

import (
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// Bytes of a commit certificate in the archive, and of its place in numbers: with batches
// of one small request and many replicas the signatures are most of it.
const (
	placeBytes          = crypto.DigestSize + 8
	committedFixedBytes = placeBytes + 8 + 8 + crypto.DigestSize
	signedBytes         = 4 + len(crypto.Signature{})
)

// archive keeps committed batches with their certificates below the low
// watermark, consecutive and bounded in bytes, for replicas that are behind.
type archive struct {
	entries []*wire.Committed // ascending, without gaps
	bytes   int
	// numbers says where a batch is, the highest number if there are several: whoever asks
	// for batches that nobody has shall not have all entries looked at for each.
	numbers map[crypto.Digest]wire.Seq
}

// add archives a collected slot, if it committed here.
func (a *archive) add(s *slot, bytesMax int) {
	if s.committed == nil {
		a.clear()
		return
	}
	batch := s.body(s.committed.Digest)
	if batch == nil {
		a.clear()
		return
	}
	if n := len(a.entries); n > 0 && a.entries[n-1].Cert.Seq+1 != s.seq {
		a.clear()
	}
	a.entries = append(a.entries, &wire.Committed{Cert: *s.committed, Batch: batch})
	a.bytes += committedBytes(a.entries[len(a.entries)-1])
	if a.numbers == nil {
		a.numbers = map[crypto.Digest]wire.Seq{}
	}
	a.numbers[s.committed.Digest] = s.seq
	for a.bytes > bytesMax && len(a.entries) > 1 {
		a.dropFirst()
	}
}

func (a *archive) dropFirst() {
	first := a.entries[0]
	a.bytes -= committedBytes(first)
	if a.numbers[first.Cert.Digest] == first.Cert.Seq {
		delete(a.numbers, first.Cert.Digest)
	}
	a.entries[0] = nil
	a.entries = a.entries[1:]
}

func committedBytes(c *wire.Committed) int {
	return committedFixedBytes + len(c.Cert.Commits)*signedBytes + c.Batch.Size()
}

func (a *archive) clear() { *a = archive{} }

// at returns the archived batch of seq, or nil.
func (a *archive) at(seq wire.Seq) *wire.Committed {
	if len(a.entries) == 0 || seq < a.entries[0].Cert.Seq {
		return nil
	}
	if i := seq - a.entries[0].Cert.Seq; i < wire.Seq(len(a.entries)) {
		return a.entries[i]
	}
	return nil
}

// body returns an archived batch by digest, or nil.
func (a *archive) body(digest crypto.Digest) *wire.Batch {
	if seq, here := a.numbers[digest]; here {
		return a.at(seq).Batch
	}
	return nil
}
