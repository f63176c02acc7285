package node

// Stage settle is sequential: one goroutine owns the Journal. It takes every turn
// that waits, appends their records, flushes once for all of them (group commit),
// and only then signs their messages, once each, and hands them to the transport
// (D1). Votes that a durable reservation covers are early: they leave before the
// flush, but not before their records are appended. Own messages to everyone go back
// to step like any peer's.

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// ErrJournal says that the journal failed: what the replica has promised may not
// be durable, and it stopped before it promised more.
var ErrJournal = errors.New("journal failed")

func (n *Node) settle(ctx context.Context) error {
	turns := make([]*turn, 0, turnsMax)
	for {
		turns = turns[:0]
		select {
		case <-ctx.Done():
			return nil
		case t := <-n.turns:
			turns = append(turns, t)
		}
		n.settleBusy.begin()
		hand := n.flight.settle
		hand.begin(entry{what: turnSettle, at: turns[0].handed}, settleAppend)
		turns = n.waitingTurns(turns)
		records := 0
		for _, t := range turns {
			records += len(t.fx.Persist)
		}
		before := n.journalBytes.Load()
		if err := n.persist(turns); err != nil {
			return n.journalFailed(err)
		}
		hand.enter(settleSend)
		for _, t := range turns {
			t.settled()
			n.sendAll(t.fx.Send, false)
			n.archiver.put(t.fx.Persist)
			t.reset()
			n.free <- t // has room for all turns
		}
		hand.enter(settleRebase)
		if err := n.tidy(); err != nil {
			return n.journalFailed(err)
		}
		hand.end([countsMax]uint32{count(len(turns)), count(records), count(int(n.journalBytes.Load() - before))})
		n.settleBusy.end(true)
	}
}

// waitingTurns appends the turns that wait.
func (n *Node) waitingTurns(turns []*turn) []*turn {
	for {
		select {
		case t := <-n.turns:
			turns = append(turns, t)
		default:
			return turns
		}
	}
}

func (n *Node) journalFailed(err error) error {
	n.outlet.shut() // (D2)
	n.log.Errorf("the journal failed, the replica stops: check the disk, then restart err=%q", err)
	return fmt.Errorf("%w: %w", ErrJournal, err)
}

// persist makes the records of turns durable, and sends what is early in between.
// What may be lost waits for the next flush. A reservation must be durable before
// what it covers: while one of turns is not, nothing of them is early.
func (n *Node) persist(turns []*turn) error {
	dirty, err := n.append(turns)
	if err != nil {
		return err
	}
	n.flight.settle.enter(settleEarly)
	reserves := slices.ContainsFunc(turns, func(t *turn) bool { return t.fx.Reserves() })
	for _, t := range turns {
		if reserves {
			t.wait()
		}
		n.sendAll(t.fx.Send, true)
	}
	if dirty {
		n.flight.settle.enter(settleFlush)
		if err := n.cfg.Journal.Flush(); err != nil {
			return fmt.Errorf("flush: %w", err)
		}
	}
	n.journalBytes.Store(n.cfg.Journal.Size())
	return nil
}

// append hands the records of turns to the journal, and tells whether they must be
// flushed.
func (n *Node) append(turns []*turn) (dirty bool, err error) {
	for _, t := range turns {
		if len(t.fx.Persist) > 0 {
			if err := n.cfg.Journal.Append(t.fx.Persist); err != nil {
				return false, fmt.Errorf("append %d records: %w", len(t.fx.Persist), err)
			}
		}
		dirty = dirty || t.mustFlush()
		if t.rebase {
			n.flight.settle.enter(settleRebase)
			if err := n.rebase(t.base); err != nil {
				return false, err
			}
			n.flight.settle.enter(settleAppend)
			dirty = false
		}
	}
	return dirty, nil
}

// rebase begins to start the journal anew. There is no other time until that is done.
func (n *Node) rebase(base []core.Record) error {
	if err := n.cfg.Journal.Rebase(base); err != nil {
		return fmt.Errorf("rebase on %d records: %w", len(base), err)
	}
	n.rebasing = true
	n.journalLimit.Store(math.MaxInt64)
	return nil
}

// tidy goes on with that, after each turn a little: a window of long batches takes seconds
// to write, and votes wait for none of it. If the base alone is long, or was given up, the
// journal may grow by as much, or so, before the next time.
func (n *Node) tidy() error {
	if !n.rebasing {
		return nil
	}
	more, err := n.cfg.Journal.Work()
	if err != nil {
		return fmt.Errorf("rebase: %w", err)
	}
	if n.rebasing = more; !more {
		size := n.cfg.Journal.Size()
		n.journalBytes.Store(size)
		n.journalLimit.Store(max(journalBytesMax, size+min(size, journalGrowthMax)))
	}
	return nil
}

// sendAll signs and sends what a turn wants sent, early or not.
func (n *Node) sendAll(sends []core.Send, early bool) {
	var back []core.Event
	for i := range sends {
		s := &sends[i]
		if s.Early != early {
			continue
		}
		sealed := s.Sealed
		if sealed == nil {
			sealed = wire.Seal(n.cfg.Signer, n.cfg.Domain, s.Message)
		}
		if s.To != core.Everyone && s.To != n.self {
			n.outlet.send(s.To, sealed.Frame())
			continue
		}
		if s.To == core.Everyone {
			n.outlet.broadcast(sealed.Frame())
		}
		n.aside.cast(sealed.Message())
		back = append(back, core.Received{From: n.self, Message: sealed})
	}
	n.own.put(back...)
}
