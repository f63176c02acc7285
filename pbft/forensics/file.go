package forensics

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// Bounds of an evidence file.
const (
	// FileBytesMax bounds an evidence file.
	FileBytesMax = 256 << 20
	// FileProofsMax bounds the proofs in it.
	FileProofsMax = 4096
)

const (
	fileMagic      = "quorevid"
	fileVersion    = 1
	fileFixedBytes = len(fileMagic) + 4 + crypto.DigestSize + 8 + 4 // and the digest at the end
	frameCount     = 4                                              // bytes of a frame's length
)

// EncodeFile returns the one file with these proofs: docs/STORAGE.md has its
// layout. A proof that is there twice is written once.
func EncodeFile(d crypto.Domain, proofs []*wire.Evidence) ([]byte, error) {
	frames := make([][]byte, 0, len(proofs))
	for _, e := range proofs {
		frames = append(frames, wire.Encode(e))
	}
	slices.SortFunc(frames, bytes.Compare)
	frames = slices.CompactFunc(frames, bytes.Equal)
	if len(frames) > FileProofsMax {
		return nil, fmt.Errorf("%d proofs, a file has at most %d", len(frames), FileProofsMax)
	}
	b := append([]byte(nil), fileMagic...)
	b = binary.BigEndian.AppendUint32(b, fileVersion)
	b = append(b, d.Cluster[:]...)
	b = binary.BigEndian.AppendUint64(b, d.Epoch)
	b = binary.BigEndian.AppendUint32(b, uint32(len(frames))) //nolint:gosec // bounded above
	for _, f := range frames {
		b = binary.BigEndian.AppendUint32(b, uint32(len(f))) //nolint:gosec // a frame is short
		b = append(b, f...)
	}
	if len(b)+crypto.DigestSize > FileBytesMax {
		return nil, fmt.Errorf("%d bytes of proofs, a file has at most %d", len(b), FileBytesMax)
	}
	sum := crypto.Sum(b)
	return append(b, sum[:]...), nil
}

// DecodeFile returns the frames of the proofs in an evidence file, unverified,
// and whose cluster's it is. It accepts what EncodeFile gives and nothing else.
// Errors wrap ErrFile. The frames alias data.
func DecodeFile(data []byte) (crypto.Domain, [][]byte, error) {
	var d crypto.Domain
	if len(data) > FileBytesMax {
		return d, nil, fmt.Errorf("%w: %d bytes, an evidence file has at most %d", ErrFile, len(data), FileBytesMax)
	}
	if len(data) < fileFixedBytes+crypto.DigestSize || string(data[:len(fileMagic)]) != fileMagic {
		return d, nil, fmt.Errorf("%w: it does not begin as an evidence file does", ErrFile)
	}
	if v := binary.BigEndian.Uint32(data[len(fileMagic):]); v != fileVersion {
		return d, nil, fmt.Errorf("%w: it has format version %d, this program reads version %d", ErrFile, v, fileVersion)
	}
	end := len(data) - crypto.DigestSize
	if sum := crypto.Sum(data[:end]); !bytes.Equal(sum[:], data[end:]) {
		return d, nil, fmt.Errorf("%w: it was changed or cut: its checksum is wrong", ErrFile)
	}
	at := len(fileMagic) + 4
	d.Cluster = crypto.Digest(data[at : at+crypto.DigestSize])
	d.Epoch = binary.BigEndian.Uint64(data[at+crypto.DigestSize:])
	n := binary.BigEndian.Uint32(data[at+crypto.DigestSize+8:])
	if n > FileProofsMax {
		return d, nil, fmt.Errorf("%w: %d proofs, a file has at most %d", ErrFile, n, FileProofsMax)
	}
	frames, err := splitFrames(data[fileFixedBytes:end], int(n))
	return d, frames, err
}

// splitFrames takes n frames apart, which ascend.
func splitFrames(data []byte, n int) ([][]byte, error) {
	var frames [][]byte
	for i := range n {
		if len(data) < frameCount || uint64(binary.BigEndian.Uint32(data)) > uint64(len(data)-frameCount) {
			return nil, fmt.Errorf("%w: it ends within proof %d of %d", ErrFile, i+1, n)
		}
		size := int(binary.BigEndian.Uint32(data))
		frame := data[frameCount : frameCount+size : frameCount+size]
		if i > 0 && bytes.Compare(frame, frames[i-1]) <= 0 {
			return nil, fmt.Errorf("%w: its proofs are not in ascending order", ErrFile)
		}
		frames, data = append(frames, frame), data[frameCount+size:]
	}
	if len(data) > 0 {
		return nil, fmt.Errorf("%w: %d bytes follow its last proof", ErrFile, len(data))
	}
	return frames, nil
}
