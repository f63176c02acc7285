package node

import (
	"sync"

	"github.com/quorate/quorate/crypto"
)

// seenMax bounds one generation of signatures known to be good: two of them are
// 8 MiB or so, and span the time from a client's sending to the batch that its
// request comes in, and from a vote to the certificates that repeat it.
const seenMax = 1 << 16

// seenCache is a wire.SeenCache: what comes again, in a batch or a certificate,
// costs no arithmetic. It keeps two generations and drops the older when the
// newer is full. Any goroutine may call its methods.
type seenCache struct {
	max int
	mu  struct {
		sync.Mutex
		recent, old map[crypto.Digest]struct{}
	}
}

func newSeenCache(limit int) *seenCache {
	s := &seenCache{max: limit}
	s.mu.recent = make(map[crypto.Digest]struct{})
	return s
}

// Seen tells whether d was added and is not forgotten yet.
func (s *seenCache) Seen(d crypto.Digest) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.mu.recent[d]; ok {
		return true
	}
	_, ok := s.mu.old[d]
	return ok
}

// Add remembers d.
func (s *seenCache) Add(d crypto.Digest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.mu.recent) >= s.max {
		s.mu.old, s.mu.recent = s.mu.recent, make(map[crypto.Digest]struct{}, s.max/2)
	}
	s.mu.recent[d] = struct{}{}
}
