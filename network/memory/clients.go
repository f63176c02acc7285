package memory

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/quorate/quorate/network/internal/outbox"
	"github.com/quorate/quorate/pbft/wire"
)

var errBroken = errors.New("network/memory: the connection broke")

// rubbishPause is how long a replica is left alone that sent too much rubbish.
const rubbishPause = 50 * time.Millisecond

// Clients is a client's end: a connection to every replica. Its methods may be
// called by many goroutines at once.
type Clients struct {
	network *Network
	queues  []*outbox.Queue // by replica
	running sync.Mutex      // held by Run
}

func newClients(w *Network) *Clients {
	c := &Clients{network: w}
	for range w.replicas {
		c.queues = append(c.queues, outbox.New(queueLimits(wire.ClassClients)))
	}
	return c
}

// Run connects to every replica until ctx is done, and then ends all that it
// started. It calls in with every frame, from one goroutine for each replica,
// and link when a connection came up or went down. An error of in is what is wrong with
// the replica: its connection ends with it, and is made anew after a pause. Either may
// be nil.
func (c *Clients) Run(
	ctx context.Context, in func(from wire.ReplicaID, frame []byte) error,
	link func(peer wire.ReplicaID, up bool, err error),
) error {
	if !c.running.TryLock() {
		return errRunning
	}
	defer c.running.Unlock()
	if in == nil {
		in = func(wire.ReplicaID, []byte) error { return nil }
	}
	if link == nil {
		link = func(wire.ReplicaID, bool, error) {}
	}
	var group sync.WaitGroup
	for i := range c.network.replicas {
		id := wire.ReplicaID(i) //nolint:gosec // an index of a short list
		group.Go(func() { c.connect(ctx, id, in, link) })
	}
	group.Wait()
	return nil
}

// connect keeps a session with a replica.
func (c *Clients) connect(
	ctx context.Context, id wire.ReplicaID, in func(wire.ReplicaID, []byte) error, link func(wire.ReplicaID, bool, error),
) {
	for ctx.Err() == nil {
		state := c.network.client(id)
		if state.up {
			if s := c.network.replicas[id].accept(c.queues[id]); s != nil {
				link(id, true, nil)
				err := c.use(ctx, use{id, state.generation, s, in})
				link(id, false, err)
				if !errors.Is(err, errBroken) {
					pause(ctx)
				}
				continue
			}
		}
		select {
		case <-ctx.Done():
		case <-state.changed:
		}
	}
}

func pause(ctx context.Context) {
	timer := time.NewTimer(rubbishPause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// use is one session with a replica, and the generation of the link that it
// belongs to.
type use struct {
	id         wire.ReplicaID
	generation uint64
	session    *session
	in         func(from wire.ReplicaID, frame []byte) error
}

// use takes the answers of a session until it is over, and says why it is.
func (c *Clients) use(ctx context.Context, u use) error {
	defer u.session.end()
	l := c.network.newLine(ctx.Done(), func(frame []byte) error { return u.in(u.id, frame) })
	defer l.close()
	for state := c.network.client(u.id); state.up && state.generation == u.generation; state = c.network.client(u.id) {
		if frame, ok := u.session.answers.Pop(); ok {
			if err := l.put(frame); err != nil {
				return rubbish(err)
			}
			continue
		}
		select {
		case <-ctx.Done():
			return errBroken
		case <-u.session.over:
			return errBroken
		case err := <-l.failed:
			return rubbish(err)
		case <-u.session.answers.Ready():
		case <-state.changed:
		}
	}
	return errBroken
}

func rubbish(err error) error { return fmt.Errorf("network/memory: too much rubbish: %w", err) }

// Send queues frame for a replica and returns whether it did: there is such a
// replica, and room. It never waits.
func (c *Clients) Send(to wire.ReplicaID, frame []byte) bool {
	return int(to) < len(c.queues) && c.network.fits(frame) && c.queues[to].Push(frame)
}
