package node

// Stage dump is sequential: when something has gone wrong it writes what the flight
// recorder holds, off the path of the votes. It does so seldom, a second dump that is
// asked for while one is written is dropped, and a failed one is logged and forgotten.

import (
	"context"
	"errors"
	"io"
	"runtime/debug"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/quorate/quorate/pbft/core"
)

// dumpsBurst and dumpsPerSecond bound the dumps: an outage leaves one view after the
// other, and what came before the first of them says most. A dump is some megabytes for
// a disk that may be what is slow.
const (
	dumpsBurst     = 4
	dumpsPerSecond = 1.0 / 30
)

// dumpPatience is how long a process that is about to end by a panic waits for its last
// dump: the disk may stand still.
const dumpPatience = 5 * time.Second

// dumping is why a dump is asked for: in a word, and in the words of who saw it.
type dumping struct{ word, why string }

// dumpOf tells whether an observation asks for a dump.
func dumpOf(o core.Observation) dumping {
	switch o := o.(type) { //nolint:gochecksumtype // the others do not
	case core.Suspected:
		return dumping{"suspicion", describe(o)}
	case core.LeftView:
		return dumping{"left-view", describe(o)}
	case core.Diverged:
		return dumping{"diverged", describe(o)}
	case core.Divided:
		return dumping{"divided", describe(o)}
	case core.Contradicted:
		return dumping{"contradicted", describe(o)}
	default:
		return dumping{}
	}
}

// askDump asks for a dump, and waits for nothing.
func (n *Node) askDump(d dumping) {
	select {
	case n.dumps <- d:
	default: // one is asked for
	}
}

func (n *Node) dumpAsked(ctx context.Context) error {
	rate := newBucket(dumpsPerSecond, dumpsBurst)
	for {
		var d dumping
		select {
		case d = <-n.dumps:
		case <-ctx.Done():
			select {
			case d = <-n.dumps:
			default:
				return nil
			}
		}
		if rate.take(time.Now(), 1) {
			n.dump(d)
		}
	}
}

// dump writes what is recorded. That it cannot is no reason for anything.
func (n *Node) dump(d dumping) {
	if n.cfg.Dump == nil {
		return
	}
	where, err := n.cfg.Dump(d.word, func(w io.Writer) error { return n.writeFlight(w, d) })
	if err != nil {
		n.log.Warnf("what the replica did until then could not be written: check the disk; the replica goes on "+
			"dump=%s why=%q err=%q", d.word, d.why, err)
		return
	}
	n.log.Warnf("what the replica did until then is written: look there for what stood still dump=%s why=%q file=%q",
		d.word, d.why, where)
}

// errNoDumps says that there is nowhere to write the flight recorder.
var errNoDumps = errors.New("node: there is nowhere to write what the flight recorder holds")

// DumpFlight writes what the flight recorder holds, as after trouble, and returns where.
// Any goroutine may call it.
func (n *Node) DumpFlight() (where string, err error) {
	if n.cfg.Dump == nil {
		return "", errNoDumps
	}
	return n.cfg.Dump("asked", n.WriteFlight)
}

// WriteFlight writes what the flight recorder holds, as text. Any goroutine may call it.
func (n *Node) WriteFlight(w io.Writer) error {
	return n.writeFlight(w, dumping{"asked", "somebody asked for it"})
}

// errGoexit says that a stage neither returned nor panicked.
var errGoexit = errors.New("a stage was ended by runtime.Goexit in the application: t.Fatal and t.FailNow " +
	"do that, too, and end no more than their goroutine; return an error or panic instead")

// stage runs a stage of g. If it panics, which ends the process, nothing leaves that any more,
// and what is recorded is written. If the application ends its goroutine, g, which hears
// nothing of that, ends too: the others would go on without the stage.
func (n *Node) stage(ctx context.Context, g *errgroup.Group, run func(ctx context.Context) error) error {
	returned := false
	defer func() {
		if returned {
			return
		}
		if p := recover(); p != nil {
			n.lastDump()
			panic(p) //nolint:forbidigo // whoever panicked shall end the process; the frames are still there
		}
		n.log.Errorf("a stage was ended by runtime.Goexit, the replica stops: correct the application stack=%q", stack())
		g.Go(func() error { return errGoexit })
	}()
	err := run(ctx)
	returned = true
	return err
}

// stackBytesMax bounds a stack in the log.
const stackBytesMax = 4 << 10

// stack returns the innermost frames of the caller.
func stack() []byte {
	frames := debug.Stack()
	return frames[:min(len(frames), stackBytesMax)]
}

// lastDump waits for the dump no longer than its patience.
func (n *Node) lastDump() {
	n.outlet.shut()
	written := make(chan struct{})
	go func() {
		defer close(written)
		n.dump(dumping{"panicked", "a stage panicked: the log says more"})
	}()
	select {
	case <-written:
	case <-time.After(dumpPatience):
	}
}
