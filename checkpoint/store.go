package checkpoint

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	logging "github.com/ipfs/go-log/v2"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// Options tunes a Store on disk. The zero value works.
type Options struct {
	// CacheBytes bounds the decoded pages kept in memory; 32 MiB if 0.
	CacheBytes int
	// VerifyAll makes Open read and verify the whole newest snapshot, however
	// large it is. Without it, that is done up to 64 MiB, and above the pages
	// are verified as they are read.
	VerifyAll bool
	// GoOn, if set, is asked before every page that Open verifies, which takes minutes for
	// a large state: Open ends with its error, and the next one verifies again.
	GoOn func() error
	// CloseTimeout bounds Close; 10 s if 0. All that was published is durable
	// long before, so nothing is lost when it passes.
	CloseTimeout time.Duration
	// Free returns how many bytes are free for dir; the file system's answer if
	// nil. Tests fill the disk with it.
	Free func(dir string) (uint64, error)
	// memTableBytes is how much Badger gathers in memory; drawn if 0. Tests set it.
	memTableBytes int64
	// files is openFiles; tests have others.
	files func() (have, most uint64, ok bool)
	// syncDir makes durable which files a directory has; fsync if nil. Tests watch it.
	syncDir func(dir string) error
}

// Opened tells what Open found and did. It is for the operator, and for the
// driver: after Quarantined or Fallback the state is older than what this
// replica may have promised.
type Opened struct {
	// Quarantined is where the old directory was moved because it could not be
	// opened; empty if it could. The store is then empty.
	Quarantined string
	// Fallback says that the newest published snapshot was damaged or missing,
	// and an older one took its place.
	Fallback bool
	// Published is the number of the newest snapshot that was ever published
	// here, as far as is known.
	Published wire.Seq
	// Why says what was wrong, if anything was.
	Why string
}

const (
	cacheBytesDefault   = 32 << 20
	closeTimeoutDefault = 10 * time.Second
	// frozenMax is how many checkpoints may be unwritten: one in work, two
	// waiting. The next one waits, so memory is bounded when the disk is slow.
	frozenMax = 3
)

// Store is the replicated state. One goroutine calls Get, Put, Delete, Scan,
// Checkpoint and the transfer's methods; any may call Collect, Keeps, Last, Piece
// and Prove. A store on disk has one goroutine of its own, which ends in Close.
type Store struct {
	rd     *reader
	opts   Options
	disk   *disk // nil in memory
	opened Opened
	log    *logging.ZapEventLogger
	ended  chan struct{} // closed when the own goroutine is over; nil without one
	dead   atomic.Bool   // mu.err is set
	broke  atomic.Bool   // and it is not ErrClosed
	// misread says that a page that a peer asked for was damaged, which is noted once.
	misread atomic.Bool
	pages   atomic.Uint64 // written since the start

	// Of the one goroutine that works on the content.
	active   *overlay
	transfer *transfer
	// leavesMax and buriedMin are leavesMax and buriedMin, or less in tests.
	leavesMax, buriedMin int

	// writer is held by whoever writes or deletes pages, and guards what follows.
	// It is taken before mu.
	writer  sync.Mutex
	nextGen uint64
	staged  *staging // the record of a transfer on disk, nil if there is none
	// heirs are the generations kept that this process wrote on the one kept before (I6). Those
	// that were found at the start are not among them, nor those that came by a transfer.
	heirs     map[uint64]bool
	lastPages int    // of the last checkpoint
	filesNext uint64 // after how many pages files are counted next
	collected collected

	changed *sync.Cond // of mu, told of every change
	mu      struct {
		sync.Mutex
		frozen  []*frozen // not durable yet, the oldest first
		kept    []snapshot
		pins    map[uint64]int // generation → reads that are under way in it
		collect bool
		// unfinished says that the last collection gave way to a checkpoint, and gaveWay that
		// this one is not written yet.
		unfinished, gaveWay bool
		wanted              wire.Seq // snapshots below are not wanted any more, except the newest one
		err                 error
		closing             bool
		inFlight            bool // a transfer was begun by this process, and is neither finished nor given up
		lastState           snapshot
	}
}

// frozen is a checkpoint that is not durable yet.
type frozen struct {
	overlay *overlay
	seq     wire.Seq
	done    func(root crypto.Digest, err error)
}

// view is what a read sees: overlays, the newest first, above a snapshot.
type view struct {
	base     snapshot
	overlays []*overlay
}

// OpenMemory returns an empty store in memory. It has no goroutine: Checkpoint
// calls done, and Collect deletes, before they return. For simulations.
func OpenMemory() *Store {
	s := newStore(newMemory(), Options{})
	s.adopt(nil, 1)
	return s
}

// Reopen returns the store as it would be after a crash and a restart: with the
// newest snapshot, and what a transfer had staged. It is for stores of
// OpenMemory; the old one is dead afterwards.
func (s *Store) Reopen() (*Store, error) {
	if s.disk != nil {
		return nil, errors.New("checkpoint: reopen a store on disk with Close and Open")
	}
	s.fail(ErrClosed)
	next := newStore(s.rd.pages, s.opts)
	if err := next.recover(false); err != nil {
		return nil, err
	}
	return next, nil
}

func newStore(p pages, opts Options) *Store {
	if opts.CacheBytes == 0 {
		opts.CacheBytes = cacheBytesDefault
	}
	if opts.CloseTimeout == 0 {
		opts.CloseTimeout = closeTimeoutDefault
	}
	s := &Store{
		rd: &reader{p, newCache(opts.CacheBytes)}, opts: opts,
		log: logging.Logger("checkpoint"), active: newOverlay(), leavesMax: leavesMax, buriedMin: buriedMin,
		heirs: map[uint64]bool{},
	}
	s.changed = sync.NewCond(&s.mu)
	s.mu.pins = map[uint64]int{}
	return s
}

// adopt makes kept, ascending, the snapshots of the store.
func (s *Store) adopt(kept []snapshot, nextGen uint64) {
	s.nextGen = nextGen
	if len(kept) == 0 {
		kept = []snapshot{{root: ref{digest: EmptyRoot()}}}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.kept = kept
	s.mu.lastState = kept[len(kept)-1]
}

// Opened tells what Open found.
func (s *Store) Opened() Opened { return s.opened }

// PagesWritten returns how many pages were written since the store was opened:
// what its checkpoints and transfers cost.
func (s *Store) PagesWritten() uint64 { return s.pages.Load() }

// Get returns the value of key. An error is a fault of the storage, and ends
// the store.
func (s *Store) Get(key []byte) (value []byte, ok bool, err error) {
	if s.dead.Load() {
		return nil, false, s.failure()
	}
	if o, ok := s.active.get(key); ok {
		return o.value, !o.deleted, nil
	}
	v := s.acquire()
	defer s.release(v)
	for _, overlay := range v.overlays {
		if o, ok := overlay.get(key); ok {
			return o.value, !o.deleted, nil
		}
	}
	value, ok, err = s.rd.get(v.base.root, key)
	return value, ok, s.readFault(err)
}

// Put sets key to value. It keeps both. A key or value over the limit is
// refused with ErrTooLarge, and changes nothing.
func (s *Store) Put(key, value []byte) error {
	if len(key) > KeyBytesMax {
		return fmt.Errorf("checkpoint: key of %d bytes, at most %d are allowed: %w", len(key), KeyBytesMax, ErrTooLarge)
	}
	if len(value) > ValueBytesMax {
		return fmt.Errorf("checkpoint: value of %d bytes, at most %d are allowed; split it over several keys: %w",
			len(value), ValueBytesMax, ErrTooLarge)
	}
	if s.dead.Load() {
		return s.failure()
	}
	s.active.set(op{key: key, value: value})
	return nil
}

// Delete removes key, if it is there.
func (s *Store) Delete(key []byte) error {
	if s.dead.Load() {
		return s.failure()
	}
	s.active.set(op{key: key, deleted: true})
	return nil
}

// Scan calls yield for every key in [from, to) in ascending order of bytes,
// until it returns false; a nil to means no end. yield may read, not write.
func (s *Store) Scan(from, to []byte, yield func(key, value []byte) bool) error {
	if s.dead.Load() {
		return s.failure()
	}
	v := s.acquire()
	defer s.release(v)
	overlays := append([]*overlay{s.active}, v.overlays...)
	return s.readFault(scan(overlays, s.rd.cursor(v.base.root, from), to, yield))
}

// Last returns the newest durable snapshot: 0 and EmptyRoot for a new store.
func (s *Store) Last() (wire.Seq, crypto.Digest) {
	base := s.newest()
	return base.seq, base.root.digest
}

func (s *Store) newest() snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.lastState
}

// Piece returns the encoding of any page of the snapshots kept. It never
// returns bytes that do not have the digest.
func (s *Store) Piece(digest crypto.Digest) (data []byte, ok bool) {
	if s.dead.Load() {
		return nil, false
	}
	err := s.rd.pages.scan(indexPrefix(digest), 1+crypto.DigestSize, func(key, _ []byte) bool {
		data, ok = s.pieceAt(digest, key)
		return !ok
	})
	return data, ok && err == nil
}

// pieceAt reads the page that an index key names.
func (s *Store) pieceAt(digest crypto.Digest, index []byte) ([]byte, bool) {
	birth := spaceKey(pageSpace, 0)
	copy(birth[1:], index[1+crypto.DigestSize:])
	stored, ok, err := s.rd.pages.get(append(birth, digest[:]...))
	if err == nil && ok {
		if data, err := encodedPart(stored); err == nil && pageDigest(data) == digest {
			return data, true
		}
	} else if _, still, err := s.rd.pages.get(index); err != nil || !still {
		return nil, false // collected meanwhile, its index first
	}
	if !s.misread.Swap(true) {
		s.noteDamage()
		s.log.Errorw("a page is damaged, and is not served; the next start verifies every page",
			"page", digest.Short())
	}
	return nil, false
}

// acquire returns what a read sees now, and keeps it from being collected until
// release.
func (s *Store) acquire() view {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := view{base: s.mu.lastState}
	for i := len(s.mu.frozen) - 1; i >= 0; i-- {
		v.overlays = append(v.overlays, s.mu.frozen[i].overlay)
	}
	s.mu.pins[v.base.gen]++
	return v
}

func (s *Store) release(v view) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.pins[v.base.gen]--; s.mu.pins[v.base.gen] == 0 {
		delete(s.mu.pins, v.base.gen)
	}
}

// fail makes the store dead (I5). The first error stays. After damage the next Open
// verifies every page, so that it does not come back with the damaged snapshot.
func (s *Store) fail(err error) {
	if errors.Is(err, ErrDamaged) {
		s.noteDamage()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.err != nil {
		return
	}
	s.mu.err = err
	s.dead.Store(true)
	s.changed.Broadcast()
	if !errors.Is(err, ErrClosed) {
		s.broke.Store(true)
		s.log.Errorw("the state store stops; restart the replica", "error", err)
	}
}

func (s *Store) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.err
}

// readFault notes that a read failed: the store is dead.
func (s *Store) readFault(err error) error {
	if err == nil {
		return nil
	}
	s.noteDamage()
	s.fail(err)
	return err
}

// noteDamage makes the next Open verify everything.
func (s *Store) noteDamage() {
	if s.disk != nil {
		s.disk.suspect()
	}
}

// flushStaged keeps what a transfer has got, for after the restart. On a full disk
// that is fetched again.
func (s *Store) flushStaged() error {
	if s.transfer == nil || s.broke.Load() || !s.disk.roomFor(closeBytesMin) {
		return nil
	}
	s.transfer.out.before = nil
	return s.transfer.out.flush()
}

// Close ends the store within Options.CloseTimeout. A checkpoint that is not
// durable yet is given up; its done is called with ErrClosed.
func (s *Store) Close() error {
	s.mu.Lock()
	again := s.mu.closing
	s.mu.closing = true
	s.changed.Broadcast()
	s.mu.Unlock()
	if again {
		return nil
	}
	if s.disk == nil {
		s.fail(ErrClosed)
		return s.rd.pages.close()
	}
	closed := make(chan error, 1)
	go func() {
		<-s.ended
		s.fail(ErrClosed)
		s.writer.Lock()
		defer s.writer.Unlock()
		closed <- errors.Join(s.flushStaged(), s.disk.close())
	}()
	limit := time.NewTimer(s.opts.CloseTimeout)
	defer limit.Stop()
	select {
	case err := <-closed:
		return err
	case <-limit.C:
		s.fail(ErrClosed)
		return fmt.Errorf("checkpoint: closing took over %v and goes on; nothing is lost", s.opts.CloseTimeout)
	}
}
