package node

// Stage archive is sequential: it writes what proves lies later, behind the path
// of the votes and off the flush. What it cannot keep up with is dropped and
// counted, and an error ends the archive, not the replica: no promise rests on it.

import (
	"context"
	"sync"

	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// archivedMax bounds the messages that wait for the archive: those of some
// hundred flushes, a few hundred bytes each.
const archivedMax = 1 << 14

// Archive keeps what a replica saw, for audits. One goroutine calls it.
type Archive interface {
	// Add appends messages of the past, of which the oldest may be dropped.
	Add(messages ...wire.Message) error
	// Keep appends messages that are never dropped.
	Keep(messages ...wire.Message) error
}

// archiver is the queue of what is to be archived.
type archiver struct {
	to   Archive
	wake chan struct{}
	mu   struct {
		sync.Mutex
		past, kept []wire.Message
		lost       int
	}
}

// newArchiver returns the queue to an archive; nil if there is none.
func newArchiver(to Archive) *archiver {
	if to == nil {
		return nil
	}
	return &archiver{to: to, wake: make(chan struct{}, 1)}
}

// put queues what records hold.
func (a *archiver) put(records []core.Record) {
	if a == nil || len(records) == 0 {
		return
	}
	a.mu.Lock()
	for _, r := range records {
		past, kept := core.Archived(r)
		a.mu.past = a.queue(a.mu.past, past...)
		a.mu.kept = a.queue(a.mu.kept, kept...)
	}
	some := len(a.mu.past)+len(a.mu.kept) > 0
	a.mu.Unlock()
	if some {
		token(a.wake)
	}
}

func (a *archiver) queue(list []wire.Message, messages ...wire.Message) []wire.Message {
	if len(list)+len(messages) > archivedMax {
		a.mu.lost += len(messages)
		return list
	}
	return append(list, messages...)
}

// putKept queues what a journal holds that the archive may have lost.
func (a *archiver) putKept(records []core.Record) {
	for _, r := range records {
		if _, kept := core.Archived(r); a != nil && len(kept) > 0 {
			a.put([]core.Record{r})
		}
	}
}

func (n *Node) archive(ctx context.Context) error {
	if n.archiver == nil {
		return nil
	}
	for n.archiveAll() {
		select {
		case <-ctx.Done():
			n.archiveAll()
			return nil
		case <-n.archiver.wake:
		}
	}
	return nil
}

// archiveAll writes what waits, and returns false once the archive has failed.
func (n *Node) archiveAll() bool {
	a := n.archiver
	a.mu.Lock()
	past, kept, lost := a.mu.past, a.mu.kept, a.mu.lost
	a.mu.past, a.mu.kept, a.mu.lost = nil, nil, 0
	a.mu.Unlock()
	if lost > 0 {
		n.log.Warnf("the archive is too slow, and has a gap lost=%d", lost)
	}
	err := a.to.Keep(kept...)
	if err == nil {
		err = a.to.Add(past...)
	}
	if err != nil {
		n.log.Errorf("the archive for audits failed, and ends; the replica goes on: check the disk, then restart err=%q", err)
		return false
	}
	return true
}
