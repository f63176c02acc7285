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
		}
		known, err := log.read(data, c, i == 0 || i == len(names)-1)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		found = found || known
	}
	if !found {
		return nil, fmt.Errorf("%w: %s holds no archive, or nothing in it tells whose it is", ErrFile, dir)
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

// read takes in one segment, and returns whether that tells whose it is. Only one that grows
// may end within a record, or have no header yet. What a damaged header does not tell, the
// signatures in the records do.
func (l *Log) read(data []byte, cluster *Cluster, grows bool) (known bool, err error) {
	if !begun(data) {
		if !grows {
			l.Damaged++
		}
		return false, nil
	}
	id, err := parseHeader(data)
	if err == nil {
		l.Replica = id.Replica
		err = cluster.same(id.Domain)
	}
	known = !errors.Is(err, errHeader)
	if err != nil && known {
		return false, err
	}
	c := contentsOf(data)
	if !known || c.damaged || c.end < len(data) && !grows {
		l.Damaged++
	}
	l.take(c.frames, cluster)
	return known, nil
}

// take takes in frames, as far as they verify.
func (l *Log) take(frames [][]byte, cluster *Cluster) {
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
}
