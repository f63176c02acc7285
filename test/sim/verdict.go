package sim

import (
	"fmt"
	"time"

	"github.com/quorate/quorate/pbft/wire"
)

// law is a property that an oracle watches.
type law int

const (
	lawAgreement law = iota
	lawPrefix
	lawState
	lawOnce
	lawOrder
	lawLiveness
	lawMemory
	lawConflict
	lawAccount
	lawPatience
	lawDriver
	lawScript
	laws int = iota
)

// String returns the name of the law.
func (l law) String() string {
	return [laws]string{
		"O1 agreement", "O2 prefix", "O3 state", "O4 validity", "O5 order", "O6 liveness", "O7 memory",
		"O8 conflict", "O9 accountability", "O10 patience", "driver", "script",
	}[l]
}

// Verdict is what one oracle found in a run.
type Verdict struct {
	// Name is the oracle's: O1 to O10, driver for errors of the journal, the state
	// and the applier, script for what a script expected.
	Name string
	// Checks is how often it looked.
	Checks int
	// Err is nil, or how the property was first broken.
	Err error
}

// Note is what somebody did or noticed in a run, in words.
type Note struct {
	At      time.Duration
	Replica wire.ReplicaID
	Text    string
}

// notesMax bounds the notes of one run.
const notesMax = 2000

// verdicts are the laws' counts, and what broke them.
type verdicts struct {
	checks [laws]int
	broken [laws]error
}

func (v *verdicts) list() []Verdict {
	all := make([]Verdict, laws)
	for i := range all {
		all[i] = Verdict{law(i).String(), v.checks[i], v.broken[i]}
	}
	return all
}

// checked counts a look at a property.
func (w *world) checked(l law) { w.verdicts.checks[l]++ }

// breach records that a law is broken. The first one ends the run, and is its
// violation: but not where more replicas lie than any order survives, unless
// even then it holds.
func (w *world) breach(l law, format string, args ...any) {
	err := fmt.Errorf(l.String()+": "+format, args...)
	if w.verdicts.broken[l] == nil {
		w.verdicts.broken[l] = err
	}
	if w.violation != nil || w.o.Excess && l < lawConflict {
		return
	}
	more := ""
	if w.o.Machine != nil && !w.o.isStore() {
		more = ", with the same Machine, Operation and Query"
		if l == lawState {
			more += "\n\treplicas execute alike if the application is deterministic: sim.CheckDeterminism finds where it is not"
		}
	}
	w.violation = fmt.Errorf("%w\n\treplay: sim.Run(%s)%s", err, w.o, more)
	w.tell("VIOLATION %v", err)
	w.moment(Moment{What: Violated, Node: -1, Text: err.Error()})
}

// misuse ends the run because of what its Options brought about, which breaks no law.
func (w *world) misuse(format string, args ...any) {
	if w.violation == nil {
		w.violation = fmt.Errorf("sim: "+format, args...)
		w.tell("MISUSE %v", w.violation)
	}
}

// fail records an error of the driver.
func (w *world) fail(err error) { w.breach(lawDriver, "%w", err) }

// remark adds a note.
func (w *world) remark(id wire.ReplicaID, text string) {
	if len(w.notes) < notesMax {
		w.notes = append(w.notes, Note{w.now, id, text})
	}
}
