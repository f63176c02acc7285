package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"path/filepath"
	"strings"

	"github.com/quorate/quorate/checkpoint/journal/disk"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

const (
	formatVersion = 1
	sector        = disk.SectorBytes

	headerMagic = "quorjrnl"
	// flushMagic and sealMagic begin a mark. As lengths of a record they would
	// be impossible: see recordBytesMax.
	flushMagic uint32 = 0xf1a50001
	sealMagic  uint32 = 0xf1a50002

	markBytes   = 64
	recordFixed = 24 // length, checksum, link
	recordAlign = 8  // so that a length never straddles two sectors

	// recordBytesMax bounds the payload of a record; no message comes near.
	recordBytesMax = 64 << 20
	// segmentBytesMax bounds a file, and so what Open allocates: a base segment
	// holds a whole window of batches.
	segmentBytesMax = 1 << 30

	segmentSuffix = ".seg"
	spareName     = "spare.tmp"
	lockName      = "LOCK"
)

// link is a value of the hash chain: the first 16 bytes of a SHA-256.
type link [16]byte

// next returns the link after payload: hash(previous link ‖ payload).
func (l link) next(payload []byte) link {
	h := sha256.New()
	h.Write(l[:])
	h.Write(payload)
	return link(h.Sum(nil)[:len(l)])
}

// Identity says whose journal it is.
type Identity struct {
	Cluster crypto.Digest // hash of the genesis
	Epoch   uint64
	Replica wire.ReplicaID
}

// String names the identity for people.
func (id Identity) String() string {
	return fmt.Sprintf("replica %d of cluster %s epoch %d", id.Replica, id.Cluster.Short(), id.Epoch)
}

// header is the first sector of a segment.
type header struct {
	id      Identity
	base    bool     // the journal begins here: older segments count no more
	serial  uint64   // of the segment, as in its name
	first   uint64   // index of the first record
	chain   link     // before the first record
	salt    [16]byte // random; keys the marks of this segment
	bytes   int64    // length of the file when it got its name
	durable int64    // everything before it was durable when the file got its name
}

// seed returns where the chain of a base begins: it depends on whose journal
// it is, and on the random salt.
func (h header) seed() link {
	var fixed [20]byte
	binary.BigEndian.PutUint64(fixed[:], h.id.Epoch)
	binary.BigEndian.PutUint32(fixed[8:], uint32(h.id.Replica))
	binary.BigEndian.PutUint64(fixed[12:], h.serial)
	sum := crypto.Sum([]byte("quorate/journal/base"), h.id.Cluster[:], fixed[:], h.salt[:])
	return link(sum[:len(link{})])
}

// encode returns the sector: everything at a fixed place, big endian, the
// checksum in the last four bytes.
func (h header) encode() []byte {
	b := make([]byte, 0, sector)
	b = append(b, headerMagic...)
	b = binary.BigEndian.AppendUint32(b, formatVersion)
	b = binary.BigEndian.AppendUint32(b, flag(h.base))
	b = append(b, h.id.Cluster[:]...)
	b = binary.BigEndian.AppendUint64(b, h.id.Epoch)
	b = binary.BigEndian.AppendUint32(b, uint32(h.id.Replica))
	b = binary.BigEndian.AppendUint64(b, h.serial)
	b = binary.BigEndian.AppendUint64(b, h.first)
	b = append(b, h.chain[:]...)
	b = append(b, h.salt[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(h.bytes))   //nolint:gosec // a length is not negative
	b = binary.BigEndian.AppendUint64(b, uint64(h.durable)) //nolint:gosec // a length is not negative
	b = append(b, make([]byte, sector-4-len(b))...)
	return binary.BigEndian.AppendUint32(b, checksum(b))
}

func flag(on bool) uint32 {
	if on {
		return 1
	}
	return 0
}

// parseHeader reads a header. All versions of the format keep the magic, the
// version and the checksum where they are.
func parseHeader(b []byte) (header, error) {
	if len(b) != sector || string(b[:8]) != headerMagic {
		return header{}, fmt.Errorf("%w: it does not begin as a segment does", ErrCorrupt)
	}
	if checksum(b[:sector-4]) != binary.BigEndian.Uint32(b[sector-4:]) {
		return header{}, fmt.Errorf("%w: the checksum of the segment's header is wrong", ErrCorrupt)
	}
	if v := binary.BigEndian.Uint32(b[8:]); v != formatVersion {
		return header{}, fmt.Errorf("%w: format version is %d, this program reads version %d: "+
			"run the version that wrote it, or a later one", ErrVersion, v, formatVersion)
	}
	h := header{
		base: b[15] == 1,
		id: Identity{
			Cluster: crypto.Digest(b[16:48]),
			Epoch:   binary.BigEndian.Uint64(b[48:]),
			Replica: wire.ReplicaID(binary.BigEndian.Uint32(b[56:])),
		},
		serial: binary.BigEndian.Uint64(b[60:]),
		first:  binary.BigEndian.Uint64(b[68:]),
		chain:  link(b[76:92]),
		salt:   [16]byte(b[92:108]),
	}
	size, durable := binary.BigEndian.Uint64(b[108:]), binary.BigEndian.Uint64(b[116:])
	if size > segmentBytesMax || durable > size || durable < sector {
		return header{}, fmt.Errorf("%w: lengths %d and %d of the header make no sense", ErrCorrupt, size, durable)
	}
	h.bytes, h.durable = int64(size), int64(durable)
	if !bytes.Equal(h.encode(), b) {
		return header{}, fmt.Errorf("%w: the header is not canonical", ErrCorrupt)
	}
	return h, nil
}

// mark begins a flush, or seals a segment after which another one follows. It
// proves that everything before it was durable when it was written (J1).
type mark struct {
	magic  uint32
	number uint64 // of the flush in the segment, from 0
	index  uint64 // of the next record
	offset int64  // of the mark in the file
	chain  link   // before the next record
}

// appendTo encodes m. Its last 16 bytes are a hash keyed with the segment's
// salt, so that nobody who does not know the salt, such as a client, can make
// bytes of an operation look like a mark.
func (m mark) appendTo(b []byte, salt [16]byte) []byte {
	at := len(b)
	b = binary.BigEndian.AppendUint32(b, m.magic)
	b = binary.BigEndian.AppendUint32(b, 0)
	b = binary.BigEndian.AppendUint64(b, m.number)
	b = binary.BigEndian.AppendUint64(b, m.index)
	b = binary.BigEndian.AppendUint64(b, uint64(m.offset)) //nolint:gosec // an offset is not negative
	b = append(b, m.chain[:]...)
	sum := crypto.Sum(salt[:], b[at:])
	return append(b, sum[:16]...)
}

// parseMark reads a mark, which must be intact.
func parseMark(b []byte, salt [16]byte) (mark, bool) {
	if len(b) < markBytes {
		return mark{}, false
	}
	m := mark{magic: binary.BigEndian.Uint32(b)}
	if m.magic != flushMagic && m.magic != sealMagic {
		return mark{}, false
	}
	m.number = binary.BigEndian.Uint64(b[8:])
	m.index = binary.BigEndian.Uint64(b[16:])
	offset := binary.BigEndian.Uint64(b[24:])
	if offset > math.MaxInt64 {
		return mark{}, false
	}
	m.offset = int64(offset)
	m.chain = link(b[32:48])
	return m, bytes.Equal(m.appendTo(nil, salt), b[:markBytes])
}

// appendRecord encodes one record and pads it to a multiple of recordAlign.
func appendRecord(b, payload []byte, chain link) []byte {
	at := len(b)
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload))) //nolint:gosec // bounded by recordBytesMax
	b = binary.BigEndian.AppendUint32(b, 0)
	b = append(b, chain[:]...)
	b = append(b, payload...)
	binary.BigEndian.PutUint32(b[at+4:], recordChecksum(b[at:]))
	return pad(b, recordAlign)
}

// recordChecksum covers the record but for the checksum's own place.
func recordChecksum(record []byte) uint32 {
	return crc32.Update(checksum(record[:4]), castagnoli(), record[8:])
}

func recordSpace(payload int) int64 { return alignUp(int64(recordFixed+payload), recordAlign) }

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli()) }

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

func pad(b []byte, to int) []byte {
	if over := len(b) % to; over > 0 {
		b = append(b, make([]byte, to-over)...)
	}
	return b
}

func alignUp(n, to int64) int64 { return (n + to - 1) / to * to }

func segmentName(serial uint64) string { return fmt.Sprintf("%020d%s", serial, segmentSuffix) }

// segmentSerial reads the name of a segment.
func segmentSerial(name string) (uint64, error) {
	var serial uint64
	_, err := fmt.Sscanf(strings.TrimSuffix(name, segmentSuffix), "%d", &serial)
	if err != nil || segmentName(serial) != filepath.Base(name) {
		return 0, fmt.Errorf("journal: %s is no name of a segment: remove or rename the file", name)
	}
	return serial, nil
}
