package forensics

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"path/filepath"
	"strings"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

const (
	segmentMagic   = "quorarch"
	segmentVersion = 1
	segmentSuffix  = ".arc"
	// proofsName is the segment of evidence and of certificates that contradict
	// each other: it is never dropped.
	proofsName = "proofs" + segmentSuffix

	segmentHeaderBytes = len(segmentMagic) + 4 + crypto.DigestSize + 8 + 4 + 4
	recordFixedBytes   = 4 + 4 // length and checksum
	// recordBytesMax bounds a frame: no legal one is longer.
	recordBytesMax = 32 << 20
)

// Identity says whose archive it is.
type Identity struct {
	Domain  crypto.Domain
	Replica wire.ReplicaID
}

// header returns what begins every segment.
func (id Identity) header() []byte {
	b := append([]byte(nil), segmentMagic...)
	b = binary.BigEndian.AppendUint32(b, segmentVersion)
	b = append(b, id.Domain.Cluster[:]...)
	b = binary.BigEndian.AppendUint64(b, id.Domain.Epoch)
	b = binary.BigEndian.AppendUint32(b, uint32(id.Replica))
	return binary.BigEndian.AppendUint32(b, checksum(b))
}

// errHeader says that a header is damaged: the file does not tell whose it is.
var errHeader = fmt.Errorf("%w: it does not begin as a segment of an archive does, or its header is damaged", ErrFile)

// parseHeader reads the header of a segment, which is at least as long as that.
func parseHeader(b []byte) (Identity, error) {
	var id Identity
	b = b[:segmentHeaderBytes]
	at, end := len(segmentMagic), len(b)-4
	if string(b[:at]) != segmentMagic || checksum(b[:end]) != binary.BigEndian.Uint32(b[end:]) {
		return id, errHeader
	}
	if v := binary.BigEndian.Uint32(b[at:]); v != segmentVersion {
		return id, fmt.Errorf("%w: it has format version %d, this program reads version %d", ErrFile, v, segmentVersion)
	}
	at += 4
	id.Domain.Cluster = crypto.Digest(b[at : at+crypto.DigestSize])
	at += crypto.DigestSize
	id.Domain.Epoch = binary.BigEndian.Uint64(b[at:])
	id.Replica = wire.ReplicaID(binary.BigEndian.Uint32(b[at+8:]))
	return id, nil
}

// begun tells whether a file has a header, damaged or not: a crash may leave a part of one,
// or zeros.
func begun(data []byte) bool {
	return len(data) >= segmentHeaderBytes && len(bytes.TrimLeft(data, "\x00")) > 0
}

// appendRecord encodes one frame.
func appendRecord(b, frame []byte) []byte {
	at := len(b)
	b = binary.BigEndian.AppendUint32(b, uint32(len(frame))) //nolint:gosec // bounded by recordBytesMax
	b = binary.BigEndian.AppendUint32(b, 0)
	b = append(b, frame...)
	binary.BigEndian.PutUint32(b[at+4:], recordChecksum(b[at:]))
	return b
}

// recordChecksum covers the record but for the checksum's own place.
func recordChecksum(record []byte) uint32 {
	return crc32.Update(checksum(record[:4]), castagnoli(), record[recordFixedBytes:])
}

// nextRecord returns the first frame of b and how many bytes it takes; 0 if
// there is none that is whole.
func nextRecord(b []byte) (frame []byte, size int) {
	if len(b) < recordFixedBytes {
		return nil, 0
	}
	n := binary.BigEndian.Uint32(b)
	if n == 0 || n > recordBytesMax || uint64(n) > uint64(len(b)-recordFixedBytes) {
		return nil, 0
	}
	size = recordFixedBytes + int(n)
	if recordChecksum(b[:size]) != binary.BigEndian.Uint32(b[4:]) {
		return nil, 0
	}
	return b[recordFixedBytes:size:size], size
}

// searchBytesMax bounds what is read in search of a record behind damage.
const searchBytesMax = 1 << 30

// contents is what a segment holds behind its header.
type contents struct {
	frames  [][]byte // of its whole records
	end     int      // where the last one ends
	damaged bool     // there are other bytes than whole records and a torn end
}

// contentsOf reads a segment, and goes on behind damage.
func contentsOf(data []byte) contents {
	c := contents{end: segmentHeaderBytes}
	for {
		frame, size := nextRecord(data[c.end:])
		if size == 0 {
			at := c.end + search(data[c.end:])
			if at == c.end {
				c.damaged = c.damaged || !torn(data[c.end:])
				return c
			}
			c.end, c.damaged = at, true
			continue
		}
		c.frames, c.end = append(c.frames, frame), c.end+size
	}
}

// search returns where in b the next whole record begins, and 0 if there is none.
func search(b []byte) int {
	budget := searchBytesMax
	for at := 1; at+recordFixedBytes < len(b) && budget > 0; at++ {
		n := binary.BigEndian.Uint32(b[at:])
		if n == 0 || n > recordBytesMax || uint64(n) > uint64(len(b)-at-recordFixedBytes) {
			continue
		}
		budget -= int(n)
		if _, size := nextRecord(b[at:]); size > 0 {
			return at
		}
	}
	return 0
}

// torn tells whether b, behind the last whole record of a file, is what a crash leaves of
// the next one: a part of it, or zeros.
func torn(b []byte) bool {
	if len(b) < recordFixedBytes || len(bytes.TrimLeft(b, "\x00")) == 0 {
		return true
	}
	n := binary.BigEndian.Uint32(b)
	return n > 0 && n <= recordBytesMax && uint64(n) > uint64(len(b)-recordFixedBytes)
}

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli()) }

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

func segmentName(serial uint64) string { return fmt.Sprintf("%020d%s", serial, segmentSuffix) }

// segmentSerial reads the name of a segment.
func segmentSerial(name string) (uint64, bool) {
	var serial uint64
	_, err := fmt.Sscanf(strings.TrimSuffix(name, segmentSuffix), "%d", &serial)
	return serial, err == nil && segmentName(serial) == filepath.Base(name)
}
