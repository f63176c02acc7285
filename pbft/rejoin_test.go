package pbft

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/quorate/quorate/checkpoint/journal"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// clusterOf4 returns a valid genesis of four replicas.
func clusterOf4(t *testing.T) *Genesis {
	t.Helper()
	g := &Genesis{Name: "test", Limits: DefaultGenesisLimits()}
	for id := range wire.ReplicaID(4) {
		key, err := crypto.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		addrs := []string{"/ip4/127.0.0.1/tcp/" + string('1'+rune(id))}
		g.Members = append(g.Members, GenesisReplica{ID: id, Key: key.Public(), Addrs: addrs})
	}
	return g
}

// TestAStartThatFailsLeavesNoJournalThatForgot: a replica without data starts
// with Rejoin, fails after it has made its journal, and is started again without
// Rejoin. It must still rejoin, or it votes as if it never had.
func TestAStartThatFailsLeavesNoJournalThatForgot(t *testing.T) {
	genesis := clusterOf4(t)
	c := Config{Dir: t.TempDir(), Rejoin: true}
	if err := os.Mkdir(c.DataPath(), 0o700); err != nil {
		t.Fatal(err)
	}
	inTheWay := filepath.Join(c.DataPath(), stateDir)
	if err := os.WriteFile(inTheWay, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openDisk(t.Context(), c, genesis, 3); err == nil {
		t.Fatal("started with a file in place of its state")
	}
	if err := os.Remove(inTheWay); err != nil {
		t.Fatal(err)
	}
	c.Rejoin = false
	if !rejoins(t, c, genesis) {
		t.Error("the second start forgets that the replica rejoins")
	}
}

// TestRejoinIsKeptWhereverTheStartEnds is a process that ends between the mark,
// the journal, and the record in it, without and with the mark of a first start.
func TestRejoinIsKeptWhereverTheStartEnds(t *testing.T) {
	genesis := clusterOf4(t)
	domain := genesis.Domain()
	self := journal.Identity{Cluster: domain.Cluster, Epoch: domain.Epoch, Replica: 3}
	for _, made := range []bool{false, true} {
		for _, journals := range []bool{false, true} {
			c := Config{Dir: t.TempDir()}
			if err := InitData(c.Dir); err != nil {
				t.Fatal(err)
			}
			if !made {
				if err := markStarted(c.DataPath()); err != nil {
					t.Fatal(err)
				}
			}
			if err := markRejoin(c.DataPath()); err != nil {
				t.Fatal(err)
			}
			if journals {
				j, err := journal.Create(filepath.Join(c.DataPath(), journalDir), self, journal.Options{Limits: genesis.WireLimits()})
				if err := errors.Join(err, j.Close()); err != nil {
					t.Fatal(err)
				}
			}
			for _, life := range []string{"with the mark", "with the record"} {
				if !rejoins(t, c, genesis) {
					t.Errorf("made by init: %v, journal: %v: the start %s forgets that the replica rejoins", made, journals, life)
				}
			}
			if _, err := os.Lstat(filepath.Join(c.DataPath(), RejoinFile)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the mark is still there: %v", err)
			}
		}
	}
}

// TestRejoinIsObeyedBesideTheMarkOfAFirstStart puts back the directory of a replica as it
// was made, in place of a lost disk: the operator says that the data is lost, so it must not
// vote as one that never did.
func TestRejoinIsObeyedBesideTheMarkOfAFirstStart(t *testing.T) {
	genesis := clusterOf4(t)
	c := Config{Dir: t.TempDir(), Rejoin: true}
	if err := InitData(c.Dir); err != nil {
		t.Fatal(err)
	}
	for _, c.Rejoin = range []bool{true, false} {
		if !rejoins(t, c, genesis) {
			t.Errorf("Rejoin = %v: the replica votes as if it never had", c.Rejoin)
		}
	}
	if _, err := os.Lstat(filepath.Join(c.DataPath(), FreshFile)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the mark of the first start is still there: %v", err)
	}
}

// rejoins opens and closes what replica 3 keeps, and tells whether it says that
// the replica rejoins.
func rejoins(t *testing.T, c Config, genesis *Genesis) bool {
	t.Helper()
	d, err := openDisk(t.Context(), c, genesis, 3)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close() //nolint:errcheck // the end of a test
	for _, r := range d.records {
		if rejoin, ok := r.(core.RejoinRecord); ok && rejoin.Open {
			return true
		}
	}
	return d.rejoin
}

// TestAStartEndsWithItsContext, and the next one is the first still.
func TestAStartEndsWithItsContext(t *testing.T) {
	genesis := clusterOf4(t)
	c := Config{Dir: t.TempDir()}
	if err := InitData(c.Dir); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if d, err := openDisk(ended, c, genesis, 3); !errors.Is(err, context.Canceled) {
		t.Fatalf("opened %v, %v, want %v", d, err, context.Canceled)
	}
	if _, err := os.Lstat(filepath.Join(c.DataPath(), FreshFile)); err != nil {
		t.Errorf("the mark of the first start: %v", err)
	}
	if rejoins(t, c, genesis) {
		t.Error("the next start takes the data for lost")
	}
}
