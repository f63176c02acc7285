package node

// Stage receive is parallel: it runs on the transport's goroutines, one for each
// stream. It does what is cheap (kind, size, the source's credit) and queues the
// frame in the stream's lane. A full lane, or a source that sends rubbish, holds
// up the reader of that one stream.

import (
	"context"
	"fmt"
	"time"

	"github.com/quorate/quorate/pbft/wire"
)

// inbound returns what the transport calls until ctx is done.
func (n *Node) inbound(ctx context.Context) Inbound {
	return Inbound{
		Peer:       func(from wire.ReplicaID, frame []byte) { n.fromPeer(ctx, from, frame) },
		Client:     func(conn uint64, frame []byte) { n.fromClient(ctx, conn, frame) },
		Link:       func(peer wire.ReplicaID, up bool) { n.linked(ctx, peer, up) },
		ClientGone: n.clientGone,
	}
}

func (n *Node) fromPeer(ctx context.Context, from wire.ReplicaID, frame []byte) {
	if int(from) >= n.replicas || from == n.self {
		return // the transport admits members only
	}
	s := peerSource(from)
	kind, why := n.inspect(frame)
	if why == "" && !peerMaySend(kind) {
		why = "a kind that replicas do not send"
	}
	if why != "" { // nothing holds on to the frame while its source waits
		n.penalties.add(s, kind, why)
		n.pause(ctx, s)
		return
	}
	if n.pause(ctx, s) {
		n.lanes.put(ctx, laneKey{s, kind.Class()}, frame)
	}
}

func (n *Node) fromClient(ctx context.Context, conn uint64, frame []byte) {
	s := source{client: true, id: conn}
	kind, why := n.inspect(frame)
	if why == "" && !clientMaySend(kind) {
		why = "a kind that clients do not send"
	}
	if why != "" { // as above
		n.penalties.add(s, kind, why)
		n.pause(ctx, s)
		return
	}
	if n.pause(ctx, s) {
		n.lanes.put(ctx, laneKey{s, wire.ClassClients}, frame)
	}
}

// inspect returns the kind of a frame, and why it cannot be one of ours.
func (n *Node) inspect(frame []byte) (wire.Kind, string) {
	if len(frame) < 2 {
		return 0, fmt.Sprintf("a frame of %d bytes", len(frame))
	}
	kind := wire.Kind(frame[1])
	limit := n.cfg.Limits.KindBytesMax(kind)
	if limit == 0 {
		return kind, "an unknown kind"
	}
	if len(frame) > limit {
		return kind, fmt.Sprintf("a frame of %d bytes, the limit is %d", len(frame), limit)
	}
	return kind, ""
}

// pause waits until a source that sent rubbish has credit again. It returns
// false if ctx is done.
func (n *Node) pause(ctx context.Context, s source) bool {
	wait := n.penalties.wait(s)
	if wait == 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// linked passes on what becomes of a connection. When this replica itself ends, all its
// connections do, and that says nothing about others.
func (n *Node) linked(ctx context.Context, peer wire.ReplicaID, up bool) {
	if int(peer) >= n.replicas || peer == n.self || ctx.Err() != nil {
		return
	}
	n.log.Debugf("link peer=%d up=%t", peer, up)
	n.own.link(peer, up)
}

// clientGone forgets a connection's bad frames, and its queries. Clients that it
// served are forgotten when an answer finds it gone: numbers are never reused.
func (n *Node) clientGone(conn uint64) {
	n.work.dropQueriesOf(conn)
	n.penalties.forget(source{client: true, id: conn})
}

// peerMaySend tells which kinds replicas send each other: not those between
// replicas and clients, nor the one that only the journal holds.
func peerMaySend(k wire.Kind) bool {
	switch k {
	case wire.KindReplies, wire.KindReply, wire.KindAsk, wire.KindReport, wire.KindRefusal, wire.KindPrepared,
		wire.KindAskOutputs, wire.KindOutputs, wire.KindQuery, wire.KindResults:
		return false
	default:
		return true
	}
}

// clientMaySend tells which kinds clients send.
func clientMaySend(k wire.Kind) bool {
	switch k {
	case wire.KindRequest, wire.KindAsk, wire.KindAskOutputs, wire.KindQuery:
		return true
	default:
		return false
	}
}
