// Command quorate runs and uses Byzantine fault-tolerant clusters: it makes their
// keys and genesis, runs replicas, and submits operations as a client.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	c := &console{in: os.Stdin, out: os.Stdout, err: os.Stderr, env: os.Getenv}
	code := run(ctx, c, os.Args[1:])
	stop()
	os.Exit(code)
}

// run executes one command line and returns its exit code.
func run(ctx context.Context, c *console, args []string) int {
	root := newRoot(c) //nolint:contextcheck // commands get theirs from ExecuteContext
	root.SetArgs(args)
	return c.explain(root.ExecuteContext(ctx))
}
