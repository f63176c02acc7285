package journal

import (
	"encoding/binary"
	"fmt"
)

// replay reads one segment from its beginning as far as it is intact.
type replay struct {
	head header
	name string
	data []byte // the whole file

	pos     int    // everything before it is intact
	group   uint64 // number of the flush that is being read, or expected next
	groupAt int    // where the last flush that was begun begins; 0 if none was
	inside  bool   // reading has begun that flush, and not ended it
	index   uint64 // of the next record
	chain   link   // before it
	sealed  bool   // another segment must follow
	why     string // why reading ended
}

func newReplay(name string, head header, data []byte) *replay {
	return &replay{head: head, name: name, data: data, pos: sector, index: head.first, chain: head.chain}
}

// run reads, and hands each record to keep. It returns an error only for what no
// crash can leave; where an error may be a torn flush, it just stops.
func (r *replay) run(keep func(payload []byte) error) error {
	for {
		begun, err := r.begin()
		if err != nil || !begun {
			return err
		}
		ended, err := r.records(keep)
		if err != nil || !ended {
			return err
		}
		r.group, r.inside = r.group+1, false
	}
}

// begin reads the mark of a flush. It returns false where none is.
func (r *replay) begin() (bool, error) {
	if r.pos+markBytes > len(r.data) {
		r.why = "the file ends"
		return false, nil
	}
	m, ok := parseMark(r.data[r.pos:r.pos+markBytes], r.head.salt)
	if !ok {
		r.why = "there is no intact mark of a flush"
		return false, nil
	}
	want := mark{magic: m.magic, number: r.group, index: r.index, offset: int64(r.pos), chain: r.chain}
	if m != want {
		return false, r.corrupt("what was here before is gone: the mark of a flush does not follow what precedes it")
	}
	if m.magic == sealMagic {
		r.sealed = true
		r.why = "the segment is sealed"
		return false, nil
	}
	r.groupAt, r.inside = r.pos, true
	r.pos += markBytes
	return true, nil
}

// records reads the records of a flush and the padding after it. It returns
// false where something is not intact.
func (r *replay) records(keep func(payload []byte) error) (bool, error) {
	for {
		if r.ended() {
			return r.padding(), nil
		}
		payload, ok := r.record()
		if !ok {
			return false, nil
		}
		next := r.chain.next(payload)
		if next != link(r.data[r.pos+8:r.pos+recordFixed]) {
			return false, r.corrupt("the record is intact but does not follow the one before it")
		}
		if err := keep(payload); err != nil {
			return false, fmt.Errorf("journal: %s, offset %d: record %d: %w", r.name, r.pos, r.index, err)
		}
		r.chain = next
		r.index++
		r.pos += int(recordSpace(len(payload)))
	}
}

// ended tells whether no record of the same flush follows.
func (r *replay) ended() bool {
	if r.pos >= len(r.data) {
		return true
	}
	if r.pos+4 > len(r.data) {
		return false
	}
	next := binary.BigEndian.Uint32(r.data[r.pos:])
	return next == 0 || r.pos%sector == 0 && (next == flushMagic || next == sealMagic)
}

// padding skips the zeros to the end of the sector.
func (r *replay) padding() bool {
	end := min(int(alignUp(int64(r.pos), sector)), len(r.data))
	if lastNonZero(r.data[r.pos:end]) >= 0 {
		r.why = "a record's length is zero"
		return false
	}
	r.pos = end
	return true
}

// record returns the payload of the record at pos, if it is intact.
func (r *replay) record() ([]byte, bool) {
	rest := r.data[r.pos:]
	if len(rest) < recordFixed {
		r.why = "the file ends in a record"
		return nil, false
	}
	length := binary.BigEndian.Uint32(rest)
	if length > recordBytesMax || int64(length) > int64(len(rest)-recordFixed) {
		r.why = fmt.Sprintf("a record's length is %d, which is too long", length)
		return nil, false
	}
	record := rest[:recordFixed+int(length)]
	if recordChecksum(record) != binary.BigEndian.Uint32(record[4:]) {
		r.why = "a record's checksum is wrong"
		return nil, false
	}
	if space := int(recordSpace(int(length))); space > len(rest) || lastNonZero(rest[len(record):space]) >= 0 {
		r.why = "what fills up a record is not zero"
		return nil, false
	}
	return record[recordFixed:], true
}

// torn tells whether what run stopped at may be a flush that a crash tore. It
// may, if no mark of a later flush or seal is intact: by (J1) such a mark proves
// that this flush had been durable.
func (r *replay) torn() bool {
	if int64(r.pos) < r.head.durable {
		return false
	}
	for at := int(alignUp(int64(r.pos)+1, sector)); at+markBytes <= len(r.data); at += sector {
		m, ok := parseMark(r.data[at:at+markBytes], r.head.salt)
		if ok && m.offset == int64(at) && m.number > r.group {
			r.why += fmt.Sprintf(", and an intact mark at offset %d shows that it had been flushed", at)
			return false
		}
	}
	return true
}

func (r *replay) corrupt(why string) error {
	return &CorruptError{File: r.name, Offset: int64(r.pos), Index: r.index, Reason: why}
}

// lastNonZero returns the place of the last byte that is not zero, or −1.
func lastNonZero(b []byte) int {
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] != 0 {
			return i
		}
	}
	return -1
}
