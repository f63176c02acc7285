package forensics

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/quorate/quorate/pbft/wire"
)

// segmentBytesMax bounds what is read of one segment.
const segmentBytesMax = 4 << 30

// Log is what was read of one archive, verified.
type Log struct {
	// Replica is whose archive it is.
	Replica wire.ReplicaID
	// Messages are intact and every signature in them is good; none is there
	// twice in a row.
	Messages []wire.Message
	// Damaged counts the segments with other bytes than whole records, but for an end that
	// a crash, or who writes now, left within one; Refused the records with a bad signature,
	// or that are no messages.
	Damaged, Refused int
}

// ReadArchive reads the archive in dir, which may be in use, and verifies all
// signatures. Damage costs the records that it is in. Errors wrap ErrFile or
// ErrOtherCluster, or tell why nothing can be read.
func ReadArchive(dir string, c *Cluster) (*Log, error) {
	serials, err := segmentsOf(dir)
	if err != nil {
		return nil, err
	}
	names := []string{proofsName}
	for _, serial := range serials {
		names = append(names, segmentName(serial))
	}
	log := &Log{}
	found := false
	for i, name := range names {
		path := filepath.Join(dir, name)
		data, err := readSegment(path)
		switch {
		case errors.Is(err, fs.ErrNotExist): // dropped meanwhile, or there are no proofs
			continue
		case err != nil:
			return nil, err
		case len(data) < segmentHeaderBytes && (i == 0 || i == len(names)-1): // just being made
			continue
		}
		if err := log.read(data, c, i == 0 || i == len(names)-1); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		found = true
	}
	if !found {
		return nil, fmt.Errorf("%w: %s holds no archive", ErrFile, dir)
	}
	return log, nil
}

// readSegment reads a file, if it is a regular one of a sane length.
func readSegment(path string) ([]byte, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s is no regular file", ErrFile, path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(file, segmentBytesMax))
	return data, errors.Join(err, file.Close())
}

// read takes in one segment. Only one that grows may end within a record.
func (l *Log) read(data []byte, cluster *Cluster, grows bool) error {
	id, err := parseHeader(data)
	if err != nil {
		return err
	}
	if err := cluster.same(id.Domain); err != nil {
		return err
	}
	l.Replica = id.Replica
	c := contentsOf(data)
	frames := c.frames
	if c.damaged || c.end < len(data) && !grows {
		l.Damaged++
	}
	const together = 256 // signatures are cheapest in batches
	for len(frames) > 0 {
		n := min(together, len(frames))
		for _, o := range cluster.opener().Open(frames[:n]) {
			if o.Err != nil {
				l.Refused++
				continue
			}
			l.Messages = append(l.Messages, o.Sealed.Message())
		}
		frames = frames[n:]
	}
	return nil
}
