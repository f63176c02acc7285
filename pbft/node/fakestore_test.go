package node

import (
	"bytes"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/quorate/quorate/app"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

var errDisk = errors.New("the disk is on fire")

// fakeJournal is a Journal in memory that tells what is durable.
type fakeJournal struct {
	recordBytes int64 // what a record counts for; 0 means 1000
	portions    int   // that a Rebase leaves to Work
	mu          struct {
		sync.Mutex
		records  []core.Record
		durable  int // of them
		flushes  int
		rebases  int
		left     int   // of the portions
		works    []int // how many records were durable at each call of Work
		size     int64
		failing  bool
		blockers chan struct{} // Flush waits for it, if set
	}
}

func (j *fakeJournal) Append(records []core.Record) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.mu.records = append(j.mu.records, records...)
	j.mu.size += j.unit() * int64(len(records))
	return nil
}

func (j *fakeJournal) Flush() error {
	j.mu.Lock()
	blockers := j.mu.blockers
	j.mu.Unlock()
	if blockers != nil {
		<-blockers
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.mu.failing {
		return errDisk
	}
	j.mu.flushes++
	j.mu.durable = len(j.mu.records)
	return nil
}

func (j *fakeJournal) Rebase(base []core.Record) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.mu.records = slices.Clone(base)
	j.mu.durable = len(base)
	j.mu.rebases++
	j.mu.left = j.portions
	j.mu.size = j.unit() * int64(len(base))
	return nil
}

func (j *fakeJournal) Work() (bool, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.mu.left = max(0, j.mu.left-1)
	j.mu.works = append(j.mu.works, j.mu.durable)
	return j.mu.left > 0, nil
}

func (j *fakeJournal) Size() int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.mu.size
}

func (*fakeJournal) Close() error { return nil }

// durable returns what a crash now would leave.
func (j *fakeJournal) durable() []core.Record {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.mu.records[:j.mu.durable])
}

func (j *fakeJournal) fail() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.mu.failing = true
}

// fakeState is a State in memory whose snapshots are one page of digests and
// pages of some entries each.
type fakeState struct {
	app.Memory
	background sync.WaitGroup
	slow       func() // AddPiece waits for it, if set
	mu         struct {
		sync.Mutex
		seq       wire.Seq
		root      crypto.Digest
		pieces    map[crypto.Digest][]byte
		kept      map[wire.Seq]crypto.Digest
		collected wire.Seq
		target    wire.Seq
		wantRoot  crypto.Digest
		fetching  bool
		useless   int
	}
}

const fakePageEntries = 4

func pieceDigest(data []byte) crypto.Digest { return crypto.Sum([]byte("fake piece"), data) }

func newFakeState() *fakeState {
	s := &fakeState{}
	s.mu.pieces, s.mu.kept = map[crypto.Digest][]byte{}, map[wire.Seq]crypto.Digest{}
	s.mu.root = s.snapshot()
	return s
}

// snapshot makes the pieces of the content and returns the root.
func (s *fakeState) snapshot() crypto.Digest {
	var page, top []byte
	entries := 0
	flush := func() {
		d := pieceDigest(page)
		s.mu.pieces[d] = page
		top = append(top, d[:]...)
		page, entries = nil, 0
	}
	_ = s.Scan(nil, nil, func(key, value []byte) bool {
		page = binary.BigEndian.AppendUint32(page, uint32(len(key)))
		page = binary.BigEndian.AppendUint32(append(page, key...), uint32(len(value)))
		page = append(page, value...)
		if entries++; entries == fakePageEntries {
			flush()
		}
		return true
	})
	if entries > 0 {
		flush()
	}
	top = append([]byte("top:"), top...)
	d := pieceDigest(top)
	s.mu.pieces[d] = top
	return d
}

func (s *fakeState) Checkpoint(seq wire.Seq, done func(crypto.Digest, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	root := s.snapshot()
	s.background.Go(func() {
		s.mu.Lock()
		s.mu.kept[seq] = root
		if seq > s.mu.seq { // a later one may be done already
			s.mu.seq, s.mu.root = seq, root
		}
		s.mu.Unlock()
		done(root, nil)
	})
}

func (s *fakeState) Last() (wire.Seq, crypto.Digest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.seq, s.mu.root
}

func (s *fakeState) Collect(seq wire.Seq) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.collected = max(s.mu.collected, seq)
	maps.DeleteFunc(s.mu.kept, func(kept wire.Seq, _ crypto.Digest) bool { return kept < seq })
}

func (s *fakeState) Keeps(seq wire.Seq, root crypto.Digest) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept, ok := s.mu.kept[seq]
	return ok && kept == root
}

// keep has a snapshot be kept, until it is collected.
func (s *fakeState) keep(seq wire.Seq, root crypto.Digest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.kept[seq] = root
}

func (s *fakeState) collected() wire.Seq {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.collected
}

func (s *fakeState) Piece(d crypto.Digest) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	data, ok := s.mu.pieces[d]
	return data, ok
}

func (s *fakeState) BeginTransfer(seq wire.Seq, root crypto.Digest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.target, s.mu.wantRoot, s.mu.fetching = seq, root, true
	return nil
}

func (s *fakeState) Wanted(limit int) []crypto.Digest {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.wanted()
	return w[:min(limit, len(w))]
}

func (s *fakeState) wanted() []crypto.Digest {
	top, ok := s.mu.pieces[s.mu.wantRoot]
	if !ok {
		return []crypto.Digest{s.mu.wantRoot}
	}
	var wanted []crypto.Digest
	for p := range slices.Chunk(bytes.TrimPrefix(top, []byte("top:")), crypto.DigestSize) {
		if _, ok := s.mu.pieces[crypto.Digest(p)]; !ok {
			wanted = append(wanted, crypto.Digest(p))
		}
	}
	return wanted
}

func (s *fakeState) AddPiece(data []byte) (bool, error) {
	if s.slow != nil {
		s.slow()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d := pieceDigest(data)
	if !slices.Contains(s.wanted(), d) {
		s.mu.useless++
		return false, nil
	}
	s.mu.pieces[d] = data
	return true, nil
}

func (s *fakeState) PieceDigest(data []byte) crypto.Digest { return pieceDigest(data) }

func (s *fakeState) GiveUpTransfer() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.fetching = false
}

func (s *fakeState) isFetching() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.fetching
}

func (s *fakeState) FinishTransfer() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.wanted()) > 0 || !s.mu.fetching {
		return errors.New("not complete")
	}
	s.Memory = app.Memory{}
	for p := range slices.Chunk(bytes.TrimPrefix(s.mu.pieces[s.mu.wantRoot], []byte("top:")), crypto.DigestSize) {
		for page := s.mu.pieces[crypto.Digest(p)]; len(page) > 0; {
			k := binary.BigEndian.Uint32(page)
			key := page[4 : 4+k]
			page = page[4+k:]
			v := binary.BigEndian.Uint32(page)
			_ = s.Put(key, page[4:4+v])
			page = page[4+v:]
		}
	}
	s.mu.seq, s.mu.root, s.mu.fetching = s.mu.target, s.mu.wantRoot, false
	s.mu.kept[s.mu.seq] = s.mu.root
	return nil
}

func (s *fakeState) Close() error {
	s.background.Wait()
	return nil
}

func (j *fakeJournal) unit() int64 {
	if j.recordBytes > 0 {
		return j.recordBytes
	}
	return 1000
}

func (j *fakeJournal) flushes() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.mu.flushes
}
