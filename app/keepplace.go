package app

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/quorate/quorate/crypto"
)

// The keys of what Keep writes. Numbers are big-endian.
const (
	keptPlaceKey    = "place"
	keptLogPrefix   = "log/"      // + number of the operation + part → a part of it
	keptChunkPrefix = "snapshot/" // + operations before it + number of the chunk → a chunk
)

// keptPlace is what Keep knows of a state beside the operations and snapshots in it.
type keptPlace struct {
	// chain is a digest of all operations, and count how many there were.
	chain crypto.Digest
	count uint64
	// base is how many operations the last snapshot has behind it, 0 for none, and
	// baseBytes its length. logged is how many bytes of operations came after it.
	base, baseBytes, logged uint64
	// pending is the same of the snapshot that is being written, 0 for none, with its
	// length, the bytes logged before it, and how many chunks are there.
	pending, pendingBytes, pendingLogged, written uint64
	// What is superseded goes bit by bit: the chunks below staleChunks of the snapshot
	// stale, and the operations from dropped + 1 to base.
	stale, staleChunks, dropped uint64
}

// keptNumbers are the numbers of a place in the order of its encoding.
func (p *keptPlace) numbers() []*uint64 {
	return []*uint64{
		&p.count, &p.base, &p.baseBytes, &p.logged, &p.pending, &p.pendingBytes, &p.pendingLogged, &p.written,
		&p.stale, &p.staleChunks, &p.dropped,
	}
}

func readPlace(tx *Tx) *keptPlace {
	p := &keptPlace{}
	value, ok := tx.Get(keptPlaceKey)
	if !ok {
		return p
	}
	value = value[copy(p.chain[:], value):]
	for _, n := range p.numbers() {
		*n = binary.BigEndian.Uint64(value)
		value = value[8:]
	}
	return p
}

func (p *keptPlace) write(tx *Tx) {
	value := append([]byte{}, p.chain[:]...)
	for _, n := range p.numbers() {
		value = binary.BigEndian.AppendUint64(value, *n)
	}
	tx.book(entry{key: keptPlaceKey, value: value})
}

func loggedKey(number uint64, part int) string {
	return keptLogPrefix + string(append(binary.BigEndian.AppendUint64(nil, number), byte(part)))
}

func chunkKey(snapshot, chunk uint64) string {
	return keptChunkPrefix + string(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, snapshot), chunk))
}

// log keeps an operation, in parts where it is longer than a value may be. It returns how
// many bytes that takes.
func (p *keptPlace) log(tx *Tx, op []byte) int {
	b := binary.BigEndian.AppendUint64(nil, tx.ctx.Seq)
	b = binary.BigEndian.AppendUint64(b, uint64(tx.ctx.Time)) //nolint:gosec // the same bits
	b = append(b, tx.ctx.Client[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(tx.ctx.Input))) //nolint:gosec // bounded
	b = append(append(b, tx.ctx.Input...), op...)
	p.count++
	p.logged += uint64(len(b))
	p.chain = crypto.Sum(p.chain[:], b)
	for part, from := 0, 0; from < len(b); part++ {
		to := min(from+ValueBytesMax, len(b))
		tx.book(entry{key: loggedKey(p.count, part), value: b[from:to:to]})
		from = to
	}
	return len(b)
}

// readLogged returns a logged operation, as it was executed.
func readLogged(tx *Tx, number uint64) (ctx Context, op []byte) {
	var b []byte
	for part := 0; ; part++ {
		value, ok := tx.Get(loggedKey(number, part))
		if !ok {
			break
		}
		if b = append(b, value...); len(value) < ValueBytesMax {
			break
		}
	}
	ctx.Seq, ctx.Time = binary.BigEndian.Uint64(b), int64(binary.BigEndian.Uint64(b[8:])) //nolint:gosec // the same bits
	b = b[16:]
	b = b[copy(ctx.Client[:], b):]
	n := binary.BigEndian.Uint32(b)
	b = b[4:]
	ctx.Input = append(ctx.Input, b[:n]...)
	return ctx, append(op, b[n:]...) // both nil if they are empty, as they were the first time
}

// snapshot returns the last one.
func (p *keptPlace) snapshot(tx *Tx) []byte {
	b := make([]byte, 0, p.baseBytes)
	for chunk := uint64(0); uint64(len(b)) < p.baseBytes; chunk++ {
		value, ok := tx.Get(chunkKey(p.base, chunk))
		if !ok {
			panic(fmt.Errorf("app: chunk %d of the snapshot of %d operations is missing", chunk, p.base)) //nolint:forbidigo // Run recovers it
		}
		b = append(b, value...)
	}
	return b
}

// advance goes on with what snapshots need, by a little: it deletes some of what is
// superseded, takes a snapshot if it is time, or writes on at the one that was taken. It
// does so by as much as the operation takes in the log, or more: else the log, and what is
// superseded, could become much longer than the state is.
func (p *keptPlace) advance(tx *Tx, app Snapshotter, one *instance, logged int) {
	p.drop(tx, logged)
	switch {
	case p.pending > 0:
		for n := 0; n <= logged/keepChunkBytes && p.pending > 0; n++ {
			p.chunk(tx, one)
		}
	case p.staleChunks == 0 && p.logged >= max(keepLogBytes, p.baseBytes):
		one.pending = bytes.Clone(app.Snapshot())
		p.pending, p.pendingBytes, p.pendingLogged = p.count, uint64(len(one.pending)), p.logged
		p.written = 0
	}
}

// chunk writes the next chunk of the snapshot that is being written. With the last one it
// takes the place of the snapshot before.
func (p *keptPlace) chunk(tx *Tx, one *instance) {
	from := p.written * keepChunkBytes
	to := min(from+keepChunkBytes, p.pendingBytes)
	if from < to {
		tx.book(entry{key: chunkKey(p.pending, p.written), value: bytes.Clone(one.pending[from:to])})
		p.written++
	}
	if to < p.pendingBytes {
		return
	}
	p.stale, p.staleChunks = p.base, (p.baseBytes+keepChunkBytes-1)/keepChunkBytes
	p.base, p.baseBytes, p.logged = p.pending, p.pendingBytes, p.logged-p.pendingLogged
	p.pending, p.pendingBytes, p.pendingLogged, p.written = 0, 0, 0, 0
	one.pending = nil
}

// drop deletes some of what is superseded, faster than the log grows.
func (p *keptPlace) drop(tx *Tx, logged int) {
	for n, freed := 0, 0; n < keepDropped || freed < 2*logged; n++ {
		switch {
		case p.staleChunks > 0:
			p.staleChunks--
			tx.book(entry{key: chunkKey(p.stale, p.staleChunks), deleted: true})
			freed += keepChunkBytes
		case p.dropped < p.base:
			p.dropped++
			freed += dropLogged(tx, p.dropped)
		default:
			return
		}
	}
}

// dropLogged deletes a logged operation, and returns how many bytes it took.
func dropLogged(tx *Tx, number uint64) (freed int) {
	for part := 0; ; part++ {
		value, ok := tx.read(loggedKey(number, part))
		if !ok {
			return freed
		}
		freed += len(value)
		tx.book(entry{key: loggedKey(number, part), deleted: true})
	}
}
