package sim

import (
	"time"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// execute applies committed batches at once; snapshots become durable later.
func (n *node) execute(executions []core.Execution) {
	for _, ex := range executions {
		if n.w.o.Steps != nil {
			told := ex
			n.w.did(n, Step{Do: StepExecute, Seq: ex.Seq, Execution: &told})
		}
		n.w.oracle.executed(n, ex)
		applied, err := n.applier.Apply(ex)
		if !n.check("apply", err) {
			return
		}
		if n.doom == doomExecute {
			n.w.counters.Unanswered++
			n.crashFor(2 * time.Second)
			return
		}
		n.w.oracle.emitted(n, &applied)
		n.reply(applied.Replies)
		if ex.Checkpoint {
			n.checkpoint(ex.Seq)
		}
	}
}

func (n *node) checkpoint(seq wire.Seq) {
	life := n.life
	n.frozen = seq
	n.state.Checkpoint(seq, func(root crypto.Digest, err error) {
		if n.check("checkpoint", err) {
			n.w.oracle.snapshotted(n, seq, root)
			n.reports = append(n.reports, core.Snapshotted{Seq: seq, State: root})
		}
	})
	n.w.after(n.w.between(time.Microsecond, n.snapshotMax()), func() {
		switch {
		case !n.alive(life):
		case n.full:
			n.stored("snapshot", errFull)
		case n.covered < seq:
			n.overdue++
		case n.state.persist():
			n.report()
		}
	})
}

// report tells the core of its snapshots. While a state is fetched it is not
// told, for it may have learnt that they are wrong.
func (n *node) report() {
	for len(n.reports) > 0 && n.fetches == nil && !n.down {
		next := n.reports[0]
		n.reports = n.reports[1:]
		n.step(next)
	}
}

// answer sends kept results again, unless the content may be wrong.
func (n *node) answer(answers []core.Answer) {
	if n.fetches != nil {
		return
	}
	var told []wire.Told
	for _, a := range answers {
		kept, ok, err := n.applier.Answer(a)
		if !n.check("answer", err) {
			return
		}
		if ok {
			told = append(told, kept)
		}
	}
	n.reply(told)
}

func (n *node) reply(told []wire.Told) {
	for i := range told {
		n.w.oracle.replied(n, &told[i])
	}
	for _, sealed := range wire.SealReplies(n.signer, n.w.domain, n.replica.View(), n.id, told) {
		if n.strategy == nil {
			n.answerClient(sealed)
			continue
		}
		for _, said := range n.strategy.Answer(puppet{n}, sealed) {
			n.answerClient(said)
		}
	}
}

func (n *node) answerClient(sealed *wire.Sealed) {
	replies, ok := message[*wire.Replies](sealed)
	if !ok {
		return
	}
	for _, c := range n.w.clients {
		if c.key == replies.Client {
			c.incoming(func() { c.take(n.id, replies) })
		}
	}
}

func (n *node) refuse(refusals []wire.Refusal) {
	for _, r := range refusals {
		n.w.counters.Refusals++
		n.w.tell("R%d refuses %d: %d", n.id, r.Number, r.Reason)
		for _, c := range n.w.clients {
			if c.key == r.Client {
				c.incoming(func() { c.refused(n.id, &r) })
			}
		}
	}
}

// message returns the message of sealed if it is a T.
func message[T wire.Message](sealed *wire.Sealed) (m T, ok bool) {
	if sealed == nil {
		return m, false
	}
	m, ok = sealed.Message().(T)
	return m, ok
}

// submit takes a request of a client in.
func (n *node) submit(c *client, r *request) {
	if n.down {
		return
	}
	if n.paused {
		n.later(func() { n.submit(c, r) })
		return
	}
	n.w.note(markSubmit, n.id, uint64(c.id), uint64(r.first)) //nolint:gosec // small
	n.w.tell("R%d←C%d request %d", n.id, c.id, r.first)
	n.w.moment(Moment{What: Submitted, Node: n.index, Peer: len(n.w.nodes) + c.id, Seq: wire.Seq(r.first)})
	n.step(core.Submitted{Request: r.sealed})
}
