package main

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/quorate/quorate/app/kv"
	"github.com/quorate/quorate/pbft"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// respondent is a replica as status sees it. It refuses connections but between from and
// until, if that is not 0, and has its answers take so long.
type respondent struct {
	from, until, takes time.Duration
	rejoins            bool
}

// four of them are a cluster.
type respondents [4]respondent

// ask does what pbft.Client.Status does: it waits for all who do not refuse, until ctx ends.
func (rs *respondents) ask(ctx context.Context, began time.Time) []pbft.ReplicaStatus {
	status := make([]pbft.ReplicaStatus, len(rs))
	now, wait := time.Since(began), time.Duration(0)
	there := func(r respondent) bool { return now >= r.from && (r.until == 0 || now < r.until) }
	for _, r := range rs {
		if there(r) {
			wait = max(wait, r.takes)
		}
	}
	select {
	case <-time.After(wait):
	case <-ctx.Done():
	}
	waited := time.Since(began) - now
	for i, r := range rs {
		status[i] = pbft.ReplicaStatus{Replica: wire.ReplicaID(i), Err: errors.New("refused")} //nolint:gosec // one of four
		if there(r) && r.takes <= waited {
			status[i].Report, status[i].Err = &wire.Report{Active: true, Silent: r.rejoins}, nil
		}
	}
	return status
}

func TestStatusWaitsForAQuorumAndForNobodyElse(t *testing.T) {
	const second, never, all = time.Second, time.Hour, 10 * time.Second
	dead, hangs, slow := respondent{from: never}, respondent{takes: never}, respondent{takes: 3 * second}
	q, err := core.NewQuorum(4)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		replicas respondents
		answered int
		took     time.Duration
	}{
		"all answer":             {respondents{}, 4, 0},
		"one is dead":            {respondents{2: dead}, 3, 0},
		"one is slower":          {respondents{2: {takes: second}}, 4, second},
		"one hangs":              {respondents{2: hangs}, 3, pollPatience},
		"one rejoins":            {respondents{2: {rejoins: true}}, 4, 0},
		"two come later":         {respondents{1: {from: 5 * second}, 3: dead}, 3, 5 * second},
		"one is gone by then":    {respondents{0: {until: second}, 1: {from: 3 * second}, 3: dead}, 3, 3 * second},
		"all are slow":           {respondents{slow, slow, slow, slow}, 4, pollPatience + reachPause + 3*second},
		"and one hangs":          {respondents{slow, slow, slow, hangs}, 3, 3*pollPatience + reachPause},
		"two hang":               {respondents{1: hangs, 3: hangs}, 2, all},
		"one hangs, one rejoins": {respondents{0: hangs, 1: {rejoins: true}}, 3, all},
		"nobody is there":        {respondents{dead, dead, dead, dead}, 0, all},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), all)
				defer cancel()
				h, err := poll(ctx, q, func(ctx context.Context) ([]pbft.ReplicaStatus, error) {
					return c.replicas.ask(ctx, began), nil
				})
				if took := time.Since(began); err != nil || h.answered() != c.answered || took != c.took {
					t.Errorf("%d answered after %v, %v, want %d after %v", h.answered(), took, err, c.answered, c.took)
				}
			})
		})
	}
}

func TestStatusEndsWhenItIsInterruptedOrCannotAsk(t *testing.T) {
	q, err := core.NewQuorum(4)
	if err != nil {
		t.Fatal(err)
	}
	interrupted, interrupt := context.WithCancel(t.Context())
	interrupt()
	_, err = poll(interrupted, q, func(context.Context) ([]pbft.ReplicaStatus, error) {
		return make([]pbft.ReplicaStatus, 4), nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: got %v", err)
	}
	_, err = poll(t.Context(), q, func(context.Context) ([]pbft.ReplicaStatus, error) { return nil, pbft.ErrClosed })
	if !errors.Is(err, pbft.ErrClosed) {
		t.Errorf("got %v, want %v", err, pbft.ErrClosed)
	}
}

// TestClientsOfStatusWaitAsLongAsItDoes: pbft.Client.Status ends after twice the request
// timeout, whatever its context says.
func TestClientsOfStatusWaitAsLongAsItDoes(t *testing.T) {
	for patience, want := range map[time.Duration]time.Duration{
		0: pbft.RequestTimeoutDefault, time.Second: pbft.RequestTimeoutDefault,
		time.Minute: time.Minute / 2, time.Hour: pbft.RequestTimeoutMax,
	} {
		f := &clusterFlags{patience: patience}
		if got := f.requestTimeout(); got != want {
			t.Errorf("%v: got %v, want %v", patience, got, want)
		}
	}
}

// TestStatusAsksAgainUntilAClusterIsThere has two replicas out of reach at first.
func TestStatusAsksAgainUntilAClusterIsThere(t *testing.T) {
	cluster, _ := startCluster(t, kv.Machine{})
	genesis := *cluster.Genesis()
	genesis.Members = append([]pbft.GenesisReplica(nil), genesis.Members...)
	for i := 2; i < 4; i++ {
		genesis.Members[i].Addrs = []string{reluctant(t, genesis.Members[i].Addrs[0])}
	}
	path := filepath.Join(t.TempDir(), pbft.GenesisFile)
	if err := os.WriteFile(path, genesis.Encode(), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errs := command(t, "status", "--genesis", path, "--timeout", "1m")
	if code != exitDone || strings.Contains(out, "NO QUORUM") {
		t.Errorf("exit code %d and\n%s%s\nwant %d", code, out, errs, exitDone)
	}
}

// refusals is how many connections a reluctant address hangs up on.
const refusals = 3

// reluctant returns the address of one that leads to another, but for the first connections.
func reluctant(t *testing.T, to string) string {
	t.Helper()
	there, err := multiaddr.NewMultiaddr(to)
	if err != nil {
		t.Fatal(err)
	}
	door, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it waits for nothing
	if err != nil {
		t.Fatal(err)
	}
	var carried sync.WaitGroup
	carried.Go(func() {
		for left := refusals; ; left-- {
			in, err := door.Accept()
			if err != nil {
				return
			}
			if left > 0 {
				in.Close() //nolint:errcheck // it is of no use
				continue
			}
			out, err := manet.Dial(there)
			if err != nil {
				in.Close() //nolint:errcheck // likewise
				continue
			}
			for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
				carried.Go(func() {
					io.Copy(pair[0], pair[1]) //nolint:errcheck // one of both has hung up
					in.Close()                //nolint:errcheck // likewise
					out.Close()               //nolint:errcheck // likewise
				})
			}
		}
	})
	t.Cleanup(func() {
		door.Close() //nolint:errcheck // nobody comes any more
		carried.Wait()
	})
	here, err := manet.FromNetAddr(door.Addr())
	if err != nil {
		t.Fatal(err)
	}
	return here.String()
}
