package node

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/quorate/quorate/app"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// TickDefault is the time between two ticks of the core unless Config says
// otherwise; core.DefaultConfig counts in such ticks.
const TickDefault = 10 * time.Millisecond

// Config is what a Node is made of. Whoever opened the Journal and the State
// closes them, after Run has returned.
type Config struct {
	Core   core.Config
	Domain crypto.Domain
	// Keys are the public keys of the replicas, in the order of their numbers.
	Keys     []crypto.PublicKey
	Signer   crypto.Signer // of Keys[Core.ID]; used by many goroutines at once
	Limits   wire.Limits
	Verifier crypto.Verifier

	Machine   app.StateMachine
	Transport Transport
	Journal   Journal
	State     State
	// Archive, if set, keeps what proves lies later.
	Archive Archive
	// Records are what the journal held when it was opened.
	Records []core.Record
	// Rejoin says that the kept data is missing and the replica may have voted
	// on anything.
	Rejoin bool
	// Life is core.Restored.Life.
	Life uint64

	// Tick is the time between two ticks of the core; 0 means TickDefault.
	Tick time.Duration
	// Clock, if set, is the wall clock in place of time.Now. Nothing but the times
	// of batches comes from it: all waiting is by a clock that does not jump.
	Clock func() time.Time
	// Busy, if set, tells whether the machine's processors have had next to nothing left
	// since it was called last, a fifth of a second ago. One goroutine calls it.
	Busy func() bool
	// Observe, if set, is told what happened, in order, by one goroutine. What
	// it cannot keep up with is dropped, except for misbehaviour and changes of
	// view (see watch.go).
	Observe func(core.Observation)
	// Dump, if set, is called with what the flight recorder holds (flight.go) when the
	// replica has left its view, finds states or certificates that differ, or stops by
	// itself: write writes that as text, and word says why in one that a file's name can
	// hold. It returns where that is now. Its error is logged, and hurts nothing. Several
	// goroutines may call it at once; none of them is on the path of a vote.
	Dump func(word string, write func(w io.Writer) error) (where string, err error)
	// Output, if set, takes what executed batches emit, in order, on the
	// goroutine that executes: while it runs, nothing executes.
	Output func(Output)
}

// Validate reports everything that is wrong with c, at once.
func (c Config) Validate() error {
	errs := []error{c.Core.Validate()}
	need := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	n := c.Core.Quorum.Replicas()
	need(len(c.Keys) == n, "there are %d keys for %d replicas", len(c.Keys), n)
	need(c.Limits.Replicas == n, "limits are for %d replicas, not %d", c.Limits.Replicas, n)
	need(c.Limits.Window >= c.Core.Window, "limits allow a window of %d, the core has %d", c.Limits.Window, c.Core.Window)
	need(c.Tick >= 0, "tick is %v, want more than 0", c.Tick)
	need(c.Signer != nil, "no signer")
	need(c.Verifier != nil, "no verifier")
	need(c.Machine != nil, "no state machine")
	need(c.Transport != nil, "no transport")
	need(c.Journal != nil, "no journal")
	need(c.State != nil, "no state")
	if c.Signer != nil && int(c.Core.ID) < len(c.Keys) {
		need(c.Signer.Public() == c.Keys[c.Core.ID], "the signer's key is not that of replica %d", c.Core.ID)
	}
	return errors.Join(errs...)
}
