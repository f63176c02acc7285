// Command quorate runs and uses Byzantine fault-tolerant clusters: it makes their
// keys and genesis, runs replicas, and submits operations as a client.
package main

import (
	"cmp"
	"context"
	"errors"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
)

func main() { os.Exit(process()) }

// process executes the command line of this process and returns its exit code. The
// first signal asks the command to end, the second one ends the process; but those of a
// terminal that is closed come in numbers, and do not keep it from tidying up.
func process() int {
	ask, kept := []os.Signal{os.Interrupt, syscall.SIGTERM}, []os.Signal{syscall.SIGPIPE}
	if !signal.Ignored(syscall.SIGHUP) { // as nohup has it
		ask, kept = append(ask, syscall.SIGHUP), append(kept, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), ask...)
	defer stop()
	context.AfterFunc(ctx, stop)
	signal.Notify(make(chan os.Signal, 1), kept...)
	c := &console{in: os.Stdin, out: &output{File: os.Stdout, gone: stop}, err: os.Stderr, env: os.Getenv}
	return run(ctx, c, os.Args[1:])
}

// run executes one command line and returns its exit code.
func run(ctx context.Context, c *console, args []string) int {
	root := newRoot(c) //nolint:contextcheck // commands get theirs from ExecuteContext
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	return c.explain(cmp.Or(err, c.lost))
}

// output is the standard output. Where its reader has gone, as head does when it has
// enough, nobody waits for what is left of a command: it is told to end.
type output struct {
	*os.File

	gone   func()
	unread atomic.Bool
}

// Write writes p.
func (o *output) Write(p []byte) (int, error) {
	n, err := o.File.Write(p)
	if errors.Is(err, syscall.EPIPE) {
		o.unread.Store(true)
		o.gone()
	}
	return n, err
}

// unread tells whether the reader of the output has gone.
func (c *console) unread() bool {
	o, ok := c.out.(*output)
	return ok && o.unread.Load()
}
