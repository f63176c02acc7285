package core

import (
	"errors"
	"fmt"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// Config is what a replica must know to run. All replicas of a cluster agree on
// everything but ID and Seed.
type Config struct {
	ID     wire.ReplicaID
	Quorum Quorum

	// Interval is K: a checkpoint is taken after every Interval numbers.
	Interval wire.Seq
	// Window is L: numbers in (h, h+L] are open. At least 2·Interval.
	Window wire.Seq
	// InFlight is W: how many batches the primary has open at once.
	InFlight int
	// BatchRequestsMax and BatchBytesMax bound a batch, but for one of a single request.
	BatchRequestsMax int
	BatchBytesMax    int

	// RequestTicks is T: how long a known client may wait to be served before the
	// primary is suspected.
	RequestTicks int
	// PaceTicks is how long a client may wait for its turn, most of the time, in
	// a fast network, before the primary counts as slow. A slower network allows
	// more by itself; at RequestTicks or more nothing but the request timeout does.
	PaceTicks int
	// BackoffMax bounds the doublings of the timeouts of successive views.
	BackoffMax int
	// StatusTicks is the time between two Status messages; an active primary's
	// are its heartbeat.
	StatusTicks int
	// HeartbeatTicks is how long an idle backup waits for the primary's Status.
	HeartbeatTicks int
	// CatchUpTicks is how long a replica that sees others ahead waits before it
	// fetches, and between fetches.
	CatchUpTicks int

	// DriftMax is how far a proposed time may be from the own clock.
	DriftMax wire.Time
	// Inputs says that the application proposes an input for every batch (Offered), and
	// checks those of others (Received.Unfit). Without it no batch has one.
	Inputs bool
	// ClientsMax bounds the client table. A full one forgets the client with the lowest
	// session for one with a higher session, and refuses others.
	ClientsMax int
	// QueueRequestsMax and QueueBytesMax bound what one client may have waiting: twice
	// its window of operations, for it fills the window anew as soon as f+1 replicas
	// have answered, and this one may be behind them.
	QueueRequestsMax int
	QueueBytesMax    int
	// ArchiveBytesMax bounds the committed batches kept for those behind.
	ArchiveBytesMax int
	// StateZero is the digest of the state of number 0.
	StateZero crypto.Digest
	// Seed feeds the jitter of the view-change timer.
	Seed uint64
}

// DefaultConfig returns a Config with working values for ticks of 10 ms.
func DefaultConfig(id wire.ReplicaID, q Quorum) Config {
	return Config{
		ID: id, Quorum: q,
		Interval: 128, Window: 256, InFlight: 4,
		BatchRequestsMax: 512, BatchBytesMax: 1 << 20,
		RequestTicks: 100, PaceTicks: 10, BackoffMax: 6, StatusTicks: 10, HeartbeatTicks: 80, CatchUpTicks: 10,
		DriftMax: 60e9, ClientsMax: 10000,
		QueueRequestsMax: 2 * ClientWindowMax, QueueBytesMax: 4 << 20, ArchiveBytesMax: 32 << 20,
	}
}

// Validate reports everything that is wrong with c, at once.
func (c Config) Validate() error {
	var errs []error
	need := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	need(c.Quorum.Replicas() > 0, "quorum is not set")
	need(int(c.ID) < c.Quorum.Replicas(), "replica %d is not one of %d", c.ID, c.Quorum.Replicas())
	need(c.Interval >= 1, "checkpoint interval is %d, want at least 1", c.Interval)
	need(c.Window >= 2*c.Interval, "window is %d, want at least twice the checkpoint interval %d", c.Window, c.Interval)
	need(c.InFlight >= 1, "batches in flight are %d, want at least 1", c.InFlight)
	need(c.BatchRequestsMax >= 1, "requests of a batch are %d, want at least 1", c.BatchRequestsMax)
	need(c.BatchBytesMax >= 1024, "bytes of a batch are %d, want at least 1024", c.BatchBytesMax)
	need(c.RequestTicks >= 2, "request timeout is %d ticks, want at least 2", c.RequestTicks)
	need(c.PaceTicks >= 1, "pace is %d ticks, want at least 1", c.PaceTicks)
	need(c.BackoffMax >= 0 && c.BackoffMax <= 16, "back-off is %d doublings, want 0 to 16", c.BackoffMax)
	need(c.StatusTicks >= 1, "status interval is %d ticks, want at least 1", c.StatusTicks)
	need(c.HeartbeatTicks >= 2*c.StatusTicks, "heartbeat timeout is %d ticks, want at least twice the status interval %d",
		c.HeartbeatTicks, c.StatusTicks)
	need(c.CatchUpTicks >= 1, "catch-up interval is %d ticks, want at least 1", c.CatchUpTicks)
	need(c.DriftMax > 0, "clock drift is %d, want more than 0", c.DriftMax)
	need(c.ClientsMax >= 1, "client table is %d, want at least 1", c.ClientsMax)
	need(c.QueueRequestsMax >= 1 && c.QueueBytesMax >= 1, "a client's queue is empty")
	return errors.Join(errs...)
}
