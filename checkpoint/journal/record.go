package journal

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// The first byte of a payload. The numbers are part of the format.
const (
	tagView       byte = 1
	tagAccepted   byte = 2
	tagPrepared   byte = 3
	tagCommitted  byte = 4
	tagViewChange byte = 5
	tagNewView    byte = 6
	tagCheckpoint byte = 7
	tagStable     byte = 8
	tagRejoin     byte = 9
	tagGenesis    byte = 10 // a StableRecord of number 0, which has no proof
	tagBatch      byte = 11
	tagEvidence   byte = 12
	tagConflict   byte = 13
	tagReserve    byte = 14
	tagVoted      byte = 15
)

var errEmptyRecord = errors.New("journal: a record without its content")

// encodeRecord returns the payload of r: a tag, and a frame or a fixed layout. It uses the
// memory of room, if that is enough.
func encodeRecord(room []byte, r core.Record) ([]byte, error) {
	tagged := func(tag byte) []byte { return append(room[:0], tag) }
	switch r := r.(type) {
	case core.ViewRecord:
		b := binary.BigEndian.AppendUint64(tagged(tagView), uint64(r.View))
		return appendBool(b, r.Active), nil
	case core.ReservationRecord:
		b := binary.BigEndian.AppendUint64(tagged(tagReserve), uint64(r.View))
		return binary.BigEndian.AppendUint64(b, uint64(r.Seq)), nil
	case core.VotedRecord:
		return appendVote(tagged(tagVoted), &r.Vote), nil
	case core.BatchRecord:
		if r.Batch == nil {
			return nil, errEmptyRecord
		}
		b := binary.BigEndian.AppendUint64(tagged(tagBatch), uint64(r.Seq))
		return framed(b, &wire.BatchBody{Batch: r.Batch})
	case core.ConflictRecord:
		own := wire.Encode(&wire.CommitProof{Cert: r.Own})
		b := binary.BigEndian.AppendUint32(tagged(tagConflict), uint32(len(own))) //nolint:gosec // a frame is small
		return framed(append(b, own...), &wire.CommitProof{Cert: r.Other})
	case core.CheckpointRecord:
		b := binary.BigEndian.AppendUint64(tagged(tagCheckpoint), uint64(r.Seq))
		return append(b, r.State[:]...), nil
	case core.RejoinRecord:
		b := appendBool(appendBool(tagged(tagRejoin), r.Open), r.Over)
		b = binary.BigEndian.AppendUint64(b, uint64(r.Until))
		return binary.BigEndian.AppendUint64(b, uint64(r.View)), nil
	case core.StableRecord:
		if r.Cert.Seq == 0 {
			return append(tagged(tagGenesis), r.Cert.State[:]...), nil
		}
	case core.AcceptedRecord, core.PreparedRecord, core.CommittedRecord, core.ViewChangeRecord, core.NewViewRecord,
		core.EvidenceRecord:
	}
	return encodeMessage(tagged, r)
}

// encodeMessage encodes the records that are a message.
func encodeMessage(tagged func(tag byte) []byte, r core.Record) ([]byte, error) {
	switch r := r.(type) { //nolint:gochecksumtype // encodeRecord has the others
	case core.AcceptedRecord:
		if r.PrePrepare != nil && r.PrePrepare.Batch != nil {
			return framed(tagged(tagAccepted), r.PrePrepare)
		}
	case core.PreparedRecord:
		return framed(tagged(tagPrepared), &wire.Prepared{Cert: r.Cert})
	case core.CommittedRecord:
		return framed(tagged(tagCommitted), &wire.CommitProof{Cert: r.Cert})
	case core.ViewChangeRecord:
		if r.ViewChange != nil {
			return framed(tagged(tagViewChange), r.ViewChange)
		}
	case core.NewViewRecord:
		if r.NewView != nil {
			return framed(tagged(tagNewView), r.NewView)
		}
	case core.StableRecord:
		return framed(tagged(tagStable), &wire.StableProof{Cert: r.Cert})
	case core.EvidenceRecord:
		if r.Evidence != nil {
			return framed(tagged(tagEvidence), r.Evidence)
		}
	default:
	}
	return nil, errEmptyRecord
}

// framed returns head and the frame of m.
func framed(head []byte, m wire.Message) ([]byte, error) {
	payload := wire.Append(head, m)
	if len(payload) > recordBytesMax {
		return nil, fmt.Errorf("journal: a %s of %d bytes is too large for a record", m.Kind(), len(payload)-len(head))
	}
	return payload, nil
}

// voteBytes is the length of a vote: view, number, digest, sender and signature.
const voteBytes = 8 + 8 + crypto.DigestSize + 4 + len(crypto.Signature{})

func appendVote(b []byte, v *wire.Vote) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(v.View))
	b = append(binary.BigEndian.AppendUint64(b, uint64(v.Seq)), v.Digest[:]...)
	return append(binary.BigEndian.AppendUint32(b, uint32(v.Sender)), v.Signature[:]...)
}

// parseVote is the inverse of appendVote, of as many bytes as that appends.
func parseVote(b []byte) wire.Vote {
	at := 16 + crypto.DigestSize
	return wire.Vote{
		View: wire.View(binary.BigEndian.Uint64(b)), Seq: wire.Seq(binary.BigEndian.Uint64(b[8:])),
		Digest: crypto.Digest(b[16:at]), Sender: wire.ReplicaID(binary.BigEndian.Uint32(b[at:])),
		Signature: crypto.Signature(b[at+4:]),
	}
}

func appendBool(b []byte, v bool) []byte { return append(b, byte(flag(v))) }

// decodeRecord is the inverse of encodeRecord. It checks no signature: a
// replica journals its own messages before it signs them. The record keeps
// payload.
func decodeRecord(payload []byte, limits *wire.Limits) (core.Record, error) {
	if len(payload) == 0 {
		return nil, errors.New("it is empty")
	}
	tag, body := payload[0], payload[1:]
	switch tag {
	case tagBatch:
		return decodeBatch(body, limits)
	case tagConflict:
		return decodeConflict(body, limits)
	case tagView, tagCheckpoint, tagRejoin, tagGenesis, tagReserve, tagVoted:
		return decodeFixed(tag, body)
	case tagAccepted, tagPrepared, tagCommitted, tagViewChange, tagNewView, tagStable, tagEvidence:
		m, err := wire.Decode(body, limits)
		if err != nil {
			return nil, err
		}
		return fromMessage(tag, m)
	default:
		return nil, fmt.Errorf("its tag is %d, which no record has", tag)
	}
}

func decodeFixed(tag byte, body []byte) (core.Record, error) {
	if want := fixedBytes(tag); len(body) != want {
		return nil, fmt.Errorf("it has %d bytes after tag %d, want %d", len(body), tag, want)
	}
	switch tag {
	case tagView:
		active, err := parseBool(body[8])
		return core.ViewRecord{View: wire.View(binary.BigEndian.Uint64(body)), Active: active}, err
	case tagReserve:
		return core.ReservationRecord{
			View: wire.View(binary.BigEndian.Uint64(body)), Seq: wire.Seq(binary.BigEndian.Uint64(body[8:])),
		}, nil
	case tagVoted:
		return core.VotedRecord{Vote: parseVote(body)}, nil
	case tagCheckpoint:
		return core.CheckpointRecord{
			Seq: wire.Seq(binary.BigEndian.Uint64(body)), State: crypto.Digest(body[8:]),
		}, nil
	case tagGenesis:
		return core.StableRecord{Cert: wire.CheckpointCert{State: crypto.Digest(body)}}, nil
	default:
		open, errOpen := parseBool(body[0])
		over, errOver := parseBool(body[1])
		return core.RejoinRecord{
			Open: open, Over: over,
			Until: wire.Seq(binary.BigEndian.Uint64(body[2:])),
			View:  wire.View(binary.BigEndian.Uint64(body[10:])),
		}, errors.Join(errOpen, errOver)
	}
}

// fixedBytes returns the length of a fixed layout after its tag.
func fixedBytes(tag byte) int {
	switch tag {
	case tagView:
		return 8 + 1
	case tagReserve:
		return 8 + 8
	case tagVoted:
		return voteBytes
	case tagCheckpoint:
		return 8 + crypto.DigestSize
	case tagGenesis:
		return crypto.DigestSize
	default:
		return 1 + 1 + 8 + 8
	}
}

func decodeBatch(body []byte, limits *wire.Limits) (core.Record, error) {
	if len(body) < 8 {
		return nil, fmt.Errorf("it has %d bytes after its tag, too few for a batch", len(body))
	}
	m, err := wire.Decode(body[8:], limits)
	if err != nil {
		return nil, err
	}
	batch, ok := m.(*wire.BatchBody)
	if !ok {
		return nil, fmt.Errorf("it holds a %s under tag %d", m.Kind(), tagBatch)
	}
	return core.BatchRecord{Seq: wire.Seq(binary.BigEndian.Uint64(body)), Batch: batch.Batch}, nil
}

func decodeConflict(body []byte, limits *wire.Limits) (core.Record, error) {
	const lengthBytes = 4
	if len(body) < lengthBytes || uint64(binary.BigEndian.Uint32(body)) > uint64(len(body)-lengthBytes) {
		return nil, fmt.Errorf("it has %d bytes after its tag, too few for two certificates", len(body))
	}
	own, other := body[lengthBytes:], body[lengthBytes:]
	own, other = own[:binary.BigEndian.Uint32(body)], other[binary.BigEndian.Uint32(body):]
	var certs [2]wire.CommitCert
	for i, frame := range [2][]byte{own, other} {
		m, err := wire.Decode(frame, limits)
		if err != nil {
			return nil, err
		}
		proof, ok := m.(*wire.CommitProof)
		if !ok {
			return nil, fmt.Errorf("it holds a %s under tag %d", m.Kind(), tagConflict)
		}
		certs[i] = proof.Cert
	}
	return core.ConflictRecord{Own: certs[0], Other: certs[1]}, nil
}

func parseBool(b byte) (bool, error) {
	if b > 1 {
		return false, fmt.Errorf("a truth value is %d, want 0 or 1", b)
	}
	return b == 1, nil
}

// fromMessage makes the record that tag stands for of its message.
func fromMessage(tag byte, m wire.Message) (core.Record, error) {
	var r core.Record
	var want byte
	switch m := m.(type) { //nolint:gochecksumtype // no other message is part of a record
	case *wire.PrePrepare:
		r, want = core.AcceptedRecord{PrePrepare: m}, tagAccepted
	case *wire.Prepared:
		r, want = core.PreparedRecord{Cert: m.Cert}, tagPrepared
	case *wire.CommitProof:
		r, want = core.CommittedRecord{Cert: m.Cert}, tagCommitted
	case *wire.ViewChange:
		r, want = core.ViewChangeRecord{ViewChange: m}, tagViewChange
	case *wire.NewView:
		r, want = core.NewViewRecord{NewView: m}, tagNewView
	case *wire.Evidence:
		r, want = core.EvidenceRecord{Evidence: m}, tagEvidence
	case *wire.StableProof:
		r, want = core.StableRecord{Cert: m.Cert}, tagStable
	default:
	}
	if want != tag || r == nil {
		return nil, fmt.Errorf("it holds a %s under tag %d", m.Kind(), tag)
	}
	return r, nil
}
