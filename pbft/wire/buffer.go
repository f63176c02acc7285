package wire

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/quorate/quorate/crypto"
)

// ErrMalformed says that bytes are not the encoding of a legal message.
var ErrMalformed = errors.New("malformed frame")

// Widths of the fixed parts in bytes.
const (
	headerBytes    = 2 // version and kind
	countBytes     = 4 // before every list and every byte string
	signatureBytes = len(crypto.Signature{})
	signedBytes    = 4 + signatureBytes // a Signed
	voteBodyBytes  = 8 + 8 + crypto.DigestSize + 4
)

// buf is an encoding under construction. Integers are big-endian and of fixed
// width, lists and byte strings are preceded by their length.
type buf []byte

func (b buf) u8(v byte) buf { return append(b, v) }

func (b buf) u32(v uint32) buf { return binary.BigEndian.AppendUint32(b, v) }

func (b buf) u64(v uint64) buf { return binary.BigEndian.AppendUint64(b, v) }

func (b buf) flag(v bool) buf {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// count appends the length of a list. Lists that a process can hold and that
// Limits allow are far shorter than 2^32.
func (b buf) count(n int) buf { return b.u32(uint32(n)) } //nolint:gosec // see above

func (b buf) bytes(v []byte) buf { return append(b.count(len(v)), v...) }

func (b buf) text(v string) buf { return append(b.count(len(v)), v...) }

func (b buf) id(v ReplicaID) buf { return b.u32(uint32(v)) }

func (b buf) seq(v Seq) buf { return b.u64(uint64(v)) }

func (b buf) view(v View) buf { return b.u64(uint64(v)) }

func (b buf) digest(v *crypto.Digest) buf { return append(b, v[:]...) }

func (b buf) signature(v *crypto.Signature) buf { return append(b, v[:]...) }

func (b buf) digests(v []crypto.Digest) buf {
	b = b.count(len(v))
	for i := range v {
		b = b.digest(&v[i])
	}
	return b
}

func (b buf) signers(v []Signed) buf {
	b = b.count(len(v))
	for i := range v {
		b = b.id(v[i].Sender).signature(&v[i].Signature)
	}
	return b
}

func (b buf) refs(v []ViewChangeRef) buf {
	b = b.count(len(v))
	for i := range v {
		b = b.id(v[i].Sender).digest(&v[i].Digest)
	}
	return b
}

// reader takes an encoding apart. After the first error every further read
// gives zero values, and nothing is allocated any more.
type reader struct {
	data []byte
	at   int
	err  error
	lim  *Limits
	// from and to delimit the bytes that the digest of the message covers;
	// decoders of kinds that have one set them.
	from, to int
}

// fail keeps the first error.
func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
}

// need fails unless ok. Its message is a constant, so that it costs nothing.
func (r *reader) need(ok bool, why string) {
	if !ok && r.err == nil {
		r.err = errors.New(why)
	}
}

// left returns how many bytes remain.
func (r *reader) left() int { return len(r.data) - r.at }

// take returns the next n bytes, which alias the frame, or nil.
func (r *reader) take(n int) []byte {
	if r.err != nil {
		return nil
	}
	if n > r.left() {
		r.fail("%d bytes wanted at byte %d, %d left", n, r.at, r.left())
		return nil
	}
	b := r.data[r.at : r.at+n : r.at+n]
	r.at += n
	return b
}

func (r *reader) u8() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) u32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (r *reader) flag() bool {
	v := r.u8()
	if v > 1 {
		r.fail("bool at byte %d is %d, want 0 or 1", r.at-1, v)
	}
	return v == 1
}

// count reads the length of a list of at most limit items of itemBytes or more
// each. It refuses what is over the limit and what cannot be there, so callers
// may allocate for it.
func (r *reader) count(what string, limit, itemBytes int) int {
	n := r.u32()
	if r.err != nil {
		return 0
	}
	if int64(n) > int64(limit) {
		r.fail("%d %s, at most %d are allowed", n, what, limit)
		return 0
	}
	if int64(n)*int64(itemBytes) > int64(r.left()) {
		r.fail("%d %s of %d bytes or more announced, %d bytes left", n, what, itemBytes, r.left())
		return 0
	}
	return int(n)
}

// bytes reads a byte string, which aliases the frame. An empty one is nil. what
// is its name in errors, after its length.
func (r *reader) bytes(what string, limit int) []byte {
	n := r.count(what, limit, 1)
	if n == 0 {
		return nil
	}
	return r.take(n)
}

// id reads the number of a replica of the cluster.
func (r *reader) id() ReplicaID {
	v := r.u32()
	if int64(v) >= int64(r.lim.Replicas) {
		r.fail("replica %d is not one of %d", v, r.lim.Replicas)
	}
	return ReplicaID(v)
}

// number reads an integer that can be counted up without overflow.
func (r *reader) number(what string) uint64 {
	v := r.u64()
	if v > NumberMax {
		r.fail("%s %d is beyond %d", what, v, uint64(NumberMax))
	}
	return v
}

func (r *reader) seq() Seq { return Seq(r.number("sequence number")) }

func (r *reader) view() View { return View(r.number("view")) }

// someSeq reads a sequence number of a batch, so not 0.
func (r *reader) someSeq() Seq {
	v := r.seq()
	r.need(v > 0, "sequence number is 0, batches start at 1")
	return v
}

// nextView reads a view that something changes to, so not 0.
func (r *reader) nextView() View {
	v := r.view()
	r.need(v > 0, "view is 0, nothing changes to it")
	return v
}

func (r *reader) digest() (d crypto.Digest) {
	copy(d[:], r.take(len(d)))
	return d
}

func (r *reader) signature() (s crypto.Signature) {
	copy(s[:], r.take(len(s)))
	return s
}

func (r *reader) digests(what string, limit int) []crypto.Digest {
	n := r.count(what, limit, crypto.DigestSize)
	if n == 0 {
		return nil
	}
	v := make([]crypto.Digest, n)
	for i := range v {
		v[i] = r.digest()
	}
	return v
}

// signers reads signatures of distinct replicas in ascending order.
func (r *reader) signers(what string) []Signed {
	n := r.count(what, r.lim.Replicas, signedBytes)
	if n == 0 {
		return nil
	}
	v := make([]Signed, n)
	for i := range v {
		v[i] = Signed{Sender: r.id(), Signature: r.signature()}
		if i > 0 && v[i].Sender <= v[i-1].Sender {
			r.fail("%s: replica %d follows replica %d, want ascending order", what, v[i].Sender, v[i-1].Sender)
		}
		if r.err != nil {
			return nil
		}
	}
	return v
}

// refs reads the names of view changes of distinct senders in ascending order.
func (r *reader) refs() []ViewChangeRef {
	n := r.count("view changes", r.lim.Replicas, 4+crypto.DigestSize)
	r.need(n > 0, "no view change is named")
	if r.err != nil {
		return nil
	}
	v := make([]ViewChangeRef, n)
	for i := range v {
		v[i] = ViewChangeRef{Sender: r.id(), Digest: r.digest()}
		if i > 0 && v[i].Sender <= v[i-1].Sender {
			r.fail("view change of replica %d follows that of %d, want ascending order", v[i].Sender, v[i-1].Sender)
		}
		if r.err != nil {
			return nil
		}
	}
	return v
}
