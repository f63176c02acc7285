package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestOneInterruptionEndsTheWaitForAFile has commands read a passphrase, or what else they
// read, from a pipe that is open for writing and into which nobody writes.
func TestOneInterruptionEndsTheWaitForAFile(t *testing.T) {
	dir := t.TempDir()
	pipe, secret, cluster := filepath.Join(dir, "pipe"), filepath.Join(dir, "secret"), filepath.Join(dir, "c")
	if err := errors.Join(syscall.Mkfifo(pipe, 0o600), os.WriteFile(secret, []byte("secret\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := command(t, "init", cluster, "--passphrase-file", secret); code != exitDone {
		t.Fatalf("init: exit code %d: %s", code, errs)
	}
	genesis, replica := filepath.Join(cluster, "genesis.toml"), filepath.Join(cluster, "r0")
	key := filepath.Join(replica, "key")
	for _, line := range []string{
		"keys new " + filepath.Join(dir, "new"), "keys show " + key, "init " + filepath.Join(dir, "other"),
		"node --dir " + replica, "kv get a --key " + key + " --genesis " + genesis,
		"evidence verify " + pipe + " --genesis " + genesis, "evidence audit " + pipe + " --genesis " + genesis,
		"bench compare " + pipe + " " + pipe,
	} {
		ctx, interrupt := context.WithCancel(t.Context())
		var out, errs bytes.Buffer
		c := &console{out: &out, err: &errs, env: func(string) string { return "" }}
		ended := make(chan int, 1)
		args, want := strings.Fields(line), "quorate: interrupted\n"
		if !slices.Contains(args, pipe) {
			args, want = append(args, "--passphrase-file", pipe), "quorate: passphrase: interrupted\n"
		}
		go func() { ended <- run(ctx, c, args) }()
		w := writer(t, pipe, ended)
		interrupt()
		if code := <-ended; code != exitFailure || errs.String() != want || out.Len() > 0 {
			t.Errorf("%s: exit code %d, %q and %q, want %d and that it was interrupted", line, code, &out, &errs, exitFailure)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}
}

// writer opens a pipe for writing once somebody reads it.
func writer(t *testing.T, pipe string, ended <-chan int) *os.File {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		w, err := os.OpenFile(pipe, os.O_WRONLY|syscall.O_NONBLOCK, 0)
		if err == nil {
			return w
		}
		if !errors.Is(err, syscall.ENXIO) {
			t.Fatal(err)
		}
		select {
		case code := <-ended:
			t.Fatalf("it ended with exit code %d, want it to wait", code)
		case <-tick.C:
		}
	}
}
