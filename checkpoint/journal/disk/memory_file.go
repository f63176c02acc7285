package disk

import (
	"bytes"
	"io"
	"maps"
	"slices"
)

// inode is one file of a Memory. Between two syncs it remembers every version
// of every sector written, for a crash may leave any of them.
type inode struct {
	live  []byte         // what readers see
	kept  []byte         // what is durable
	open  map[int]sector // whose fate is open, by number
	sizes []int          // the lengths since the last sync
}

type sector struct {
	newest []byte
	older  [][]byte // ascending in time
	// given says that a sync failed after the last write: the system takes the
	// sector for clean, and later syncs do not write it.
	given bool
}

func (n *inode) write(p []byte, off int64) {
	at := int(off)
	if grow := at + len(p) - len(n.live); grow > 0 {
		n.live = append(n.live, make([]byte, grow)...)
		n.sizes = append(n.sizes, len(n.live))
	}
	copy(n.live[at:], p)
	first := at / SectorBytes
	written := bytes.Clone(n.live[first*SectorBytes : min((at+len(p)+SectorBytes-1)/SectorBytes*SectorBytes, len(n.live))])
	for i := first; i*SectorBytes < at+len(p); i++ {
		s, again := n.open[i]
		if again {
			s.older = append(s.older, s.newest)
		}
		s.newest, s.given = part(written, i-first), false
		n.open[i] = s
	}
}

// sync writes all but what a failed sync has given up.
func (n *inode) sync() {
	n.resize(len(n.live))
	n.sizes = []int{len(n.live)}
	for i, s := range n.open { // in any order: the sectors are distinct
		if !s.given {
			copy(part(n.kept, i), s.newest)
			delete(n.open, i)
		}
	}
}

func (n *inode) failSync() {
	for i, s := range n.open { // in any order: each alone
		s.given = true
		n.open[i] = s
	}
}

// crash leaves of each open sector the durable version, or any newer one.
func (n *inode) crash(choose func(int) int) {
	n.resize(max(len(n.kept), n.sizes[choose(len(n.sizes))]))
	for _, i := range slices.Sorted(maps.Keys(n.open)) {
		versions := append(n.open[i].older, n.open[i].newest)
		if v := choose(len(versions) + 1); v > 0 && i*SectorBytes < len(n.kept) {
			copy(part(n.kept, i), versions[v-1])
		}
	}
	clear(n.open)
	n.live = bytes.Clone(n.kept)
	n.sizes = []int{len(n.live)}
}

func (n *inode) resize(size int) {
	if grow := size - len(n.kept); grow > 0 {
		n.kept = append(n.kept, make([]byte, grow)...)
	}
}

func part(data []byte, i int) []byte {
	return data[i*SectorBytes : min((i+1)*SectorBytes, len(data))]
}

type memoryFile struct {
	m    *Memory
	node *inode
	name string
	life int
}

func (f *memoryFile) alive() error {
	if f.life != f.m.life {
		return dead(f.name)
	}
	return nil
}

// ReadAt implements io.ReaderAt.
func (f *memoryFile) ReadAt(p []byte, off int64) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.alive(); err != nil {
		return 0, err
	}
	if off >= int64(len(f.node.live)) {
		return 0, io.EOF
	}
	n := copy(p, f.node.live[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt implements io.WriterAt.
func (f *memoryFile) WriteAt(p []byte, off int64) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.alive(); err != nil {
		return 0, err
	}
	var fault *Fault
	if f.m.before != nil {
		fault = f.m.before(Op{Kind: OpWrite, Name: f.name, Offset: off, Bytes: len(p), Data: p})
	}
	if fault != nil && fault.Silent {
		f.node.write(fault.Data, fault.At)
		return len(p), nil
	}
	if fault != nil {
		f.node.write(p[:fault.Written], off)
		return fault.Written, fault.Err
	}
	f.node.write(p, off)
	return len(p), nil
}

// Bytes implements File.
func (f *memoryFile) Bytes() (int64, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	return int64(len(f.node.live)), f.alive()
}

// Sync implements File.
func (f *memoryFile) Sync() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.alive(); err != nil {
		return err
	}
	var fault *Fault
	if f.m.before != nil {
		fault = f.m.before(Op{Kind: OpSync, Name: f.name})
	}
	switch {
	case fault == nil:
		f.node.sync()
	case fault.Err != nil:
		f.node.failSync()
		return fault.Err
	case !fault.Silent:
		f.node.sync()
	}
	return nil
}

// SyncData implements File.
func (f *memoryFile) SyncData() error { return f.Sync() }

// Close implements io.Closer. It syncs nothing.
func (f *memoryFile) Close() error { return nil }
