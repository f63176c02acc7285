package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/network"
	"github.com/quorate/quorate/pbft"
	"github.com/quorate/quorate/pbft/wire"
)

func TestBriefSaysWhereAndWhatAndNoMore(t *testing.T) {
	refused := &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	failed := func(addr string, cause error) error {
		return &swarm.DialError{DialErrors: []swarm.TransportError{{Address: ma.StringCast(addr), Cause: cause}}}
	}
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"refused": {failed("/ip4/127.0.0.1/tcp/7", refused), "127.0.0.1:7: connection refused"},
		"ip6":     {failed("/ip6/::1/tcp/7", refused), "[::1]:7: connection refused"},
		"by name": {failed("/dns/r0.example/tcp/7", context.DeadlineExceeded), "r0.example:7: no answer"},
		"no port": {failed("/ip4/127.0.0.1", errors.New("odd\nthing")), "/ip4/127.0.0.1: odd thing"},
		"crowd": {
			fmt.Errorf("open a stream: %w", &net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}),
			"it ended the connection: perhaps it has as many clients as it may (clients_max); its log says so",
		},
		"stranger": {fmt.Errorf("connect: %w", sec.ErrPeerIDMismatch{}), "another key answers there"},
		"genesis": {
			&network.GenesisError{Ours: crypto.Digest{1}, Theirs: crypto.Digest{2}},
			"its genesis is 02000000, this one is 01000000",
		},
		"other": {errors.New("no answer\nin time"), "no answer in time"},
	} {
		if got := brief(c.err); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestAdviceKeepsTheErrorAndItsExitCode(t *testing.T) {
	genesis := &pbft.Genesis{Name: "test", Limits: pbft.DefaultGenesisLimits()}
	unfinished := &pbft.UnfinishedError{
		Identity: pbft.Identity{Number: 1}, Replies: 1, Err: context.DeadlineExceeded,
		Links: []pbft.LinkError{{Replica: 2, Err: &network.GenesisError{}}},
	}
	err := advise(fmt.Errorf("ask: %w", unfinished), genesis, time.Second)
	if code := exitCode(err); code != exitUnreachable {
		t.Errorf("exit code %d, want %d", code, exitUnreachable)
	}
	for _, want := range []string{"after 1s: 1 replicas replied", "\nreplica 2 cannot", "give theirs with --genesis"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q lacks %q", err, want)
		}
	}
	if !strings.Contains(err.Error(), "may still be executed") {
		t.Errorf("%q does not say that the operation may be executed", err)
	}
	unfinished.Refused = wire.RefusalOverload
	if err := advise(unfinished, genesis, time.Second); !strings.Contains(err.Error(), "clock") {
		t.Errorf("%q does not say why replicas have no room", err)
	}
	unfinished.Identity.Number = 0 // as of a read
	if err := advise(unfinished, genesis, time.Second); strings.Contains(err.Error(), "executed") {
		t.Errorf("%q says that a read may be executed", err)
	}
	unfinished.Err = context.Canceled
	if err := advise(unfinished, genesis, time.Second); !strings.Contains(err.Error(), "interrupted") {
		t.Errorf("%q does not say that it was interrupted", err)
	}
	if err := advise(errDiverged, genesis, time.Second); !errors.Is(err, errDiverged) || err.Error() != errDiverged.Error() {
		t.Errorf("got %v, want other errors as they are", err)
	}
}

// TestLoadsThatAreNotAnsweredSayWhy of a cluster that cannot be reached, and of one that runs
// another application.
func TestLoadsThatAreNotAnsweredSayWhy(t *testing.T) {
	genesis := &pbft.Genesis{Name: "test", Limits: pbft.DefaultGenesisLimits()}
	refused := &swarm.DialError{DialErrors: []swarm.TransportError{{
		Address: ma.StringCast("/ip4/127.0.0.1/tcp/7"), Cause: os.NewSyscallError("connect", syscall.ECONNREFUSED),
	}}}
	silent := &pbft.UnfinishedError{
		Identity: pbft.Identity{Number: 1}, Err: context.DeadlineExceeded,
		Links: []pbft.LinkError{{Replica: 2, Err: fmt.Errorf("connect to replica 2: %w", refused)}},
	}
	for _, c := range []struct {
		err  error
		code int
		want string
	}{
		{
			fmt.Errorf("answered 0 of 2 clients: %w; use fewer", silent), exitUnreachable,
			"answered 0 of 2 clients: no answer in time; use fewer\nreplica 2 cannot be reached: 127.0.0.1:7: connection refused",
		},
		{&pbft.RefusedError{Reason: wire.RefusalInvalid}, exitRefused, "\ndoes this cluster run the kv application?"},
		{context.Canceled, exitFailure, context.Canceled.Error()},
	} {
		if err := adviseLoad(c.err, genesis); exitCode(err) != c.code || !strings.HasSuffix(err.Error(), c.want) {
			t.Errorf("got exit code %d and %q, want %d and %q", exitCode(err), err, c.code, c.want)
		}
	}
}

// TestRefusedConnectionsAreNamed has a client try to reach replicas at ports where nobody
// listens, until it knows that of all of them.
func TestRefusedConnectionsAreNamed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "c")
	if code, _, errs := command(t, "init", dir, "--plain-keys", "--base-port", "1"); code != exitDone {
		t.Fatalf("init: exit code %d: %s", code, errs)
	}
	genesis, err := loadGenesis(filepath.Join(dir, pbft.GenesisFile))
	if err != nil {
		t.Fatal(err)
	}
	client, err := pbft.Dial(t.Context(), pbft.DialConfig{Genesis: genesis})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close() //nolint:errcheck // it has nothing to lose
	var status []pbft.ReplicaStatus
	refused := func(s pbft.ReplicaStatus) bool { return errors.Is(s.Err, syscall.ECONNREFUSED) }
	for done := false; !done; done = !slices.ContainsFunc(status, func(s pbft.ReplicaStatus) bool { return !refused(s) }) {
		if status, err = client.Status(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	ended, end := context.WithCancel(t.Context())
	end()
	_, err = client.Submit(ended, []byte("x"))
	said := advise(err, genesis, time.Second).Error()
	for id, s := range status {
		why := fmt.Sprintf("127.0.0.1:%d: connection refused", id+1)
		if want := fmt.Sprintf("replica %d cannot be reached: %s", id, why); !slices.Contains(strings.Split(said, "\n"), want) {
			t.Errorf("%q lacks the line %q", said, want)
		}
		if row := (replicaInfo{ID: uint32(id)}).row(replicaHealth{ReplicaStatus: s}); row[len(row)-1] != why { //nolint:gosec // 0 to 3
			t.Errorf("status says %q, want %q at the end", row, why)
		}
	}
}

// TestKeyInUseIsSaidSo: the library's words are for programs, and it is not the application
// that refuses, whether replicas ordered the operation or not.
func TestKeyInUseIsSaidSo(t *testing.T) {
	for _, err := range []error{
		&pbft.RefusedError{Reason: wire.RefusalSessionOld},
		&pbft.OutcomeError{Result: pbft.Result{Outcome: wire.OutcomeSessionOld}},
	} {
		err = advise(fmt.Errorf("put: %w", err), nil, time.Second)
		if code := exitCode(err); code != exitFailure || !strings.Contains(err.Error(), "--key") {
			t.Errorf("got %q and exit code %d, want %d", err, code, exitFailure)
		}
	}
}
