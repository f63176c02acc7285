package node

import (
	"context"

	"github.com/quorate/quorate/app"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// Transport carries frames between replicas, and to and from clients. Frames
// may be lost, when a queue is full or a link is down; they are not reordered
// within a class of one link, nor changed. Send and Answer may be called by many
// goroutines at once, before Run and after it too: then they return false.
type Transport interface {
	// Run serves until ctx is done, and then ends everything that it started.
	// It calls in's functions from many goroutines, but the frames of one stream
	// from one; a function that blocks stops reading from that one stream only.
	// A frame belongs to who is given it: the transport may not use it again.
	Run(ctx context.Context, in Inbound) error
	// Send queues frame for peer to, on the stream of its kind's class, and
	// returns false if the queue was full or there is no such peer. It never
	// blocks. The frame may not be changed afterwards.
	Send(to wire.ReplicaID, frame []byte) bool
	// Answer queues frame for the client connection conn; as Send.
	Answer(conn uint64, frame []byte) bool
}

// Inbound is what a Transport calls. It is an alias of an unnamed type, so that
// transports need not import this package.
type Inbound = struct {
	// Peer takes a frame of a member.
	Peer func(from wire.ReplicaID, frame []byte)
	// Client takes a frame of a client connection; numbers are never reused.
	Client func(conn uint64, frame []byte)
	// Link tells that the connection to a member came up, or that one that was up went
	// down, in the order in which that happens. When a member's process ends, the sooner
	// it is told, the sooner another primary takes over.
	Link func(peer wire.ReplicaID, up bool)
	// ClientGone tells that a client connection has ended.
	ClientGone func(conn uint64)
}

// Journal keeps records. One goroutine calls it.
type Journal interface {
	// Append buffers records, in order.
	Append(records []core.Record) error
	// Flush returns once everything appended is durable. After an error the
	// journal is dead: the replica must stop.
	Flush() error
	// Rebase makes base the new beginning, or begins to: then what was appended before is
	// durable, and Work does the rest. In the end what was appended before Rebase
	// is dropped.
	Rebase(base []core.Record) error
	// Work does a little of that, a few milliseconds, and returns whether there is more to
	// do. It is called when the messages of a turn have left. It may leave it at that where
	// much was appended meanwhile, with nothing dropped.
	Work() (more bool, err error)
	// Size returns how many bytes the journal holds.
	Size() int64
	// Close flushes and ends it.
	Close() error
}

// State is the replicated state: a key-value store whose content has one root
// digest, with durable snapshots. One goroutine (apply) calls Store's methods,
// Checkpoint, and the transfer's; Collect, Keeps, Last and Piece may be called by any.
type State interface {
	app.Store

	// Checkpoint freezes the content as the snapshot after seq, and returns; a
	// background goroutine hashes and writes what changed, and then calls done
	// once, with the root, or the error that makes the replica stop.
	Checkpoint(seq wire.Seq, done func(root crypto.Digest, err error))
	// Last returns the newest durable snapshot: 0 and the root of the empty
	// state for a new one.
	Last() (wire.Seq, crypto.Digest)
	// Collect says that snapshots older than seq are needed no more.
	Collect(seq wire.Seq)
	// Keeps tells whether the snapshot after seq with this root is kept, and is needed still.
	Keeps(seq wire.Seq, root crypto.Digest) bool
	// Piece returns an encoded page of any snapshot kept, for others.
	Piece(digest crypto.Digest) (data []byte, ok bool)

	// BeginTransfer starts, resumes or retargets a transfer of the snapshot
	// after seq with this root. The running content stays until FinishTransfer.
	BeginTransfer(seq wire.Seq, root crypto.Digest) error
	// Wanted returns up to limit digests of pieces that the transfer lacks and
	// knows of; none when all are there.
	Wanted(limit int) []crypto.Digest
	// AddPiece takes a piece that hashes to a wanted digest. It reports used
	// false for one that is unwanted or malformed, which harms nothing.
	AddPiece(data []byte) (used bool, err error)
	// PieceDigest returns what a piece hashes to.
	PieceDigest(data []byte) crypto.Digest
	// GiveUpTransfer ends a transfer that leads nowhere. What it has got may be of use to
	// the next one, and is collected with the snapshots of its age.
	GiveUpTransfer()
	// FinishTransfer makes the transferred snapshot, durably, the content.
	FinishTransfer() error

	Close() error
}

// Comparer is what a State is as well that can tell where snapshots differ. One goroutine
// (diagnose) calls it, which none of the others' calls may wait for.
type Comparer interface {
	// Compare calls yield for the first limit keys, in ascending order, at which the
	// content of the kept snapshot with root own differs from that with root other: with
	// both values, nil for none. It returns how many others differ at least. Pages of
	// other that are not here come from fetch, which returns those with these digests, in
	// their order, or an error, which Compare then returns. What they are is not
	// believed, and nothing of it is kept.
	Compare(own, other crypto.Digest, limit int, fetch func(digests []crypto.Digest) (pages [][]byte, err error),
		yield func(key, own, other []byte)) (more int, err error)
}
