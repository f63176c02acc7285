// Package processors tells how much of the machine's processors is used, where the system
// says so: on Linux. It knows nothing of limits that a container has.
package processors

import (
	"os"
	"time"
)

// Times are those of all processors together, since the machine was started.
type Times struct {
	Used time.Duration // by anything, also by other machines on the same processors
	All  time.Duration // that, and the time in which they had nothing to do
}

// What is busy: so much of the processors is used, and so much of them by this process.
const (
	busyShare = 0.85
	ownShare  = 0.05
)

// Meter tells whether the processors are busy. The zero value is ready. It is not safe for
// concurrent use.
type Meter struct {
	begun   bool
	machine Times
	own     time.Duration
}

// Busy tells whether, since it was called last, the processors had next to nothing left, and
// this process its part in that: what others do does not end when this one does less. It
// measures in hundredths of a second, so an answer to a second call within a tenth means
// little. The first call tells nothing, nor does any where the system does not say.
func (m *Meter) Busy() bool {
	machine, known := Machine()
	own, ownKnown := Process(os.Getpid())
	if !known || !ownKnown {
		return false
	}
	before := *m
	*m = Meter{true, machine, own}
	return before.begun && busy(Times{machine.Used - before.machine.Used, machine.All - before.machine.All}, own-before.own)
}

// busy tells whether that much is busy.
func busy(machine Times, own time.Duration) bool {
	all := float64(machine.All)
	return all > 0 && float64(machine.Used) >= busyShare*all && float64(own) >= ownShare*all
}
