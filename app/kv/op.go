package kv

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/quorate/quorate/app"
)

// The bounds of an operation.
const (
	// KeyBytesMax bounds a key, which has at least one byte.
	KeyBytesMax = app.KeyBytesMax
	// ValueBytesMax bounds a value.
	ValueBytesMax = 64 << 10
	// ScanLimitMax bounds how many keys one scan returns.
	ScanLimitMax = 1000
	// ScanBytesMax bounds the keys and values that one scan returns together.
	ScanBytesMax = 128 << 10

	// scanBoundBytesMax bounds the start and end of a scan, which may be the longest key
	// followed by a zero byte: what comes right after it.
	scanBoundBytesMax = KeyBytesMax + 1
)

// ErrMalformed says that bytes are not the encoding of an operation or result.
var ErrMalformed = errors.New("kv: malformed")

// Kind tells what an operation does.
type Kind byte

// The kinds of operations. Their numbers are part of the encoding.
const (
	KindGet            Kind = 1
	KindPut            Kind = 2
	KindDelete         Kind = 3
	KindCompareAndSwap Kind = 4
	KindPutIfAbsent    Kind = 5
	KindScan           Kind = 6
)

// String names the kind.
func (k Kind) String() string {
	switch k {
	case KindGet:
		return "get"
	case KindPut:
		return "put"
	case KindDelete:
		return "delete"
	case KindCompareAndSwap:
		return "compare-and-swap"
	case KindPutIfAbsent:
		return "put-if-absent"
	case KindScan:
		return "scan"
	default:
		return fmt.Sprintf("kind %d", byte(k))
	}
}

// Op is a decoded operation, for those who must know what was asked: models and
// checkers. The functions named like the kinds make operations.
type Op struct {
	Kind  Kind
	Key   string // not for KindScan
	Old   []byte // KindCompareAndSwap
	Value []byte // what to put: KindPut, KindCompareAndSwap, KindPutIfAbsent
	// From, To and Limit are for KindScan: at most Limit keys of [From, To).
	// An empty To means no end.
	From, To string
	Limit    int
}

// Get returns the operation that reads key.
func Get(key string) []byte { return Op{Kind: KindGet, Key: key}.Encode() }

// Put returns the operation that sets key to value.
func Put(key string, value []byte) []byte { return Op{Kind: KindPut, Key: key, Value: value}.Encode() }

// Delete returns the operation that removes key.
func Delete(key string) []byte { return Op{Kind: KindDelete, Key: key}.Encode() }

// CompareAndSwap returns the operation that sets key to value if it has the
// value old.
func CompareAndSwap(key string, old, value []byte) []byte {
	return Op{Kind: KindCompareAndSwap, Key: key, Old: old, Value: value}.Encode()
}

// PutIfAbsent returns the operation that sets key to value if it has none.
func PutIfAbsent(key string, value []byte) []byte {
	return Op{Kind: KindPutIfAbsent, Key: key, Value: value}.Encode()
}

// Scan returns the operation that reads the first keys of [from, to), at most
// limit. An empty to means no end. To go on, scan from the last key followed by
// a zero byte.
func Scan(from, to string, limit int) []byte {
	return Op{Kind: KindScan, From: from, To: to, Limit: limit}.Encode()
}

// ScanPrefix returns the operation that reads the first keys that begin with
// prefix, at most limit.
func ScanPrefix(prefix string, limit int) []byte {
	return Scan(prefix, app.PrefixEnd(prefix), limit)
}

// Encode returns the one encoding of o: a byte of kind and its fields, every
// string preceded by its length in four bytes, big-endian. It checks nothing:
// Parse, and so Validate, refuse what is out of bounds.
func (o Op) Encode() []byte {
	b := make(buf, 0, 1+3*4+len(o.Key)+len(o.Old)+len(o.Value)+len(o.From)+len(o.To))
	b = append(b, byte(o.Kind))
	switch o.Kind {
	case KindGet, KindDelete:
		return b.text(o.Key)
	case KindPut, KindPutIfAbsent:
		return b.text(o.Key).bytes(o.Value)
	case KindCompareAndSwap:
		return b.text(o.Key).bytes(o.Old).bytes(o.Value)
	case KindScan:
		return b.text(o.From).text(o.To).number(o.Limit)
	default:
		return b
	}
}

// Parse decodes an operation and checks its bounds. Values are parts of op, and not
// copied. Its errors are ErrMalformed.
func Parse(op []byte) (Op, error) {
	r := reader{rest: op}
	o := Op{Kind: Kind(r.byte("kind"))}
	switch o.Kind {
	case KindGet, KindDelete:
		o.Key = r.key()
	case KindPut, KindPutIfAbsent:
		o.Key = r.key()
		o.Value = r.bytes("value", ValueBytesMax)
	case KindCompareAndSwap:
		o.Key = r.key()
		o.Old = r.bytes("old value", ValueBytesMax)
		o.Value = r.bytes("value", ValueBytesMax)
	case KindScan:
		o.From = string(r.bytes("start of a scan", scanBoundBytesMax))
		o.To = string(r.bytes("end of a scan", scanBoundBytesMax))
		o.Limit = r.number("limit of a scan", ScanLimitMax)
	default:
		r.fail("no operation has %s", o.Kind)
	}
	if err := r.end("operation"); err != nil {
		return Op{}, err
	}
	return o, nil
}

// buf is an encoding under construction.
type buf []byte

func (b buf) number(n int) buf { return binary.BigEndian.AppendUint32(b, uint32(n)) } //nolint:gosec // Parse checks

func (b buf) text(s string) buf { return append(b.number(len(s)), s...) }

func (b buf) bytes(v []byte) buf { return append(b.number(len(v)), v...) }

// reader takes an encoding apart. After the first error it gives zero values.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
		r.rest = nil
	}
}

// end returns the first error; bytes that are left over are one.
func (r *reader) end(what string) error {
	if len(r.rest) > 0 {
		r.fail("%d bytes follow the %s", len(r.rest), what)
	}
	return r.err
}

func (r *reader) take(what string, n int) []byte {
	if r.err != nil || n > len(r.rest) {
		r.fail("%d bytes of a %s are wanted, %d are left", n, what, len(r.rest))
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) byte(what string) byte {
	if b := r.take(what, 1); b != nil {
		return b[0]
	}
	return 0
}

// number reads an integer from 1 to limit.
func (r *reader) number(what string, limit int) int {
	n := r.integer("", what, limit)
	if n == 0 {
		r.fail("the %s is 0, want at least 1", what)
	}
	return n
}

// integer reads an integer up to limit, of what is called kind and what together.
func (r *reader) integer(kind, what string, limit int) int {
	if r.err != nil || len(r.rest) < 4 {
		r.fail("4 bytes of a %s%s are wanted, %d are left", kind, what, len(r.rest))
		return 0
	}
	n := binary.BigEndian.Uint32(r.rest)
	r.rest = r.rest[4:]
	if int64(n) > int64(limit) {
		r.fail("%s%s: got %d, at most %d are possible", kind, what, n, limit)
		return 0
	}
	return int(n)
}

// bytes reads a length and so many bytes, which it does not copy.
func (r *reader) bytes(what string, limit int) []byte {
	return r.take(what, r.integer("length of the ", what, limit))
}

func (r *reader) key() string {
	key := string(r.bytes("key", KeyBytesMax))
	if key == "" {
		r.fail("the key is empty")
	}
	return key
}
