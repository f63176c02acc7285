package pbft

import (
	"context"
	"sync/atomic"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/node"
	"github.com/quorate/quorate/pbft/wire"
)

// Counts are what a replica has done since it started. They only grow. The zero
// value is that of a replica that has done nothing.
type Counts struct {
	// Signed are the signatures that the replica made, and Verified those that it
	// gave to its verifier: not those that it knew already, nor the votes that it
	// set aside because a quorum had voted without them.
	Signed   Signatures `json:"signed"`
	Verified Signatures `json:"verified"`
	// Verifications is how many calls verified them: Verified.All() over it is how
	// many were verified together.
	Verifications int64 `json:"verifications"`
	// The frames that the transport took from the replica, and gave to it. What it
	// sends to itself is none of them.
	ToPeers     Traffic `json:"to_peers"`
	FromPeers   Traffic `json:"from_peers"`
	ToClients   Traffic `json:"to_clients"`
	FromClients Traffic `json:"from_clients"`
	// Dropped are frames that the transport did not take, because it had no room or
	// the connection was gone.
	Dropped int64 `json:"dropped"`
	// Flushes is how often the journal was made durable, and JournalBytes how many
	// bytes it grew by.
	Flushes      int64 `json:"flushes"`
	JournalBytes int64 `json:"journal_bytes"`
	// Batches and Operations were executed and answered, also those that a restart
	// executed again.
	Batches    int64 `json:"batches"`
	Operations int64 `json:"operations"`
	// Queries are operations that were read outside of the order.
	Queries int64 `json:"queries"`
}

// Signatures are numbers of signatures, by what they are of.
type Signatures struct {
	Requests int64 `json:"requests"`
	// Votes are pre-prepares, prepares and commits.
	Votes int64 `json:"votes"`
	// Replies are signatures of replies: one for each batch.
	Replies int64 `json:"replies"`
	// Others are of checkpoints, view changes, reports and all else.
	Others int64 `json:"others"`
}

// All returns the sum.
func (s Signatures) All() int64 { return s.Requests + s.Votes + s.Replies + s.Others }

// Traffic is a number of frames, and of the bytes in them.
type Traffic struct {
	Frames int64 `json:"frames"`
	Bytes  int64 `json:"bytes"`
}

// Plus returns the sum of c and o: what two replicas have done.
func (c Counts) Plus(o Counts) Counts { return c.with(o, 1) }

// Minus returns the difference of c and o: what was done from o to c.
func (c Counts) Minus(o Counts) Counts { return c.with(o, -1) }

// with returns c + sign·o.
func (c Counts) with(o Counts, sign int64) Counts {
	c.Signed, c.Verified = c.Signed.with(o.Signed, sign), c.Verified.with(o.Verified, sign)
	c.Verifications += sign * o.Verifications
	c.ToPeers, c.FromPeers = c.ToPeers.with(o.ToPeers, sign), c.FromPeers.with(o.FromPeers, sign)
	c.ToClients, c.FromClients = c.ToClients.with(o.ToClients, sign), c.FromClients.with(o.FromClients, sign)
	c.Dropped += sign * o.Dropped
	c.Flushes += sign * o.Flushes
	c.JournalBytes += sign * o.JournalBytes
	c.Batches += sign * o.Batches
	c.Operations += sign * o.Operations
	c.Queries += sign * o.Queries
	return c
}

func (s Signatures) with(o Signatures, sign int64) Signatures {
	return Signatures{
		s.Requests + sign*o.Requests, s.Votes + sign*o.Votes, s.Replies + sign*o.Replies, s.Others + sign*o.Others,
	}
}

func (t Traffic) with(o Traffic, sign int64) Traffic {
	return Traffic{t.Frames + sign*o.Frames, t.Bytes + sign*o.Bytes}
}

// Counts returns what the replica has done so far. Any goroutine may call it; the
// numbers are not all of the same instant.
func (r *Replica) Counts() Counts {
	c := r.counters
	executed := r.node.Executed()
	return Counts{
		Signed: c.signed.read(), Verified: c.verified.read(), Verifications: c.verifications.Load(),
		ToPeers: c.toPeers.read(), FromPeers: c.fromPeers.read(),
		ToClients: c.toClients.read(), FromClients: c.fromClients.read(), Dropped: c.dropped.Load(),
		Flushes: c.flushes.Load(), JournalBytes: c.journalBytes.Load(),
		Batches: executed.Batches, Operations: executed.Operations, Queries: executed.Queries,
	}
}

// counters count what goes through the parts that a node is given. Any goroutine
// may add to them.
type counters struct {
	signed, verified                           signatureCounters
	verifications                              atomic.Int64
	toPeers, fromPeers, toClients, fromClients trafficCounters
	dropped                                    atomic.Int64
	flushes, journalBytes                      atomic.Int64
}

// count puts counters in front of the parts of cfg.
func (c *counters) count(cfg *node.Config) {
	cfg.Signer = countedSigner{cfg.Signer, c}
	cfg.Verifier = countedVerifier{cfg.Verifier, c}
	cfg.Transport = countedTransport{cfg.Transport, c}
	cfg.Journal = &countedJournal{Journal: cfg.Journal, c: c, size: cfg.Journal.Size()}
}

// signatureCounters are counters for a Signatures.
type signatureCounters struct{ requests, votes, replies, others atomic.Int64 }

// of returns the counter for signatures of a message that crypto.Domain.Message
// made.
func (s *signatureCounters) of(message []byte) *atomic.Int64 {
	kind, _ := crypto.KindOf(message)
	switch wire.Kind(kind) {
	case wire.KindRequest:
		return &s.requests
	case wire.KindPrePrepare, wire.KindPrepare, wire.KindCommit:
		return &s.votes
	case wire.KindReply:
		return &s.replies
	default:
		return &s.others
	}
}

func (s *signatureCounters) read() Signatures {
	return Signatures{s.requests.Load(), s.votes.Load(), s.replies.Load(), s.others.Load()}
}

// trafficCounters are counters for a Traffic.
type trafficCounters struct{ frames, bytes atomic.Int64 }

func (t *trafficCounters) add(frame []byte) {
	t.frames.Add(1)
	t.bytes.Add(int64(len(frame)))
}

func (t *trafficCounters) read() Traffic { return Traffic{t.frames.Load(), t.bytes.Load()} }

// countedSigner counts what it signs.
type countedSigner struct {
	crypto.Signer

	c *counters
}

// Sign implements crypto.Signer.
func (s countedSigner) Sign(message []byte) crypto.Signature {
	s.c.signed.of(message).Add(1)
	return s.Signer.Sign(message)
}

// countedVerifier counts what it is asked.
type countedVerifier struct {
	crypto.Verifier

	c *counters
}

// Verify implements crypto.Verifier.
func (v countedVerifier) Verify(checks []crypto.Check, ok []bool) bool {
	v.c.verifications.Add(1)
	for i := range checks {
		v.c.verified.of(checks[i].Message).Add(1)
	}
	return v.Verifier.Verify(checks, ok)
}

// countedTransport counts frames.
type countedTransport struct {
	node.Transport

	c *counters
}

// Run implements node.Transport.
func (t countedTransport) Run(ctx context.Context, in node.Inbound) error {
	peer, client := in.Peer, in.Client
	in.Peer = func(from wire.ReplicaID, frame []byte) {
		t.c.fromPeers.add(frame)
		peer(from, frame)
	}
	in.Client = func(conn uint64, frame []byte) {
		t.c.fromClients.add(frame)
		client(conn, frame)
	}
	return t.Transport.Run(ctx, in)
}

// Send implements node.Transport.
func (t countedTransport) Send(to wire.ReplicaID, frame []byte) bool {
	return t.taken(&t.c.toPeers, frame, t.Transport.Send(to, frame))
}

// Answer implements node.Transport.
func (t countedTransport) Answer(conn uint64, frame []byte) bool {
	return t.taken(&t.c.toClients, frame, t.Transport.Answer(conn, frame))
}

func (t countedTransport) taken(as *trafficCounters, frame []byte, ok bool) bool {
	if ok {
		as.add(frame)
	} else {
		t.c.dropped.Add(1)
	}
	return ok
}

// countedJournal counts flushes and growth. One goroutine calls its methods, as it
// does the Journal's.
type countedJournal struct {
	node.Journal

	c    *counters
	size int64 // after the last call
}

// Append implements node.Journal.
func (j *countedJournal) Append(records []core.Record) error {
	err := j.Journal.Append(records)
	j.grown()
	return err
}

// Flush implements node.Journal.
func (j *countedJournal) Flush() error {
	j.c.flushes.Add(1)
	err := j.Journal.Flush()
	j.grown()
	return err
}

// Rebase implements node.Journal.
func (j *countedJournal) Rebase(base []core.Record) error {
	j.c.flushes.Add(1)
	err := j.Journal.Rebase(base)
	j.size = 0
	j.grown()
	return err
}

func (j *countedJournal) grown() {
	size := j.Size()
	j.c.journalBytes.Add(max(0, size-j.size))
	j.size = size
}
