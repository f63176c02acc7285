package checkpoint

import (
	"bytes"
	"encoding/binary"
	"errors"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// snapshot is a durable snapshot, as its manifest has it.
type snapshot struct {
	gen  uint64 // generations number the snapshots and transfers from 1
	seq  wire.Seq
	root ref
}

// staging is the record of a transfer that was begun.
type staging struct {
	gen  uint64 // its pages have this birth
	seq  wire.Seq
	root crypto.Digest
}

// What begins the records of a format that is read no more: its pages had other keys.
const (
	formerManifestTag = "quorate/state/manifest/1"
	formerStagingTag  = "quorate/state/staging/1"
)

const (
	manifestTag   = "quorate/state/manifest/2"
	stagingTag    = "quorate/state/staging/2"
	checksumBytes = 16

	manifestBodyBytes = 5*8 + crypto.DigestSize
	// manifestBytes is what a manifest takes on disk.
	manifestBytes = 1 + birthBytes + len(manifestTag) + manifestBodyBytes + checksumBytes + recordBytes
)

var errRecord = errors.New("record is damaged")

// sealRecord puts the tag before body and a checksum over both after it.
func sealRecord(tag string, body []byte) []byte {
	b := append([]byte(tag), body...)
	sum := crypto.Sum(b)
	return append(b, sum[:checksumBytes]...)
}

// openRecord is the reverse of sealRecord, for a body of size bytes.
func openRecord(tag string, data []byte, size int) ([]byte, error) {
	if len(data) != len(tag)+size+checksumBytes {
		return nil, errRecord
	}
	n := len(data) - checksumBytes
	sum := crypto.Sum(data[:n])
	if !bytes.Equal(sum[:checksumBytes], data[n:]) || string(data[:len(tag)]) != tag {
		return nil, errRecord
	}
	return data[len(tag):n], nil
}

func (s snapshot) encode() []byte {
	b := make([]byte, 0, 128)
	b = binary.BigEndian.AppendUint64(b, s.gen)
	b = binary.BigEndian.AppendUint64(b, uint64(s.seq))
	b = append(b, s.root.digest[:]...)
	b = binary.BigEndian.AppendUint64(b, s.root.birth)
	b = binary.BigEndian.AppendUint64(b, s.root.bytes)
	b = binary.BigEndian.AppendUint64(b, s.root.count)
	return sealRecord(manifestTag, b)
}

func decodeManifest(data []byte) (snapshot, error) {
	b, err := openRecord(manifestTag, data, manifestBodyBytes)
	if err != nil {
		return snapshot{}, err
	}
	number := func(at int) uint64 { return binary.BigEndian.Uint64(b[at:]) }
	return snapshot{number(0), wire.Seq(number(8)), ref{
		crypto.Digest(b[16:48]), number(48), number(56), number(64),
	}}, nil
}

func (s staging) encode() []byte {
	b := binary.BigEndian.AppendUint64(nil, s.gen)
	b = binary.BigEndian.AppendUint64(b, uint64(s.seq))
	return sealRecord(stagingTag, append(b, s.root[:]...))
}

func decodeStaging(data []byte) (staging, error) {
	b, err := openRecord(stagingTag, data, 16+crypto.DigestSize)
	if err != nil {
		return staging{}, err
	}
	return staging{
		binary.BigEndian.Uint64(b), wire.Seq(binary.BigEndian.Uint64(b[8:])), crypto.Digest(b[16:]),
	}, nil
}

const (
	deadBytes = birthBytes + crypto.DigestSize
	// deadChunk is how many pages one record of a dead list names.
	deadChunk = 4096
)

// deadList writes down which pages a generation did away with.
type deadList struct {
	gen   uint64
	chunk uint32
	refs  []byte
	to    *batch
}

func (d *deadList) add(r ref) error {
	d.refs = binary.BigEndian.AppendUint64(d.refs, r.birth)
	d.refs = append(d.refs, r.digest[:]...)
	if len(d.refs) < deadChunk*deadBytes {
		return nil
	}
	return d.flush()
}

func (d *deadList) flush() error {
	if len(d.refs) == 0 {
		return nil
	}
	err := d.to.add(deadKey(d.gen, d.chunk), d.refs)
	d.chunk, d.refs = d.chunk+1, nil
	return err
}

// deadRefs returns what a record of a dead list names.
func deadRefs(data []byte) []ref {
	refs := make([]ref, 0, len(data)/deadBytes)
	for ; len(data) >= deadBytes; data = data[deadBytes:] {
		refs = append(refs, ref{birth: binary.BigEndian.Uint64(data), digest: crypto.Digest(data[birthBytes:deadBytes])})
	}
	return refs
}
