package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// signalsEvery is how often stops sends its signal: the program is not always ready for
// the first.
const signalsEvery = 20 * time.Millisecond

// programOf returns a program of a script that does not run yet.
func programOf(ts *testscript.TestScript, args []string) *exec.Cmd {
	path := args[0]
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		if _, err := os.Stat(filepath.Join(dir, args[0])); err == nil {
			path = filepath.Join(dir, args[0])
			break
		}
	}
	cmd := exec.CommandContext(context.Background(), path, args[1:]...)
	cmd.Dir, cmd.Env = ts.Getenv("WORK"), []string{}
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "WORK", passphraseEnv} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	return cmd
}

// head reads one line of a program's output and closes it, as head -1 does. The program
// must end with exit code 1 and tell nothing: head program arg...
func head(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: head program [arg...]")
	}
	cmd := programOf(ts, args)
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	told, err := cmd.StderrPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	line, err := bufio.NewReaderSize(out, 16).ReadString('\n')
	ts.Logf("%s", line)
	ts.Check(errors.Join(err, out.Close()))
	text, err := io.ReadAll(told)
	ts.Check(err)
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != exitFailure || len(text) > 0 {
		ts.Fatalf("it ended with %v, and told %q, want exit code %d and silence", err, text, exitFailure)
	}
}

// stops sends a program SIGINT from when a file is there, until it ends: once or, in
// stops twice, as often as it takes; in stops hangup it is SIGHUP, again and again.
// stops once|twice|hangup file program arg...
func stops(ts *testscript.TestScript, neg bool, args []string) {
	how, sig := "", syscall.SIGINT
	if len(args) > 0 {
		how = args[0]
	}
	if how == "hangup" {
		sig = syscall.SIGHUP
	}
	if neg || len(args) < 3 || how != "once" && how != "twice" && how != "hangup" {
		ts.Fatalf("usage: stops once|twice|hangup file program [arg...]")
	}
	cmd := programOf(ts, args[2:])
	told, err := cmd.StderrPipe()
	ts.Check(err)
	caught := make(chan os.Signal, 1) // what is caught here is not ignored there, as under nohup it were
	signal.Notify(caught, sig)
	err = cmd.Start()
	signal.Stop(caught)
	ts.Check(err)
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		tick := time.NewTicker(signalsEvery)
		defer tick.Stop()
		for sent := false; how != "once" || !sent; {
			select {
			case <-tick.C:
			case <-ended:
				return
			}
			if found, _ := filepath.Glob(ts.MkAbs(args[1])); len(found) > 0 {
				sent = cmd.Process.Signal(sig) == nil
			}
		}
	}()
	text, err := io.ReadAll(told)
	ts.Check(err)
	err = cmd.Wait()
	ts.Logf("%s", text)
	if err == nil {
		ts.Fatalf("it was done, want it interrupted")
	}
}

// empty checks that no file is there: empty pattern.
func empty(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: empty pattern")
	}
	found, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	if len(found) > 0 {
		ts.Fatalf("there is %v, want nothing", found)
	}
}
