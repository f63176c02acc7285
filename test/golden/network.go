package golden

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// stepsMax ends a stabilize that does not.
const stepsMax = 100_000

// network holds what is on its way.
type network struct {
	waiting []*envelope
	sent    []*envelope // that was not blocked, arrived or not
	holds   []filter    // what matches stays on its way
	blocks  []filter    // what matches is lost
	group   map[wire.ReplicaID]int
}

// envelope is one message on its way.
type envelope struct {
	from, to  wire.ReplicaID
	sealed    *wire.Sealed
	view, seq string // of the message, "" where it has none
}

func newEnvelope(from, to wire.ReplicaID, sealed *wire.Sealed) *envelope {
	e := &envelope{from: from, to: to, sealed: sealed}
	e.view, e.seq = placeOf(sealed.Message())
	return e
}

// filter matches envelopes; what is empty matches all.
type filter struct {
	from, to, by []wire.ReplicaID
	kinds        []string
	view, seq    string
}

func newFilter(c call) filter {
	f := filter{view: c.options["view"], seq: c.options["seq"]}
	f.from, f.to, f.by = c.ids(c.options["from"]), c.ids(c.options["to"]), c.ids(c.options["by"])
	if kinds := c.options["kind"]; kinds != "" {
		f.kinds = splitList(kinds)
	}
	return f
}

func (f *filter) matches(e *envelope) bool {
	m := e.sealed.Message()
	return (f.from == nil || slices.Contains(f.from, e.from)) &&
		(f.to == nil || slices.Contains(f.to, e.to)) &&
		(f.by == nil || signedBy(m, f.by)) &&
		(f.kinds == nil || slices.Contains(f.kinds, m.Kind().String())) &&
		(f.view == "" || f.view == e.view) && (f.seq == "" || f.seq == e.seq)
}

func signedBy(m wire.Message, ids []wire.ReplicaID) bool {
	sender, signed := wire.SenderOf(m)
	return signed && slices.Contains(ids, sender)
}

// placeOf returns the view and the number of a message, "" where it has none.
func placeOf(m wire.Message) (view, seq string) {
	vote := func(v *wire.Vote) (string, string) { return fmt.Sprint(v.View), fmt.Sprint(v.Seq) }
	switch m := m.(type) { //nolint:gochecksumtype // the others are for no place
	case *wire.PrePrepare:
		return vote(&m.Vote)
	case *wire.Prepare:
		return vote(&m.Vote)
	case *wire.Commit:
		return vote(&m.Vote)
	case *wire.Checkpoint:
		return "", fmt.Sprint(m.Seq)
	case *wire.ViewChange:
		return fmt.Sprint(m.View), ""
	case *wire.NewView:
		return fmt.Sprint(m.View), ""
	case *wire.Status:
		return fmt.Sprint(m.View), ""
	case *wire.Committed:
		return "", fmt.Sprint(m.Cert.Seq)
	case *wire.StableProof:
		return "", fmt.Sprint(m.Cert.Seq)
	default:
		return "", ""
	}
}

func anyMatches(filters []filter, e *envelope) bool {
	return slices.ContainsFunc(filters, func(f filter) bool { return f.matches(e) })
}

// post puts a message on its way, unless it is lost.
func (n *network) post(e *envelope) {
	if n.group[e.from] == n.group[e.to] && !anyMatches(n.blocks, e) {
		n.waiting, n.sent = append(n.waiting, e), append(n.sent, e)
	}
}

// doNetwork runs the commands about messages on their way.
func (w *World) doNetwork(c call) (known bool, err error) {
	n := &w.network
	switch c.name {
	case "deliver":
		return true, w.deliver(c)
	case "drop":
		f := newFilter(c)
		n.remove(func(e *envelope) bool { return f.matches(e) })
	case "stabilize":
		w.stabilize()
	case "hold":
		n.holds = append(n.holds, newFilter(c))
	case "release":
		n.holds = nil
	case "block":
		n.blocks = append(n.blocks, newFilter(c))
	case "unblock":
		n.blocks = nil
	default:
		return false, nil
	}
	return true, nil
}

// deliver lets what matches arrive. With nth, it is one message: the nth of all
// that were ever sent and match, even if it has arrived, or was dropped. With at
// or as it arrives at another replica, or as passed on by another one, and the
// message itself stays where it is.
func (w *World) deliver(c call) error {
	n, f, nth := &w.network, newFilter(c), c.count("nth", 0)
	if nth <= 0 {
		for _, e := range n.remove(f.matches) {
			w.arrive(e)
		}
		return nil
	}
	i := slices.IndexFunc(n.sent, func(e *envelope) bool {
		if f.matches(e) {
			nth--
		}
		return nth == 0
	})
	if i < 0 {
		return fmt.Errorf("deliver: too few such messages were sent: want %d more", nth)
	}
	one, at, as := *n.sent[i], c.ids(c.options["at"]), c.ids(c.options["as"])
	if len(at) > 0 {
		one.to = at[0]
	}
	if len(as) > 0 {
		one.from = as[0]
	}
	if int(one.to) >= len(w.replicas) || one.from == one.to {
		return fmt.Errorf("deliver: from replica %d to %d, want two of %d", one.from, one.to, len(w.replicas))
	}
	if len(at)+len(as) == 0 {
		n.remove(func(e *envelope) bool { return e == n.sent[i] })
	}
	w.arrive(&one)
	return nil
}

// remove takes away and returns what gone says, in order.
func (n *network) remove(gone func(*envelope) bool) []*envelope {
	var taken []*envelope
	left := n.waiting[:0]
	for _, e := range n.waiting {
		if gone(e) {
			taken = append(taken, e)
		} else {
			left = append(left, e)
		}
	}
	n.waiting = left
	return taken
}

// arrive hands a message over, if its receiver can take it.
func (w *World) arrive(e *envelope) {
	if w.network.group[e.from] == w.network.group[e.to] {
		r := w.replicas[e.to]
		r.step(r.received(e.from, e.sealed))
	}
}

// stabilize delivers in order of sending until nothing is on its way but what
// is held.
func (w *World) stabilize() {
	n := &w.network
	for range stepsMax {
		i := slices.IndexFunc(n.waiting, func(e *envelope) bool { return !anyMatches(n.holds, e) })
		if i < 0 {
			return
		}
		e := n.waiting[i]
		n.waiting = slices.Delete(n.waiting, i, i+1)
		w.arrive(e)
	}
	w.print("VIOLATION: %d messages and no end", stepsMax)
}

// receivers returns the replicas that the option to names.
func (w *World) receivers(c call) []wire.ReplicaID {
	if to := c.ids(c.options["to"]); to != nil {
		return to
	}
	return everyone(len(w.replicas))
}

// doFault runs the commands that break something, or mend it.
func (w *World) doFault(c call) (known bool, err error) {
	n := &w.network
	simple := map[string]func(*replica){
		"crash": func(r *replica) {
			r.crash(c.count("keep", 0))
			r.app.forget(c.count("state", -1))
		},
		"lose": (*replica).lose,
		"lazy": func(r *replica) { r.lazy = true },
		"flush": func(r *replica) {
			r.later = r.later || c.options["own"] == "later"
			r.flush()
			r.step()
		},
		"busy":    func(r *replica) { r.step(core.Measured{Busy: !c.flag("not")}) },
		"own":     (*replica).hearItself,
		"rebase":  (*replica).rebase,
		"corrupt": func(r *replica) { r.app.corrupt, r.rotten = true, true },
		"clock":   func(r *replica) { r.skew = wire.Time(c.count("ms", 0)) * 1e6 },
		"input":   func(r *replica) { r.input, r.picky = cmp.Or(c.options["is"], r.input), c.flag("picky") },
		"isolate": func(r *replica) { n.separate(int(r.id)+1, []wire.ReplicaID{r.id}) },
		"restart": func(r *replica) { err = r.start() },
		"snapshot": func(r *replica) {
			if len(r.taking) > 0 {
				r.step(r.taken())
			}
		},
		"transfer": func(r *replica) {
			if failed := r.transfer(c); failed != nil {
				err = failed
			}
		},
	}
	if do, ok := simple[c.name]; ok {
		named := c
		named.words = slices.DeleteFunc(slices.Clone(c.words), func(word string) bool { return word == "fail" || word == "picky" || word == "not" })
		if failed := w.each(named, do); failed != nil {
			return true, failed
		}
		return true, err
	}
	switch c.name {
	case "partition":
		for i, list := range c.words {
			n.separate(100+i, c.ids(list))
		}
		return true, nil
	case "heal":
		n.group = nil
		return true, nil
	default:
		return false, nil
	}
}

// separate puts replicas into a group of their own.
func (n *network) separate(group int, ids []wire.ReplicaID) {
	if n.group == nil {
		n.group = map[wire.ReplicaID]int{}
	}
	for _, id := range ids {
		n.group[id] = group
	}
	n.remove(func(e *envelope) bool { return n.group[e.from] != n.group[e.to] })
}
