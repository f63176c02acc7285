package hostile

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/quorate/quorate/app"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

const (
	// replicas is n; with one liar the other three are needed for everything, so
	// an honest one that was only held up would stop the clients.
	replicas = 4
	// patience bounds every wait: nothing is measured by it.
	patience = 2 * time.Minute
	// calmTimeout keeps a loaded machine from looking like a dead primary.
	calmTimeout = 3 * time.Minute
	// clientTimeout makes clients ask everyone when the primary is silent for half
	// of it, however calm the replicas are.
	clientTimeout = time.Second
)

// tally is the application: it counts the operations of each client, so that a
// result tells if anything else was executed.
type tally struct{}

// Execute counts, and pads the result: "count" or "count N", with N bytes more.
// "fill K" stores a page's worth under K.
func (tally) Execute(tx *app.Tx, op []byte) []byte {
	if key, ok := bytes.CutPrefix(op, []byte("fill ")); ok {
		tx.Put(string(key), bytes.Repeat(key, 4000))
	}
	client := tx.Client()
	n := tx.Uint64(hex.EncodeToString(client[:])) + 1
	tx.PutUint64(hex.EncodeToString(client[:]), n)
	return append(strconv.AppendUint(nil, n, 10), padding(op)...)
}

// Query returns the count of the client whose key op is; "write" tries to write.
func (tally) Query(tx *app.Tx, op []byte) []byte {
	if string(op) == "write" {
		tx.PutUint64("written by a read", 1)
	}
	return append(strconv.AppendUint(nil, tx.Uint64(string(op)), 10), padding(op)...)
}

func padding(op []byte) []byte {
	var n int
	if _, err := fmt.Sscanf(string(op), "count %d", &n); err != nil {
		return nil
	}
	return append([]byte{' '}, make([]byte, n)...)
}

// cluster is four replicas, some of which run; the keys of the others are in the
// attacker's hands.
type cluster struct {
	dir     string
	genesis *pbft.Genesis
	keys    []crypto.PrivateKey
	liar    wire.ReplicaID
	timeout time.Duration

	replicas [replicas]*pbft.Replica
	seen     [replicas]*sightings

	honest struct {
		sync.Mutex
		client *pbft.Client
		count  int
	}
}

// sightings is what a replica observed.
type sightings struct {
	mu struct {
		sync.Mutex
		all []core.Observation
	}
}

func (s *sightings) add(o core.Observation) {
	_, accepted := o.(core.Accepted)
	_, prepared := o.(core.BecamePrepared)
	_, committed := o.(core.BecameCommitted)
	if accepted || prepared || committed {
		return // of every batch
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.all = append(s.mu.all, o)
}

// since returns what was observed after the first n.
func (s *sightings) since(n int) []core.Observation {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.mu.all[n:])
}

func (s *sightings) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.mu.all)
}

// options are what clusters differ in.
type options struct {
	liar    wire.ReplicaID
	timeout time.Duration
	limits  pbft.GenesisLimits
}

// newCluster makes the directories of a cluster, and starts nothing.
func newCluster(tb testing.TB, o options) *cluster {
	tb.Helper()
	if o.limits == (pbft.GenesisLimits{}) {
		o.limits = pbft.DefaultGenesisLimits()
	}
	c := &cluster{dir: tb.TempDir(), liar: o.liar, timeout: o.timeout}
	c.genesis = &pbft.Genesis{Name: "besieged", Limits: o.limits}
	for i, addr := range freeAddrs(tb, replicas) {
		key, err := crypto.GenerateKey(nil)
		if err != nil {
			tb.Fatal(err)
		}
		c.keys = append(c.keys, key)
		c.genesis.Members = append(c.genesis.Members, pbft.GenesisReplica{
			ID: wire.ReplicaID(i), Key: key.Public(), Addrs: []string{addr},
		})
	}
	for i, key := range c.keys {
		must(tb, os.Mkdir(c.path(i), 0o700), crypto.SavePlainKey(filepath.Join(c.path(i), pbft.KeyFile), key),
			os.WriteFile(filepath.Join(c.path(i), pbft.GenesisFile), c.genesis.Encode(), 0o600), pbft.InitData(c.path(i)))
		c.seen[i] = &sightings{}
	}
	return c
}

func (c *cluster) path(i int) string { return filepath.Join(c.dir, "r"+strconv.Itoa(i)) }

// freeAddrs returns addresses that nobody listens at: at an address of loopback that is
// this process's own. At 127.0.0.1 some other process, or an outgoing connection of any,
// had now and then taken a port before the replica did, or while it was stopped.
func freeAddrs(tb testing.TB, n int) []string {
	tb.Helper()
	pid := os.Getpid() // 22 bits
	host := fmt.Sprintf("127.%d.%d.%d", 64|pid>>16&63, pid>>8&255, pid&255)
	var addrs []string
	for range n {
		l, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp4", host+":0")
		if err != nil {
			tb.Fatal(err)
		}
		defer l.Close()                                                                          //nolint:errcheck // not before all are found
		addrs = append(addrs, fmt.Sprintf("/ip4/%s/tcp/%d", host, l.Addr().(*net.TCPAddr).Port)) //nolint:errcheck // TCP
	}
	return addrs
}

// start starts replica i.
func (c *cluster) start(tb testing.TB, i int) *pbft.Replica {
	tb.Helper()
	r, err := pbft.Start(context.Background(), c.config(i), tally{})
	if err != nil {
		tb.Fatal(err)
	}
	c.replicas[i] = r
	return r
}

func (c *cluster) config(i int) pbft.Config {
	return pbft.Config{Dir: c.path(i), PlainKey: true, RequestTimeout: c.timeout, Observe: c.seen[i].add}
}

// startHonest starts all but the liar, and a client.
func (c *cluster) startHonest(t *testing.T) {
	t.Helper()
	for i := range c.replicas {
		if wire.ReplicaID(i) != c.liar {
			c.start(t, i)
		}
	}
	c.dial(t)
	t.Cleanup(func() { c.close(t) })
}

func (c *cluster) dial(t *testing.T) {
	t.Helper()
	client, err := pbft.Dial(context.Background(), pbft.DialConfig{Genesis: c.genesis, RequestTimeout: clientTimeout})
	if err != nil {
		t.Fatal(err)
	}
	c.honest.client = client
}

func (c *cluster) close(t *testing.T) {
	t.Helper()
	if c.honest.client != nil {
		must(t, c.honest.client.Close())
	}
	for i := range c.replicas {
		c.stop(t, i)
	}
}

func (c *cluster) stop(tb testing.TB, i int) {
	tb.Helper()
	if c.replicas[i] == nil {
		return
	}
	if err := c.replicas[i].Close(); err != nil {
		tb.Errorf("replica %d ended with %v", i, err)
	}
	c.replicas[i] = nil
}

// running returns the numbers of the replicas that run.
func (c *cluster) running() []int {
	var out []int
	for i, r := range c.replicas {
		if r != nil {
			out = append(out, i)
		}
	}
	return out
}

// serves has the honest client submit n operations and checks each result:
// nothing of what was executed was executed twice, or in between.
func (c *cluster) serves(t *testing.T, n int) {
	t.Helper()
	c.honest.Lock()
	defer c.honest.Unlock()
	for range n {
		ctx, cancel := context.WithTimeout(context.Background(), patience) // in Cleanup, too
		result, err := c.honest.client.Submit(ctx, []byte("count"))
		cancel()
		if err != nil {
			t.Fatalf("an honest client got no answer: %v\n%s", err, c.standing())
		}
		c.honest.count++
		if got, want := string(result.Value), strconv.Itoa(c.honest.count); got != want {
			t.Fatalf("operation %s of the honest client returned %s", want, got)
		}
	}
}

// executed returns how many operations of a client were executed.
func (c *cluster) executed(t *testing.T, client crypto.PublicKey) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	result, err := c.honest.client.Read(ctx, []byte(hex.EncodeToString(client[:])))
	if err != nil {
		t.Fatalf("an honest client got no answer: %v\n%s", err, c.standing())
	}
	n, err := strconv.Atoi(string(result.Value))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// standing tells where the replicas stand.
func (c *cluster) standing() string {
	var out string
	for _, i := range c.running() {
		out += fmt.Sprintf("replica %d: %+v\n%v\n", i, c.replicas[i].Report(), c.replicas[i].Faults())
	}
	return out
}

// siege is the cluster that most rows attack: replica 3 is the attacker's, and
// replica 0 leads, in view 0 for ever.
type siege struct {
	*cluster
	kept *kept
}

func besiege(t *testing.T) *siege {
	t.Helper()
	limits := pbft.DefaultGenesisLimits()
	limits.CheckpointInterval, limits.Window = 16, 32 // so that rows are about checkpoints, too
	s := &siege{cluster: newCluster(t, options{liar: 3, timeout: calmTimeout, limits: limits}), kept: keep(t)}
	s.startHonest(t)
	s.serves(t, 2)
	await(t, "the client is connected to all", func() bool {
		all, err := s.honest.client.Status(t.Context())
		must(t, err)
		return !slices.ContainsFunc(all[:s.liar], func(one pbft.ReplicaStatus) bool { return one.Err != nil })
	})
	settles(t)
	return s
}

// withstands plays a row, and checks what must hold whatever the attack: honest
// clients are served while it lasts and afterwards, nobody changes the view,
// memory and goroutines come back to where they were.
func (s *siege) withstands(t *testing.T, r row) {
	t.Helper()
	before := measure()
	peak := watchMemory(t)
	t.Run("attack", func(t *testing.T) {
		r.attack(t, s)
		s.serves(t, 3) // while the attacker is still there
	})
	s.holds(t)
	before.restored(t)
	peak.bounded(t, before)
}

// holds checks that honest clients are served, and that nobody has changed the view.
func (s *siege) holds(t *testing.T) {
	t.Helper()
	s.serves(t, 2)
	for _, i := range s.running() {
		if at := s.replicas[i].Report(); at.View != 0 || !at.Active {
			t.Errorf("replica %d is in view %d, active: %t; want it in view 0", i, at.View, at.Active)
		}
	}
}

// await polls, for what cannot tell.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s in vain: %s", patience, what)
		}
		<-tick.C
	}
}

func must(tb testing.TB, errs ...error) {
	tb.Helper()
	if err := errors.Join(errs...); err != nil {
		tb.Fatal(err)
	}
}

// orders has another client order n operations, eight at a time.
func (c *cluster) orders(t *testing.T, n int, op func(i int) []byte) {
	t.Helper()
	client, err := pbft.Dial(t.Context(), pbft.DialConfig{Genesis: c.genesis, RequestTimeout: clientTimeout})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close() //nolint:errcheck // it has done its work
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var group errgroup.Group
	group.SetLimit(8)
	for i := range n {
		group.Go(func() error {
			_, err := client.Submit(ctx, op(i))
			return err
		})
	}
	must(t, group.Wait())
}

// newTicker returns ticks that end with the test.
func newTicker(t *testing.T) <-chan time.Time {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	t.Cleanup(tick.Stop)
	return tick.C
}
