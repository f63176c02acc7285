package network

import (
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"

	"github.com/quorate/quorate/network/internal/outbox"
	"github.com/quorate/quorate/pbft/wire"
)

const (
	frameBytesMax       = 8 << 20  // default: a batch or a page of state, with room
	frameBytesCeiling   = 64 << 20 // what may be configured
	clientFrameBytesMax = 1 << 20  // default: a request of many operations
	clientsMax          = 256      // default
	clientsPerIPMax     = 64       // default: one machine cannot occupy all

	// halfOpenMax bounds incoming connections that have not finished their
	// handshake, each some 20 KiB and two goroutines; halfOpenPerIPMax those of
	// one address. When either is reached, the oldest goes: a handshake takes
	// milliseconds, so who floods and says nothing loses, and who is honest gets
	// through. Replicas dial each other from both sides besides, and what we
	// dial is not counted here.
	halfOpenMax      = 512
	halfOpenPerIPMax = 256

	// memberConnsMax bounds the connections that one member has to us: one that
	// it dialled, and those of its former lives that are not yet noticed dead.
	memberConnsMax = 4

	// memberStreamsMax bounds a member's streams in one direction: one for each
	// class, and for each its successor, twice over.
	memberStreamsMax = 4 * wire.Classes
	// clientStreamsMax bounds a client's streams: one is used; the others are
	// refused, and while they are they take room.
	clientStreamsMax = 4

	// yamux never gives a stream less than 256 KiB; what a client may have
	// beyond that, and a member, for the links that are long and fast.
	streamWindowBytes = 256 << 10
	streamWindowMax   = 4 << 20
	clientMemoryMax   = 2 * clientStreamsMax * streamWindowBytes
	memberMemoryMax   = 4*memberStreamsMax*streamWindowBytes + 2*wire.Classes*streamWindowMax

	writeBytesMax = 100 << 10 // one write to a stream: larger ones have timed out over long links
	bufferBytes   = 32 << 10  // of a stream's reader and writer
	growBytes     = 64 << 10  // how much of an announced frame is allocated ahead of its arrival

	// steadyLinkTime is how long a link must have held for its loss to be
	// answered by an attempt at once.
	steadyLinkTime = time.Second

	// Of the answers that wait for a client, answersOwnBytes have room whatever others have,
	// or less where so much for each is more than answersPoolBytes; and the rest in
	// answersPoolBytes that all share. So those who read none of theirs take 512 MiB at the
	// most, and leave something to those who do.
	answersOwnBytes  = 1 << 20
	answersPoolBytes = 256 << 20

	// connsSlack covers connections that are closed and not yet accounted as such.
	connsSlack = 2
	// clientConnsMax bounds the connections of one client key.
	clientConnsMax = 4
)

// queueLimits returns the bounds of what waits for one peer in one class. Votes
// are small, and of them the newest say most, so the oldest go. Batches and bulk
// were asked for, or proposed in order, so the newest are refused. Frames are
// shared between the queues of different peers, so that these bounds overstate
// what a broadcast takes.
func queueLimits(class wire.Class, frameMax int) outbox.Limits {
	switch class {
	case wire.ClassVotes:
		return outbox.Limits{Frames: 8192, Bytes: max(8<<20, frameMax), Rule: outbox.DropOldest}
	case wire.ClassBatches:
		return outbox.Limits{Frames: 4096, Bytes: max(16<<20, 2*frameMax), Rule: outbox.RefuseNewest}
	case wire.ClassBulk:
		return outbox.Limits{Frames: 1024, Bytes: max(8<<20, 2*frameMax), Rule: outbox.RefuseNewest}
	default: // ClassClients
		return outbox.Limits{Frames: 4096, Bytes: max(4<<20, frameMax), Rule: outbox.RefuseNewest}
	}
}

// resourceLimits returns what the host may take altogether, for n members, self
// included, and so many clients:
//
//	incoming connections  2·halfOpenMax + 2·4·n + 2·clients + slack
//	outgoing connections  2·4·n
//	streams               n·12 each way, and clients·4
//	memory of streams     n·36 MiB and clients·2 MiB at the very most
//
// Everyone's own bound, below, is what holds the parts apart (N5); the sums are
// such that no part can make another one fail.
//
// The memory of streams is the bytes that windows let come unread. yamux keeps them in the
// pieces in which they came: who sends single bytes while nobody reads has it hold 27 times
// as much, 7 MiB for each client.
func resourceLimits(members []member, clients int) rcmgr.ConcreteLimitConfig {
	n := len(members)
	conns := connsSlack * (halfOpenMax + memberConnsMax*n + clients)
	streams := memberStreamsMax*n + clientStreamsMax*clients
	memory := int64(memberMemoryMax)*int64(n) + int64(clientMemoryMax)*int64(clients)
	all := limit(conns+connsSlack*memberConnsMax*n, conns, streams, memory)
	each := limit(connsSlack*memberConnsMax, connsSlack*memberConnsMax, memberStreamsMax, memberMemoryMax)
	peers := make(map[peer.ID]rcmgr.ResourceLimits, n)
	for _, m := range members {
		peers[m.peer] = each
	}
	client := limit(clientConnsMax, clientConnsMax, clientStreamsMax, clientMemoryMax)
	return rcmgr.PartialLimitConfig{
		System:      all,
		Transient:   all,
		PeerDefault: client,
		Peer:        peers,
	}.Build(rcmgr.InfiniteLimits)
}

// limit bounds connections in all and incoming, and streams each way.
func limit(conns, inbound, streams int, memory int64) rcmgr.ResourceLimits {
	return rcmgr.ResourceLimits{
		Conns:           rcmgr.LimitVal(conns),
		ConnsInbound:    rcmgr.LimitVal(inbound),
		ConnsOutbound:   rcmgr.LimitVal(conns),
		FD:              rcmgr.LimitVal(conns),
		Streams:         rcmgr.LimitVal(2 * streams),
		StreamsInbound:  rcmgr.LimitVal(streams),
		StreamsOutbound: rcmgr.LimitVal(streams),
		Memory:          rcmgr.LimitVal64(memory),
	}
}
