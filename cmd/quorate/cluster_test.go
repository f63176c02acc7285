package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/quorate/quorate/app"
	"github.com/quorate/quorate/app/kv"
	"github.com/quorate/quorate/pbft"
)

// command runs a command line in this process.
func command(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	c := &console{out: &o, err: &e, env: func(string) string { return "" }}
	code = run(t.Context(), c, args)
	return code, o.String(), e.String()
}

// startCluster starts four replicas, until the test ends, and writes their genesis to a file.
func startCluster(t *testing.T, machine app.StateMachine) (cluster *pbft.Local, genesis string) {
	t.Helper()
	cluster, err := pbft.StartLocal(t.Context(), 4, machine)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cluster.Close() })
	genesis = filepath.Join(t.TempDir(), pbft.GenesisFile)
	if err := os.WriteFile(genesis, cluster.Genesis().Encode(), 0o600); err != nil {
		t.Fatal(err)
	}
	return cluster, genesis
}

// TestCommandsWorkOnACluster is the key-value commands and status on four real
// replicas.
func TestCommandsWorkOnACluster(t *testing.T) {
	cluster, genesis := startCluster(t, kv.Machine{})
	for _, step := range []struct {
		line string
		code int
		want string // in the output
	}{
		{"kv put greeting hello", exitDone, "put greeting (seq "},
		{"kv get greeting", exitDone, "hello\n"},
		{"kv get greeting --raw", exitDone, "hello"},
		{"kv get greeting --fast -o json", exitDone, `"seq": 0`},
		{"kv scan --fast", exitDone, "greeting  hello\n"},
		{"kv get nothing", exitRefused, "no such key: nothing"},
		{"kv cas greeting wrong x", exitRefused, "compare-and-swap lost: greeting has the value hello"},
		{"kv cas greeting hello bye", exitDone, "swapped greeting"},
		{"kv cas nothing at all", exitRefused, "no such key: nothing"},
		{"kv cas --absent greeting x", exitRefused, "has the value bye"},
		{"kv cas --absent lock me", exitDone, "swapped lock"},
		{"kv scan", exitDone, "greeting  bye\nlock      me\n"},
		{"kv scan --prefix gr -o json", exitDone, `"more": false`},
		{"kv scan --limit 1", exitDone, "(more)"},
		{"kv put grog rum", exitDone, "put grog"},
		{"kv scan --prefix gr --limit 1", exitDone, "greeting  bye\n(more)"},
		{"kv scan --prefix gr --from greeting", exitDone, "greeting  bye\ngrog      rum\n"},
		{"kv scan --prefix gr --from grog", exitDone, "VALUE\ngrog  rum\n"},
		{"kv scan --prefix gr --from a", exitDone, "VALUE\ngreeting  bye\ngrog      rum\n"},
		{"kv scan --prefix gr --from z", exitDone, "KEY  VALUE\n"},
		{"kv delete lock", exitDone, "deleted lock"},
		{"kv get lock", exitRefused, "no such key"},
		{"bank total", exitRefused, "does this cluster run the bank application?"},
		{"status", exitDone, "tolerates f = 1, 0 used"},
	} {
		args := append(strings.Fields(step.line), "--genesis", genesis, "--timeout", "30s")
		code, out, errs := command(t, args...)
		if code != step.code || !strings.Contains(out+errs, step.want) {
			t.Errorf("%s: exit code %d and\n%s%s\nwant %d and %q", step.line, code, out, errs, step.code, step.want)
		}
	}
	code, out, errs := command(t, "kv", "get", "greeting", "--genesis", genesis, "-o", "json")
	var got struct {
		Value   string
		Signers []int
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != exitDone || got.Value != "bye" || len(got.Signers) != 2 {
		t.Errorf("get as json: exit code %d, %v:\n%s%s", code, err, out, errs)
	}
	other := filepath.Join(t.TempDir(), pbft.GenesisFile)
	if err := os.WriteFile(other, otherName(cluster.Genesis()).Encode(), 0o600); err != nil {
		t.Fatal(err)
	}
	hash := cluster.Genesis().Hash().Short()
	for _, line := range []string{"kv get greeting", "outputs"} {
		code, _, errs = command(t, append(strings.Fields(line), "--genesis", other, "--timeout", "1s")...)
		if code != exitUnreachable || !strings.Contains(errs, "another genesis") || !strings.Contains(errs, hash) {
			t.Errorf("%s, another genesis: exit code %d and\n%s\nwant %d, advice and the hash %s", line, code, errs,
				exitUnreachable, hash)
		}
	}
}

// otherName returns the genesis of another cluster of the same replicas.
func otherName(g *pbft.Genesis) *pbft.Genesis {
	other := *g
	other.Name = "other"
	return &other
}

// TestEmbeddersStartWhatInitMade starts a replica as the README does.
func TestEmbeddersStartWhatInitMade(t *testing.T) {
	dir, secret := filepath.Join(t.TempDir(), "cluster"), filepath.Join(t.TempDir(), "secret.txt")
	if err := os.WriteFile(secret, []byte("correct horse\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := command(t, "init", dir, "--passphrase-file", secret); code != exitDone {
		t.Fatalf("init: exit code %d:\n%s", code, errs)
	}
	cfg, err := pbft.LoadConfig(filepath.Join(dir, "r0", "node.toml"))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Passphrase, cfg.Listen = []byte("correct horse"), []string{"127.0.0.1:0"}
	replica, err := pbft.Start(t.Context(), cfg, kv.Machine{})
	if err != nil {
		t.Fatal(err)
	}
	client, err := pbft.Dial(t.Context(), pbft.DialConfig{GenesisPath: filepath.Join(dir, "genesis.toml")})
	if err != nil {
		t.Fatal(errors.Join(err, replica.Close()))
	}
	if replica.ID() != 0 {
		t.Errorf("it is replica %d, want 0", replica.ID())
	}
	if err := errors.Join(client.Close(), replica.Close()); err != nil {
		t.Error(err)
	}
}

// TestNodeStartsOnceFreshAndNeverWithoutItsData runs one replica of four.
func TestNodeStartsOnceFreshAndNeverWithoutItsData(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cluster")
	if code, _, errs := command(t, "init", dir, "--plain-keys"); code != exitDone {
		t.Fatalf("init: exit code %d:\n%s", code, errs)
	}
	replica := filepath.Join(dir, "r0")
	listen(t, replica)
	for _, life := range []string{"first", "second"} {
		if line, code, errs := runUntilReady(t, replica); code != exitDone || !strings.Contains(line, "ready replica=0") {
			t.Fatalf("%s start: exit code %d, %q:\n%s", life, code, line, errs)
		}
	}
	if err := os.RemoveAll(filepath.Join(replica, pbft.DataDir)); err != nil {
		t.Fatal(err)
	}
	code, _, errs := command(t, "node", "--dir", replica)
	if code != exitFailure || !strings.Contains(errs, "data is missing") {
		t.Errorf("without data: exit code %d and\n%s\nwant %d and the reason", code, errs, exitFailure)
	}
	if line, code, errs := runUntilReady(t, replica, "--rejoin"); code != exitDone {
		t.Errorf("rejoin: exit code %d, %q:\n%s", code, line, errs)
	}
}

// listen has the replica in a directory listen on a free port.
func listen(t *testing.T, replica string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(replica, pbft.ConfigFile))
	if err != nil {
		t.Fatal(err)
	}
	text = append(text, "listen = [\"/ip4/127.0.0.1/tcp/0\"]\n"...)
	if err := os.WriteFile(filepath.Join(replica, pbft.ConfigFile), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// runUntilReady runs a node until it has printed its line, and interrupts it.
func runUntilReady(t *testing.T, dir string, flags ...string) (line string, code int, errs string) {
	t.Helper()
	return runUntil(t, func(context.Context) {}, dir, flags...)
}

// runUntil runs a node until it has printed its line and a condition holds, for which then
// waits, and interrupts it.
func runUntil(t *testing.T, then func(context.Context), dir string, flags ...string) (line string, code int, errs string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	from, to := io.Pipe()
	var e bytes.Buffer
	c := &console{out: to, err: &e, env: func(string) string { return "" }}
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, c, append([]string{"node", "--dir", dir}, flags...))
		to.Close() //nolint:errcheck // it never fails
	}()
	line, err := bufio.NewReader(from).ReadString('\n')
	if err == nil {
		then(ctx)
	}
	cancel()
	go io.Copy(io.Discard, from) //nolint:errcheck // what else it says
	code = <-ended
	if err != nil {
		return line, code, e.String() + err.Error()
	}
	return line, code, e.String()
}

// TestSignalsDumpTheFlightRecorder sends the process, and so the replica in it, SIGUSR1.
func TestSignalsDumpTheFlightRecorder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cluster")
	if code, _, errs := command(t, "init", dir, "--plain-keys"); code != exitDone {
		t.Fatalf("init: exit code %d:\n%s", code, errs)
	}
	replica := filepath.Join(dir, "r0")
	listen(t, replica)
	dump := filepath.Join(replica, pbft.FlightDir, "000001-asked.txt")
	there := func(ctx context.Context) {
		if err := syscall.Kill(os.Getpid(), syscall.SIGUSR1); err != nil {
			t.Fatal(err)
		}
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			if _, err := os.Stat(dump); err == nil {
				return
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				t.Error("there is no dump")
				return
			}
		}
	}
	line, code, errs := runUntil(t, there, replica)
	if want := "lately is in " + dump; code != exitDone || !strings.Contains(errs, want) {
		t.Errorf("exit code %d, %q:\n%s\nwant %q", code, line, errs, want)
	}
	text, err := os.ReadFile(dump)
	if err != nil || !strings.Contains(string(text), "flight recorder, replica 0") {
		t.Errorf("got %v, and\n%s", err, text)
	}
}
