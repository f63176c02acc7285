package sim

import (
	"cmp"
	"slices"

	"github.com/quorate/quorate/app"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

const (
	// resultBytesMax bounds a result, and resultFixedBytes is what the state keeps with
	// it.
	resultBytesMax   = 1 << 18
	resultFixedBytes = 9
	// unsavedBytesMax bounds the results that wait for a checkpoint.
	unsavedBytesMax = 128 << 20
	// unsavedShort is which part of that a result has that always finds room.
	unsavedShort = 1 << 20
)

// unsaved is the reference's own view of the rule that bounds results (docs/PROTOCOL.md
// step 8). Where the applier keeps sums, it has a list of all that was executed since the
// last checkpoint, and counts anew at each operation.
type unsaved struct {
	longest, most int // bytes of one result, and of all
	clients       map[wire.ClientID]core.ClientState
	waiting       []waiting
}

// waiting is a result that is in no checkpoint yet.
type waiting struct {
	of    operation
	bytes int
}

func newUnsaved(o *Options) unsaved {
	return unsaved{
		longest: min(cmp.Or(o.ResultBytes, resultBytesMax), app.ValueBytesMax-resultFixedBytes),
		most:    cmp.Or(o.UnsavedBytes, unsavedBytesMax),
		clients: map[wire.ClientID]core.ClientState{},
	}
}

// fits tells whether a client's next result may have so many bytes: all may have so many
// together, and up to twice as many if each alone has no more than the longest has.
func (u *unsaved) fits(client wire.ClientID, bytes int) bool {
	all, own := bytes, bytes
	for _, w := range u.waiting {
		all += w.bytes
		if w.of.client == client {
			own += w.bytes
		}
	}
	return bytes <= u.most/unsavedShort || all <= u.most || own <= u.longest && all <= 2*u.most
}

// add takes the result of an operation.
func (u *unsaved) add(op operation, bytes int) { u.waiting = append(u.waiting, waiting{op, bytes}) }

// end ends a batch: what clients have acknowledged, or given up with their session or their
// place in the table, waits no more, nor does what a checkpoint writes.
func (u *unsaved) end(ex *core.Execution) {
	for _, id := range ex.Evicted {
		delete(u.clients, id)
	}
	for _, s := range ex.Clients {
		u.clients[s.Client] = s
	}
	u.waiting = slices.DeleteFunc(u.waiting, func(w waiting) bool {
		s, known := u.clients[w.of.client]
		return ex.Checkpoint || !known || s.Session != w.of.session || w.of.number <= s.Low
	})
}
