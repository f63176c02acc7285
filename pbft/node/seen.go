package node

import (
	"encoding/binary"
	"sync"

	"github.com/quorate/quorate/crypto"
)

const (
	// seenPlaces is how many signatures known to be good are remembered, 4 MiB of
	// them: they span the time from a client's sending to the batch that its request
	// comes in, and from a vote to the certificates that repeat it.
	seenPlaces = 1 << 17
	// seenLocks is how many locks the places share: more than there are verifiers, so
	// that those seldom wait for each other.
	seenLocks = 64
)

// seenCache is a wire.SeenCache: what comes again, in a batch or a certificate,
// costs no arithmetic. Every digest has one place, where it displaces the last that
// had it: nothing is remembered for a certain time, and finding and forgetting cost
// next to nothing. Who would displace what others had verified must find signatures
// whose digests fall there, and gains that it is verified again. Any goroutine may
// call its methods.
type seenCache struct {
	locks  [seenLocks]sync.Mutex // of the places with this number, modulo seenLocks
	places []crypto.Digest
	// marks are one byte of what is at each place: most of what is asked for was never
	// added, and then its place, which is in no cache of a processor, is not looked at.
	marks []byte
}

// markByte is the byte of a digest that is its mark: none that says where its place is.
const markByte = 8

// newSeenCache returns a cache of so many places, a power of two.
func newSeenCache(places int) *seenCache {
	return &seenCache{places: make([]crypto.Digest, places), marks: make([]byte, places)}
}

func (s *seenCache) at(d *crypto.Digest) (place uint64, mu *sync.Mutex) {
	n := binary.LittleEndian.Uint64(d[:markByte])
	return n % uint64(len(s.places)), &s.locks[n%seenLocks]
}

// Seen tells whether d was added and is not forgotten yet.
func (s *seenCache) Seen(d crypto.Digest) bool {
	at, mu := s.at(&d)
	mu.Lock()
	defer mu.Unlock()
	return s.marks[at] == d[markByte] && s.places[at] == d && !d.IsZero()
}

// Add remembers d.
func (s *seenCache) Add(d crypto.Digest) {
	at, mu := s.at(&d)
	mu.Lock()
	defer mu.Unlock()
	s.places[at], s.marks[at] = d, d[markByte]
}
