package journal

import (
	"fmt"
	"io"

	"github.com/quorate/quorate/checkpoint/journal/disk"
	"github.com/quorate/quorate/pbft/core"
)

const (
	// spillBytes is how much Append buffers before it writes, so that a long
	// turn does not cost memory without bound.
	spillBytes = 1 << 20
	// bufferKeepBytes is the largest buffer kept for the next flush.
	bufferKeepBytes = 4 << 20
)

// tail writes to one segment: marks and records, in order.
type tail struct {
	file  disk.File
	head  header
	pos   int64  // where buf goes
	buf   []byte // what is not written yet
	room  []byte // for the payload of one record
	open  bool   // a flush has begun: its mark is in buf or written
	dirty bool   // something written is not synced

	group uint64 // number of the flush that is open, or of the next
	index uint64 // of the next record
	chain link   // before the next record
}

func newTail(file disk.File, head header) *tail {
	return &tail{file: file, head: head, pos: sector, index: head.first, chain: head.chain}
}

// end returns where the next byte goes.
func (t *tail) end() int64 { return t.pos + int64(len(t.buf)) }

// fits tells whether a record with so long a payload has room, and after it the
// seal of the segment. An empty segment takes any record.
func (t *tail) fits(payload int) bool {
	need := recordSpace(payload)
	if !t.open {
		need += markBytes
	}
	return t.end() <= sector || alignUp(t.end()+need, sector)+sector <= t.head.bytes
}

// encode returns the payload of r, which the next one overwrites.
func (t *tail) encode(r core.Record) ([]byte, error) {
	payload, err := encodeRecord(t.room, r)
	if t.room = payload; cap(t.room) > bufferKeepBytes {
		t.room = nil
	}
	return payload, err
}

// add buffers one record.
func (t *tail) add(payload []byte) {
	if !t.open {
		t.buf = t.mark(flushMagic).appendTo(t.buf, t.head.salt)
		t.open = true
	}
	t.chain = t.chain.next(payload)
	t.buf = appendRecord(t.buf, payload, t.chain)
	t.index++
}

func (t *tail) mark(magic uint32) mark {
	return mark{magic: magic, number: t.group, index: t.index, offset: t.end(), chain: t.chain}
}

// spill writes the buffer if it has grown large. Nothing is durable by that.
func (t *tail) spill() error {
	if len(t.buf) < spillBytes {
		return nil
	}
	return t.write()
}

func (t *tail) write() error {
	if len(t.buf) == 0 {
		return nil
	}
	if err := writeAt(t.file, t.buf, t.pos); err != nil {
		return fmt.Errorf("write %d bytes to %s: %w", len(t.buf), segmentName(t.head.serial), err)
	}
	t.pos += int64(len(t.buf))
	t.dirty = true
	t.buf = t.buf[:0]
	if cap(t.buf) > bufferKeepBytes {
		t.buf = nil
	}
	return nil
}

// finish ends the flush that is open: it pads it to a whole sector (J2) and
// writes it.
func (t *tail) finish() error {
	if !t.open {
		return nil
	}
	end := t.end()
	t.buf = append(t.buf, make([]byte, alignUp(end, sector)-end)...)
	if err := t.write(); err != nil {
		return err
	}
	t.open = false
	t.group++
	return nil
}

// flush makes everything added durable.
func (t *tail) flush() error {
	if err := t.finish(); err != nil {
		return err
	}
	if !t.dirty {
		return nil
	}
	if err := t.file.SyncData(); err != nil {
		return fmt.Errorf("sync %s: %w", segmentName(t.head.serial), err)
	}
	t.dirty = false
	return nil
}

// seal says, durably, that another segment follows, so that its loss is
// noticed. Everything added must be flushed, and the other segment durable.
func (t *tail) seal() error {
	t.buf = pad(t.mark(sealMagic).appendTo(t.buf, t.head.salt), sector)
	if err := t.write(); err != nil {
		return err
	}
	return t.flush()
}

// fill writes the records of a base, however many, as one flush.
func (t *tail) fill(base []core.Record) error {
	for _, r := range base {
		if err := t.addBase(r, segmentBytesMax); err != nil {
			return err
		}
	}
	return t.finish()
}

// addBase adds one record of a base, which has one segment, of so many bytes at most.
func (t *tail) addBase(r core.Record, most int64) error {
	payload, err := t.encode(r)
	if err != nil {
		return err
	}
	if t.end()+recordSpace(len(payload))+2*sector > most {
		return errBaseLong
	}
	t.add(payload)
	return t.spill()
}

// publish writes the header and syncs the whole file, which then may get its
// name (J3).
func (t *tail) publish() error {
	t.head.durable = t.pos
	t.head.bytes = max(t.head.bytes, t.pos)
	if err := writeAt(t.file, t.head.encode(), 0); err != nil {
		return fmt.Errorf("write the header of %s: %w", segmentName(t.head.serial), err)
	}
	if err := t.file.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", segmentName(t.head.serial), err)
	}
	t.dirty = false
	return nil
}

func writeAt(f io.WriterAt, b []byte, off int64) error {
	n, err := f.WriteAt(b, off)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	return err
}
