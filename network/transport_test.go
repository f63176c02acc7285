package network

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	blankhost "github.com/libp2p/go-libp2p/p2p/host/blank"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/network/networktest"
	"github.com/quorate/quorate/pbft/wire"
)

func TestBothSidesOfTwoClustersSeeBothHashes(t *testing.T) {
	c := newCluster(t, 2)
	ours := c.genesis
	a, ok := c.Transport(t, 0).(*Transport)
	if !ok {
		t.Fatal("no *Transport")
	}
	if err := c.made[1].Close(); err != nil {
		t.Fatal(err)
	}
	c.made[1] = nil
	c.genesis = crypto.Sum([]byte("another genesis"))
	b, ok := c.Transport(t, 1).(*Transport)
	if !ok {
		t.Fatal("no *Transport")
	}
	node := networktest.Start(t, 0, a)
	networktest.Start(t, 1, b)
	for _, side := range []struct {
		tr     *Transport
		other  wire.ReplicaID
		theirs crypto.Digest
	}{{a, 1, c.genesis}, {b, 0, ours}} {
		got := awaitFault(t, side.tr.Faults, FaultCount{Peer: side.other, Fault: FaultGenesis})
		if got.Theirs != side.theirs {
			t.Errorf("theirs is %s, want %s", got.Theirs, side.theirs)
		}
		for _, hash := range []string{ours.String(), c.genesis.String()} {
			if !strings.Contains(got.Detail, hash) {
				t.Errorf("detail %q does not have %s", got.Detail, hash)
			}
		}
	}
	// A client of the second cluster is told so too, by its type.
	client := networktest.StartClients(t, c.Clients(t))
	err := client.AwaitError(t, 0, func(err error) bool { var g *GenesisError; return errors.As(err, &g) })
	var genesis *GenesisError
	if !errors.As(err, &genesis) || genesis.Ours != c.genesis || genesis.Theirs != ours {
		t.Errorf("the client got %v, want a GenesisError of %s and %s", err, c.genesis, ours)
	}
	client.AwaitLink(t, 1, true)
	if node.Answer(1, []byte("xx")) {
		t.Error("the client of another cluster can be answered, want it unknown")
	}
}

func TestClientRefusesAReplicaWithAnotherKey(t *testing.T) {
	c := newCluster(t, 1)
	networktest.Start(t, 0, c.Transport(t, 0))
	c.members[0].Key = newKey(t).Public()
	client := networktest.StartClients(t, c.Clients(t))
	err := client.AwaitError(t, 0, func(error) bool { return true })
	if err == nil || !strings.Contains(err.Error(), "replica 0") {
		t.Errorf("got error %v, want one that names replica 0", err)
	}
}

func TestSecondProcessAtOneAddressIsToldWhy(t *testing.T) {
	c := newCluster(t, 1)
	_, err := New(c.config(0))
	if err == nil {
		t.Fatal("two transports at one address, want an error")
	}
	for _, want := range []string{c.members[0].Addrs[0], "in use", "stop it"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not have %q", err, want)
		}
	}
}

func TestConfigReportsAllProblemsAtOnce(t *testing.T) {
	key := newKey(t)
	_, err := New(Config{
		Self: 0, Key: newKey(t), Members: []Member{{Key: key.Public()}}, FrameBytesMax: 1, ClientsMax: -1,
	})
	if err == nil {
		t.Fatal("New = nil, want an error")
	}
	for _, want := range []string{"private key belongs to", "at least 1024", "negative", "no address to listen at"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not have %q", err, want)
		}
	}
	for _, test := range []struct {
		want    string
		members []Member
	}{
		{"3 members", []Member{{}, {}, {}}},
		{"have one key", []Member{{Key: key.Public(), Addrs: []string{"127.0.0.1:0"}}, {Key: key.Public()}}},
		{"host:port", []Member{{Key: key.Public(), Addrs: []string{"nonsense"}}}},
	} {
		cfg := Config{Self: 0, Key: key, Members: test.members}
		if test.want == "3 members" {
			cfg.Self = 3
		}
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("got error %v, want one with %q", err, test.want)
		}
	}
}

func TestAddressesOfAllForms(t *testing.T) {
	for in, want := range map[string]string{
		"/ip4/10.0.0.1/tcp/4001":       "/ip4/10.0.0.1/tcp/4001",
		"10.0.0.1:4001":                "/ip4/10.0.0.1/tcp/4001",
		"[2001:db8::1]:4001":           "/ip6/2001:db8::1/tcp/4001",
		"a.example:4001":               "/dns/a.example/tcp/4001",
		"/dns4/a.example/tcp/4001":     "/dns4/a.example/tcp/4001",
		"10.0.0.1":                     "",
		"/ip4/10.0.0.1/tcp/70000":      "",
		"a.example:port":               "",
		"/ip4/300.0.0.1/tcp/4001/quic": "",
	} {
		got, err := parseAddr(in)
		if want == "" {
			if err == nil {
				t.Errorf("parseAddr(%q) = %v, want an error", in, got)
			}
			continue
		}
		if err != nil || got.String() != want {
			t.Errorf("parseAddr(%q) = %v, %v, want %s", in, got, err, want)
		}
	}
}

func TestTransportRunsOnce(t *testing.T) {
	c := newCluster(t, 1)
	tr := c.made[0]
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := tr.Run(ctx, Inbound{}); err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
	if err := tr.Run(ctx, Inbound{}); err == nil {
		t.Error("a second Run = nil, want an error")
	}
	if err := tr.SetMemberAddrs(0, c.members[0].Addrs); err == nil {
		t.Error("SetMemberAddrs after Run = nil, want an error")
	}
	if err := tr.SetMemberAddrs(7, nil); err == nil {
		t.Error("SetMemberAddrs of no member = nil, want an error")
	}
}

func TestCloseFreesThePort(t *testing.T) {
	c := newCluster(t, 1)
	if err := c.made[0].Close(); err != nil {
		t.Fatal(err)
	}
	tr, err := New(c.config(0))
	if err != nil {
		t.Fatal(err)
	}
	if err := tr.Close(); err != nil {
		t.Error(err)
	}
	if err := tr.Run(t.Context(), Inbound{}); err == nil {
		t.Error("Run after Close = nil, want an error")
	}
}

func TestEmbeddersHostIsUsedAndLeftAlone(t *testing.T) {
	c := newCluster(t, 2)
	if err := c.made[1].Close(); err != nil {
		t.Fatal(err)
	}
	key, err := identity(c.keys[1])
	if err != nil {
		t.Fatal(err)
	}
	roster, err := newRoster(c.members)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := assemble(parts{
		key: key, gater: anything{}, door: newDoor(roster, newLedger(), doorLimits{halfOpen: 10, halfOpenPerIP: 10}),
		limits: rcmgr.InfiniteLimits, timeouts: c.timeouts,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = theirs.Close() })
	if _, ok := theirs.Host.(*blankhost.BlankHost); !ok {
		t.Fatalf("got a %T", theirs.Host)
	}
	if err := theirs.listen(c.members[1].Addrs); err != nil {
		t.Fatal(err)
	}
	cfg := c.config(1)
	cfg.Host = theirs
	tr, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	a, b := networktest.Start(t, 0, c.Transport(t, 0)), networktest.Start(t, 1, tr)
	a.AwaitLink(t, 1, true)
	b.AwaitLink(t, 0, true)
	a.Send(1, networktest.Frame(wire.KindCommit, 5, 0))
	b.AwaitNumber(t, 0, 5)
	b.Stop(t)
	a.AwaitLink(t, 1, false)
	if got := len(theirs.Network().ListenAddresses()); got != 1 {
		t.Errorf("after Run the host listens at %d addresses, want 1: it is not ours to close", got)
	}
	cfg = c.config(0)
	cfg.Host = theirs
	if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), "replica's key") {
		t.Errorf("a host with another key: got error %v, want one that says so", err)
	}
}

// TestNothingIsPrinted runs another test of this package in a process of its own
// and looks at its standard error.
func TestNothingIsPrinted(t *testing.T) {
	const run = "TestTransportKeepsItsContract/RestartIsNoticedAndRepaired|TestHellosThatDiffer"
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", run) //nolint:gosec // this test itself
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if out, err := cmd.Output(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, stderr.String())
	}
	if stderr.Len() != 0 {
		t.Errorf("printed %q, want nothing", stderr.String())
	}
}

func TestFaultsHaveNames(t *testing.T) {
	seen := map[string]bool{}
	for f := FaultGenesis; f <= FaultUnreachable; f++ {
		if name := f.String(); name == "" || strings.HasPrefix(name, "fault-") || seen[name] {
			t.Errorf("fault %d is named %q, want a name of its own", byte(f), name)
		}
		seen[f.String()] = true
	}
	if got := (FaultUnreachable + 1).String(); got != "fault-14" {
		t.Errorf("an unknown fault is named %q, want fault-14", got)
	}
}

func TestAddressesAreChargedByMachine(t *testing.T) {
	for _, test := range []struct {
		a, b string
		same bool
	}{
		{"10.0.0.1", "10.0.0.1", true},
		{"10.0.0.1", "10.0.0.2", false},
		{"::ffff:10.0.0.1", "10.0.0.1", true},
		{"2001:db8:1:2:3::4", "2001:db8:1:2:ffff::1", true},
		{"2001:db8:1:2::1", "2001:db8:1:3::1", false},
	} {
		a := chargeTo(&net.TCPAddr{IP: net.ParseIP(test.a), Port: 1})
		b := chargeTo(&net.TCPAddr{IP: net.ParseIP(test.b), Port: 2})
		if !a.IsValid() || (a == b) != test.same {
			t.Errorf("%s is charged to %s, %s to %s, want the same: %t", test.a, a, test.b, b, test.same)
		}
	}
}
