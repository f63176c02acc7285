package node

// Stage verify is parallel: as many workers as processors. Each takes whatever
// waits in the lanes that no other worker holds, as one batch, because one
// signature of a large batch costs a third of a single one; and gives the lanes
// back when it has passed the batch on, so that each stream stays in order. Votes
// that no quorum needs any more are set aside. Of proposals of the past nothing but
// their own signature is looked at, and nothing of evidence that tells nothing new. A bad frame costs its sender a penalty and stops
// nothing; what waits of who has had too many is dropped.

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/quorate/quorate/app"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// verifiedMax bounds the verified batches that wait for step. Step drains them
// all in one turn, and a slow step must hold up the streams, not fill memory.
const verifiedMax = 4

func (n *Node) verify(ctx context.Context, hand *hand) error {
	var (
		batch  frames
		memory wire.Memory
	)
	for {
		if !n.lanes.take(&batch) {
			select {
			case <-n.lanes.wake:
				continue
			case <-ctx.Done():
				return nil
			}
		}
		hand.enter(verifyOpen)
		frames := len(batch.frames)
		events := n.open(&batch, &memory)
		if len(events) > 0 {
			hand.enter(verifyBlocked)
			select {
			case n.verified <- events:
			case <-ctx.Done():
				return nil
			}
		}
		hand.end([countsMax]uint32{count(frames), count(batch.bytes), count(len(events))})
		n.lanes.release(&batch)
		clear(batch.frames)
	}
}

// open verifies a batch and returns the events for the core. What is not the
// core's goes where it belongs.
func (n *Node) open(batch *frames, memory *wire.Memory) []core.Event {
	lim := n.opener.Limits()
	now := n.standing.Load()
	n.mute(batch)
	n.settled(batch, now)
	n.aside.sort(batch, &lim, now)
	events := make([]core.Event, 0, len(batch.frames))
	var instead frames // of votes that were none
	// The core would ignore proposals of the past, but for a request in one that nobody
	// signed: that convicts no more. It may have gone on since it told where it stands, but
	// it never goes back.
	opener := n.opener.WithoutPast(now.view, now.stable)
	for i, o := range opener.OpenIn(memory, batch.frames) {
		from := batch.from[i]
		if o.Err != nil {
			n.penalties.addDear(from, wire.Kind(batch.frames[i][1]), o.Err.Error(), o.Checks)
			if from.client {
				continue
			}
			if o.Unsigned != nil {
				events = append(events, core.Exposed{Proposal: o.Unsigned})
			}
			instead.put(n.aside.failed(batch.frames[i], &lim))
			continue
		}
		if o.Past {
			continue
		}
		if ev := n.fromVerified(from, o.Sealed, now); ev != nil {
			events = append(events, ev)
		}
	}
	if len(instead.frames) > 0 {
		events = append(events, n.open(&instead, memory)...)
	}
	return events
}

// mute takes out of batch what is of sources without credit: it was read before what is
// wrong with them was known.
func (n *Node) mute(batch *frames) {
	muted, last := false, source{}
	batch.keep(func(_ []byte, from source) bool {
		if from != last { // most often, several in a row are of one
			muted, last = n.penalties.wait(from) > 0, from
		}
		return !muted
	})
}

// fromVerified returns the event of a message that was verified while the replica stood at
// now, if it is one for the core.
func (n *Node) fromVerified(from source, sealed *wire.Sealed, now *standing) core.Event {
	if from.client {
		return n.fromVerifiedClient(from.id, sealed)
	}
	if e, is := sealed.Message().(*wire.Evidence); is {
		n.accused.note(e, now.view)
	}
	return n.fromVerifiedPeer(from.peer(), sealed)
}

func (n *Node) fromVerifiedPeer(from wire.ReplicaID, sealed *wire.Sealed) core.Event {
	if m, ok := sealed.Message().(*wire.FetchPieces); ok {
		if m.Sender == from {
			n.serving.ask(from, m)
		}
		return nil
	}
	if m, ok := sealed.Message().(*wire.Piece); ok {
		n.pieces.offer(from, m)
		n.diagnosing.pieces.offer(from, m)
		return nil
	}
	return core.Received{From: from, Message: sealed, Unfit: n.unfit(sealed)}
}

// fromVerifiedClient takes a Request, an Ask, an AskOutputs or a Query: fromClient lets
// nothing else pass.
func (n *Node) fromVerifiedClient(conn uint64, sealed *wire.Sealed) core.Event {
	if m, ok := sealed.Message().(*wire.Ask); ok {
		n.respond(response{conn: conn, ask: m})
		return nil
	}
	if m, ok := sealed.Message().(*wire.AskOutputs); ok {
		n.work.askOutputs(conn, m.From)
		return nil
	}
	if m, ok := sealed.Message().(*wire.Query); ok {
		n.fromQuerier(conn, m)
		return nil
	}
	m, ok := sealed.Message().(*wire.Request)
	if !ok {
		return nil
	}
	n.clients.learn(m.Client, conn)
	if why := n.invalid(m.Ops); why != "" {
		n.respond(response{conn: conn, refusal: n.refusal(m, why)})
		return nil
	}
	return submitted{core.Submitted{Request: sealed}, conn}
}

// fromQuerier has a query answered, after what is prepared by now, or says at once that it
// will not be.
func (n *Node) fromQuerier(conn uint64, m *wire.Query) {
	now := n.standing.Load()
	if !now.reads || n.invalid(m.Ops) != "" || !n.work.query(&query{NewReading(m), conn, time.Now(), now.readAfter}) {
		n.respondNone(conn, m)
	}
}

// submitted is what was submitted, and over which connection.
type submitted struct {
	core.Submitted

	conn uint64
}

func (n *Node) refusal(m *wire.Request, why string) *wire.Refusal {
	return &wire.Refusal{
		Client: m.Client, Session: m.Session, Number: m.Number,
		Reason: wire.RefusalInvalid, Detail: why[:min(len(why), wire.RefusalDetailBytesMax)], Sender: n.self,
	}
}

// invalid asks the application whether it refuses an operation, and returns why.
func (n *Node) invalid(ops [][]byte) string {
	v, ok := n.cfg.Machine.(app.Validator)
	if !ok {
		return ""
	}
	for i, op := range ops {
		why, where := validate(v, op)
		if where != nil && n.invalidPanics.mayTell() {
			n.log.Warnf("the application panicked while it validated an operation, which is refused: correct it "+
				"why=%q stack=%q", why, where)
		}
		if why != "" {
			return fmt.Sprintf("operation %d: %s", i, why)
		}
	}
	return ""
}

// validate asks v about op, and returns why it is invalid, and where v panicked, if it did.
// An operation that makes v panic is invalid, and so is one whose error does: it must not
// stop the replica.
func validate(v app.Validator, op []byte) (why string, where []byte) {
	defer func() {
		if p := recover(); p != nil {
			why, where = "validation panicked: "+spell(p), stack()
		}
	}()
	if err := v.Validate(op); err != nil {
		return cmp.Or(err.Error(), "invalid"), nil
	}
	return "", nil
}
