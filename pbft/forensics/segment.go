package forensics

import (
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

// parseHeader reads the header of a segment.
func parseHeader(b []byte) (Identity, error) {
	var id Identity
	if len(b) < segmentHeaderBytes || string(b[:len(segmentMagic)]) != segmentMagic {
		return id, fmt.Errorf("%w: it does not begin as a segment of an archive does", ErrFile)
	}
	b = b[:segmentHeaderBytes]
	at := len(segmentMagic)
	if v := binary.BigEndian.Uint32(b[at:]); v != segmentVersion {
		return id, fmt.Errorf("%w: it has format version %d, this program reads version %d", ErrFile, v, segmentVersion)
	}
	at += 4
	if end := len(b) - 4; checksum(b[:end]) != binary.BigEndian.Uint32(b[end:]) {
		return id, fmt.Errorf("%w: the checksum of its header is wrong", ErrFile)
	}
	id.Domain.Cluster = crypto.Digest(b[at : at+crypto.DigestSize])
	at += crypto.DigestSize
	id.Domain.Epoch = binary.BigEndian.Uint64(b[at:])
	id.Replica = wire.ReplicaID(binary.BigEndian.Uint32(b[at+8:]))
	return id, nil
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

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli()) }

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

func segmentName(serial uint64) string { return fmt.Sprintf("%020d%s", serial, segmentSuffix) }

// segmentSerial reads the name of a segment.
func segmentSerial(name string) (uint64, bool) {
	var serial uint64
	_, err := fmt.Sscanf(strings.TrimSuffix(name, segmentSuffix), "%d", &serial)
	return serial, err == nil && segmentName(serial) == filepath.Base(name)
}
