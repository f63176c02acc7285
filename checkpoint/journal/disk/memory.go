package disk

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// OpKind names an operation that a Memory can make fail.
type OpKind string

// The operations.
const (
	OpCreate  OpKind = "create"
	OpWrite   OpKind = "write"
	OpSync    OpKind = "sync"
	OpRename  OpKind = "rename"
	OpRemove  OpKind = "remove"
	OpSyncDir OpKind = "sync-dir"
)

// Op is an operation about to be done.
type Op struct {
	Kind   OpKind
	Name   string
	Offset int64 // of a write
	Bytes  int   // of a write
	// Data is what a write writes. It may not be changed, nor kept.
	Data []byte
}

// Fault makes an operation fail with Err. Of a write, the first Written bytes
// are written all the same; a Fault with Written below Op.Bytes and no Err is a
// short write.
//
// Silent makes the operation seem to succeed, as on a disk that lies: a write
// puts Data at the offset At instead, and a sync does nothing.
type Fault struct {
	Err     error
	Written int
	Silent  bool
	Data    []byte
	At      int64
}

// Memory is a file system in memory. The zero value is not ready: use
// NewMemory. What was not synced may be lost in Crash, in any combination.
type Memory struct {
	mu   sync.Mutex
	life int // files opened in an earlier life are dead
	dirs map[string]bool
	live map[string]*inode // what the process sees
	kept map[string]*inode // what is durable
	// pending are the changes of names since the last SyncDir.
	pending []nameOp
	locks   map[string]bool
	before  func(Op) *Fault
}

type nameOp struct {
	kind     OpKind
	from, to string
	inode    *inode
}

// NewMemory returns an empty file system.
func NewMemory() *Memory {
	return &Memory{
		dirs: map[string]bool{}, live: map[string]*inode{}, kept: map[string]*inode{}, locks: map[string]bool{},
	}
}

// Before has f called before each operation; a Fault makes the operation fail.
// f may not call the file system.
func (m *Memory) Before(f func(Op) *Fault) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.before = f
}

// Crash is a power cut: choose(n) returns a number in [0, n) for each thing
// whose fate is open. Open files are dead, and locks are given back.
func (m *Memory) Crash(choose func(n int) int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, op := range m.pending {
		if choose(2) == 1 {
			m.keep(op)
		}
	}
	m.pending = nil
	for _, name := range slices.Sorted(maps.Keys(m.kept)) {
		m.kept[name].crash(choose)
	}
	m.live = maps.Clone(m.kept)
	m.end()
}

// Kill is the death of the process alone: nothing is lost, open files are dead
// and locks are given back.
func (m *Memory) Kill() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.end()
}

func (m *Memory) end() {
	m.life++
	clear(m.locks)
}

// Clone returns a copy of all files, as a backup is that was taken of what the
// process sees.
func (m *Memory) Clone() *Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := NewMemory()
	c.dirs = maps.Clone(m.dirs)
	for name, node := range m.live {
		data := bytes.Clone(node.live)
		c.live[name] = &inode{live: data, kept: bytes.Clone(data), open: map[int]sector{}, sizes: []int{len(data)}}
	}
	c.kept = maps.Clone(c.live)
	return c
}

// Truncate cuts the file name to size bytes, durably, for tests.
func (m *Memory) Truncate(name string, size int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	node, ok := m.live[name]
	if !ok {
		return missing("truncate", name)
	}
	node.live = node.live[:min(size, len(node.live))]
	node.kept = node.kept[:min(size, len(node.kept))]
	node.sizes = []int{len(node.live)}
	return nil
}

// MakeDir implements FS.
func (m *Memory) MakeDir(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dirs[filepath.Clean(dir)] = true
	return nil
}

// List implements FS.
func (m *Memory) List(dir string, _ ...string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.dirs[filepath.Clean(dir)] {
		return nil, missing("list", dir)
	}
	var names []string
	for _, name := range slices.Sorted(maps.Keys(m.live)) {
		if filepath.Dir(name) == filepath.Clean(dir) {
			names = append(names, filepath.Base(name))
		}
	}
	return names, nil
}

// Create implements FS.
func (m *Memory) Create(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	name = filepath.Clean(name)
	if _, ok := m.live[name]; ok {
		return nil, &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	}
	if !m.dirs[filepath.Dir(name)] {
		return nil, missing("create", name)
	}
	if err := m.fault(Op{Kind: OpCreate, Name: name}); err != nil {
		return nil, err
	}
	node := &inode{open: map[int]sector{}, sizes: []int{0}}
	m.live[name] = node
	m.pending = append(m.pending, nameOp{OpCreate, "", name, node})
	return &memoryFile{m, node, name, m.life}, nil
}

// Open implements FS.
func (m *Memory) Open(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	name = filepath.Clean(name)
	node, ok := m.live[name]
	if !ok {
		return nil, missing("open", name)
	}
	return &memoryFile{m, node, name, m.life}, nil
}

// Rename implements FS.
func (m *Memory) Rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	from, to = filepath.Clean(from), filepath.Clean(to)
	node, ok := m.live[from]
	if !ok {
		return missing("rename", from)
	}
	if err := m.fault(Op{Kind: OpRename, Name: from}); err != nil {
		return err
	}
	delete(m.live, from)
	m.live[to] = node
	m.pending = append(m.pending, nameOp{OpRename, from, to, node})
	return nil
}

// Remove implements FS.
func (m *Memory) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	name = filepath.Clean(name)
	node, ok := m.live[name]
	if !ok {
		return missing("remove", name)
	}
	if err := m.fault(Op{Kind: OpRemove, Name: name}); err != nil {
		return err
	}
	delete(m.live, name)
	m.pending = append(m.pending, nameOp{OpRemove, name, "", node})
	return nil
}

// SyncDir implements FS.
func (m *Memory) SyncDir(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.fault(Op{Kind: OpSyncDir, Name: dir}); err != nil {
		return err
	}
	m.pending = slices.DeleteFunc(m.pending, func(op nameOp) bool {
		inside := strings.HasPrefix(op.from+op.to, filepath.Clean(dir)+string(filepath.Separator))
		if inside {
			m.keep(op)
		}
		return inside
	})
	return nil
}

// keep makes op durable.
func (m *Memory) keep(op nameOp) {
	if op.from != "" && m.kept[op.from] == op.inode {
		delete(m.kept, op.from)
	}
	if op.to != "" {
		m.kept[op.to] = op.inode
	}
}

// Lock implements FS.
func (m *Memory) Lock(name string) (io.Closer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	name = filepath.Clean(name)
	if !m.dirs[filepath.Dir(name)] {
		return nil, missing("lock", name)
	}
	if m.locks[name] {
		return nil, ErrLocked
	}
	m.locks[name] = true
	return &memoryLock{m, name, m.life}, nil
}

type memoryLock struct {
	m    *Memory
	name string
	life int
}

// Close gives the lock back.
func (l *memoryLock) Close() error {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	if l.life == l.m.life {
		delete(l.m.locks, l.name)
	}
	return nil
}

func (m *Memory) fault(op Op) error {
	if m.before == nil {
		return nil
	}
	if f := m.before(op); f != nil {
		return f.Err
	}
	return nil
}

func missing(op, name string) error {
	return &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
}

var errDead = errors.New("the process that opened the file is dead")

func dead(name string) error { return fmt.Errorf("%s: %w", name, errDead) }
