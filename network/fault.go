package network

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"

	logging "github.com/ipfs/go-log/v2"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// Fault is something that a peer did which no correct peer does, or that went
// wrong with it.
type Fault byte

const (
	// FaultGenesis means that it belongs to a cluster with another genesis.
	FaultGenesis Fault = iota
	// FaultEpoch means that it has another epoch.
	FaultEpoch
	// FaultVersion means that it speaks another version of this protocol.
	FaultVersion
	// FaultImpostor means that it says that it is somebody whose key it does not have.
	FaultImpostor
	// FaultHello means that it opened a stream and did not say Hello in time.
	FaultHello
	// FaultFrameSize means that it announced an empty frame, or one over the limit.
	FaultFrameSize
	// FaultFrameSlow means that it did not complete a frame in time.
	FaultFrameSlow
	// FaultNotReading means that it did not read in time.
	FaultNotReading
	// FaultReplaced means that a newer stream took the place of a live one. One
	// after a broken connection is usual; many tell of two processes with one key.
	FaultReplaced
	// FaultUnexpected means that it sent data on a stream that is ours alone to send on.
	FaultUnexpected
	// FaultStranger means that somebody without a member's key wanted a member's
	// protocol, or had a key that is no ed25519 key.
	FaultStranger
	// FaultCrowd means that a connection was closed because of others of its kind:
	// too many handshakes, clients, or connections of one member.
	FaultCrowd
	// FaultRubbish means that a replica sent a client frames that no correct one sends,
	// so many that the client ended the stream.
	FaultRubbish
	// FaultUnreachable means that there was no connection to a replica for so long that it
	// is not just starting again. It is counted once for each such time.
	FaultUnreachable
)

// String names the fault as the log does.
func (f Fault) String() string {
	names := [...]string{
		"other-genesis", "other-epoch", "other-version", "impostor", "bad-hello", "frame-size", "slow-frame",
		"not-reading", "replaced-stream", "unexpected-data", "stranger", "crowd", "rubbish", "unreachable",
	}
	if int(f) < len(names) {
		return names[f]
	}
	return fmt.Sprintf("fault-%d", byte(f))
}

// FaultCount is how often one member, or all outsiders together, showed one
// fault.
type FaultCount struct {
	Outsider bool // a client, or somebody unknown; Peer is 0
	Peer     wire.ReplicaID
	Fault    Fault
	Count    uint64
	// Detail is the last one's: for FaultGenesis both hashes.
	Detail string
	// Theirs is, for FaultGenesis, the other's genesis.
	Theirs crypto.Digest
}

const (
	outsider = wire.ReplicaID(^uint32(0))
	// faultLogEvery is how often one fault of one peer may be logged.
	faultLogEvery = 10 * time.Second
)

type faultKey struct {
	peer  wire.ReplicaID // outsider for whoever is no member: one entry for all
	fault Fault
}

type faultEntry struct {
	count  uint64
	detail string
	theirs crypto.Digest
	logged time.Time
}

// ledger counts faults. It has one entry for each member and fault, and one for
// all outsiders and fault, so its size is bounded.
type ledger struct {
	log *logging.ZapEventLogger
	mu  struct {
		sync.Mutex
		entries map[faultKey]*faultEntry
	}
}

func newLedger() *ledger {
	l := &ledger{log: logging.Logger("network")}
	l.mu.entries = make(map[faultKey]*faultEntry)
	return l
}

// add counts a fault, and logs it unless the same was logged lately.
func (l *ledger) add(who wire.ReplicaID, f Fault, detail string) {
	l.addGenesis(who, f, detail, crypto.Digest{})
}

func (l *ledger) addGenesis(who wire.ReplicaID, f Fault, detail string, theirs crypto.Digest) {
	count, log := l.count(faultKey{who, f}, detail, theirs)
	if !log {
		return
	}
	name := fmt.Sprint(who)
	if who == outsider {
		name = "outsider"
	}
	l.log.Warnf("%s peer=%s kind=%s count=%d detail=%q", f.word(), name, f, count, detail)
}

// word is how the line begins: what may happen to the honest is not called
// misbehaviour. A cable that is pulled, or a process that is stopped, leaves half a frame,
// or a stream without a hello.
func (f Fault) word() string {
	switch f {
	case FaultGenesis, FaultEpoch, FaultVersion:
		return "MISMATCH"
	case FaultHello, FaultFrameSlow, FaultNotReading, FaultReplaced, FaultCrowd, FaultUnreachable:
		return "TROUBLE"
	default:
		return "MISBEHAVIOUR"
	}
}

func (l *ledger) count(key faultKey, detail string, theirs crypto.Digest) (count uint64, log bool) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.mu.entries[key]
	if e == nil {
		e = &faultEntry{}
		l.mu.entries[key] = e
	}
	e.count++
	e.detail, e.theirs = detail, theirs
	log = e.logged.IsZero() || now.Sub(e.logged) >= faultLogEvery
	if log {
		e.logged = now
	}
	return e.count, log
}

// snapshot returns what was counted, members first, in a fixed order.
func (l *ledger) snapshot() []FaultCount {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]FaultCount, 0, len(l.mu.entries))
	for key, e := range l.mu.entries {
		c := FaultCount{Peer: key.peer, Fault: key.fault, Count: e.count, Detail: e.detail, Theirs: e.theirs}
		if key.peer == outsider {
			c.Outsider, c.Peer = true, 0
		}
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b FaultCount) int {
		return cmp.Or(cmpBool(a.Outsider, b.Outsider), cmp.Compare(a.Peer, b.Peer), cmp.Compare(a.Fault, b.Fault))
	})
	return out
}

func cmpBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	default:
		return 1
	}
}
