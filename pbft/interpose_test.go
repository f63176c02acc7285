package pbft

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quorate/quorate/app/kv"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/node"
	"github.com/quorate/quorate/pbft/wire"
)

// replicaDirectory makes a directory in which a replica of four can start.
func replicaDirectory(t *testing.T, purpose string) Config {
	t.Helper()
	genesis := clusterOf4(t)
	genesis.Purpose = purpose
	key, err := crypto.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	genesis.Members[0].Key = key.Public()
	c := Config{Dir: t.TempDir(), PlainKey: true, Listen: []string{"/ip4/127.0.0.1/tcp/0"}}
	err = errors.Join(os.WriteFile(c.GenesisPath(), genesis.Encode(), 0o600), crypto.SavePlainKey(c.KeyPath(), key), InitData(c.Dir))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// spy counts what a node sends.
type spy struct {
	node.Transport

	sent chan wire.ReplicaID
}

func (s *spy) Send(to wire.ReplicaID, frame []byte) bool {
	select {
	case s.sent <- to:
	default:
	}
	return s.Transport.Send(to, frame)
}

func TestOnlyClustersForTestsAreInterposed(t *testing.T) {
	var asked []wire.ReplicaID
	s := &spy{sent: make(chan wire.ReplicaID, 1)}
	interpose := func(cfg node.Config) node.Transport {
		asked = append(asked, cfg.Core.ID)
		s.Transport = cfg.Transport
		return s
	}
	serving := replicaDirectory(t, "")
	serving.Interpose = interpose
	_, err := Start(t.Context(), serving, kv.Machine{})
	if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "quorate init --test") {
		t.Errorf("a cluster that serves: %v, want %v that tells what to do", err, ErrConfig)
	}
	if _, err := os.Stat(filepath.Join(serving.DataPath(), FreshFile)); err != nil || len(asked) > 0 {
		t.Errorf("the refused start has touched its data: %v, or asked for a transport: %v", err, asked)
	}
	forTests := replicaDirectory(t, PurposeTest)
	forTests.Interpose = interpose
	r, err := Start(t.Context(), forTests, kv.Machine{})
	if err != nil {
		t.Fatal(err)
	}
	if to := <-s.sent; to == 0 || len(asked) != 1 || asked[0] != 0 {
		t.Errorf("the node sends to %d, and the transport of %v was asked for, want another one, and replica 0's", to, asked)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

func TestOnlyClustersForTestsHaveAWrongClock(t *testing.T) {
	var looked atomic.Bool
	clock := func() time.Time {
		looked.Store(true)
		return time.Now()
	}
	serving := replicaDirectory(t, "")
	serving.Clock = clock
	_, err := Start(t.Context(), serving, kv.Machine{})
	if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "quorate init --test") {
		t.Errorf("a cluster that serves: %v, want %v that tells what to do", err, ErrConfig)
	}
	if _, err := os.Stat(filepath.Join(serving.DataPath(), FreshFile)); err != nil || looked.Load() {
		t.Errorf("the refused start has touched its data: %v, or looked at the clock: %v", err, looked.Load())
	}
	forTests := replicaDirectory(t, PurposeTest)
	forTests.Clock = clock
	r, err := Start(t.Context(), forTests, kv.Machine{})
	if err != nil {
		t.Fatal(err)
	}
	for !looked.Load() { // which its first step does
		runtime.Gosched()
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// TestATestsDataNeverServes flips the purpose of a replica that ran.
func TestATestsDataNeverServes(t *testing.T) {
	c := replicaDirectory(t, PurposeTest)
	r, err := Start(t.Context(), c, kv.Machine{})
	if err != nil {
		t.Fatal(err)
	}
	genesis := *r.Genesis()
	genesis.Purpose = ""
	err = errors.Join(r.Close(), os.WriteFile(c.GenesisPath(), genesis.Encode(), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	if r, err = Start(t.Context(), c, kv.Machine{}); err == nil {
		t.Error(errors.Join(errors.New("the data of a test serves"), r.Close()))
	}
}
