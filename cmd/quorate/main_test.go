package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"quorate": func() {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		c := &console{in: os.Stdin, out: os.Stdout, err: os.Stderr, env: os.Getenv}
		code := run(ctx, c, os.Args[1:])
		stop()
		os.Exit(code)
	}})
}

// TestScripts runs the command as users do: see testdata.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits,
			"lie":   lie,
		},
	})
}

// exits runs a program that must end with an exit code: exits CODE program arg...
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits code program [arg...]")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	var ended *exec.ExitError
	if errors.As(err, &ended) {
		got, err = ended.ExitCode(), nil
	}
	if err != nil || strconv.Itoa(got) != args[0] {
		ts.Fatalf("exit code %d, want %s: %v", got, args[0], err)
	}
}
