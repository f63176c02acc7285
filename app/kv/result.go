package kv

// Status tells how an operation ended.
type Status byte

// The statuses. Their numbers are part of the encoding.
const (
	StatusDone     Status = 1 // the write took place
	StatusFound    Status = 2 // Value is the key's
	StatusNotFound Status = 3 // the key has no value; nothing was written
	StatusConflict Status = 4 // the key has another value, which is Value; nothing was written
	StatusEntries  Status = 5 // Entries are what a scan found
	StatusInvalid  Status = 6 // this was no operation; Value is text that says why
)

// Entry is a key and its value.
type Entry struct {
	Key   string
	Value []byte
}

// Result is what an operation returned.
type Result struct {
	Status  Status
	Value   []byte
	Entries []Entry // ascending keys
	// More says that a scan stopped at its limit, or at ScanBytesMax, and there
	// are further keys.
	More bool
}

// Encode returns the one encoding of r: a byte of status and its fields, every
// string preceded by its length in four bytes, big-endian.
func (r Result) Encode() []byte {
	b := buf{byte(r.Status)}
	switch r.Status {
	case StatusFound, StatusConflict, StatusInvalid:
		return b.bytes(r.Value)
	case StatusEntries:
		more := byte(0)
		if r.More {
			more = 1
		}
		b = append(b, more).number(len(r.Entries))
		for _, e := range r.Entries {
			b = b.text(e.Key).bytes(e.Value)
		}
		return b
	case StatusDone, StatusNotFound:
		return b
	default:
		return b
	}
}

// ParseResult decodes what an operation returned. Values are parts of data, and not
// copied. Its errors are ErrMalformed.
func ParseResult(data []byte) (Result, error) {
	in := reader{rest: data}
	r := Result{Status: Status(in.byte("status"))}
	switch r.Status {
	case StatusDone, StatusNotFound:
	case StatusFound, StatusConflict, StatusInvalid:
		r.Value = in.bytes("value", ValueBytesMax)
	case StatusEntries:
		in.entries(&r)
	default:
		in.fail("no result has status %d", byte(r.Status))
	}
	if err := in.end("result"); err != nil {
		return Result{}, err
	}
	return r, nil
}

func (r *reader) entries(to *Result) {
	more := r.byte("mark whether there are more")
	if more > 1 {
		r.fail("the mark whether there are more is %d, want 0 or 1", more)
	}
	to.More = more == 1
	for range r.integer("", "number of entries", ScanLimitMax) {
		e := Entry{r.key(), r.bytes("value", ValueBytesMax)}
		if n := len(to.Entries); n > 0 && e.Key <= to.Entries[n-1].Key {
			r.fail("the keys do not ascend")
		}
		if r.err != nil {
			return
		}
		to.Entries = append(to.Entries, e)
	}
}
