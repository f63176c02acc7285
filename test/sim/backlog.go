package sim

import "github.com/quorate/quorate/pbft/wire"

// backlog is what waits, at its sender, for a process that is down or cut off, as in the
// queues of a real transport: the process that starts anew gets it first of all, and what
// was said before it lost its data is the first that it hears.
type backlog [][][]letter

// letter is a message that waits.
type letter struct {
	id     uint64
	sealed *wire.Sealed
}

func newBacklog(processes int) backlog {
	all := make(backlog, processes)
	for i := range all {
		all[i] = make([][]letter, processes)
	}
	return all
}

// waits tells whether a message waits for its receiver. If not, all that waited goes first.
func (w *world) waits(from, to *node, one letter) bool {
	switch {
	case w.o.Backlog == 0:
		return false
	case to.down, !w.links.open(from.index, to.index):
		w.keep(from, to, one)
		return true
	default:
		w.catchUp(from, to)
		return false
	}
}

// keep has a message wait, and drops the oldest where that is one too many.
func (w *world) keep(from, to *node, one letter) {
	w.counters.Waited++
	queue := &w.backlog[from.index][to.index]
	if *queue = append(*queue, one); len(*queue) > w.o.Backlog {
		w.passage(Dropped, from, to, (*queue)[0].id, (*queue)[0].sealed)
		*queue = (*queue)[1:]
	}
}

// catchUp sends what has waited, in its order.
func (w *world) catchUp(from, to *node) {
	queue := &w.backlog[from.index][to.index]
	if len(*queue) == 0 {
		return
	}
	delay := w.delay()
	for _, one := range *queue {
		p := w.parcel(from, to, one.sealed)
		p.id = one.id
		w.after(delay, p.arrive)
	}
	*queue = nil
}

// forget drops what waits at a process that ends.
func (all backlog) forget(sender *node) { clear(all[sender.index]) }
