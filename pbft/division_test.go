package pbft

import (
	"slices"
	"sync/atomic"
	"testing"

	"github.com/quorate/quorate/app"
	"github.com/quorate/quorate/pbft/wire"
)

// drawing is a machine that is not deterministic: no two executions draw the same.
type drawing struct{ drawn *atomic.Uint64 }

// Execute counts, and draws.
func (m drawing) Execute(tx *app.Tx, _ []byte) []byte {
	tx.PutUint64("count", tx.Uint64("count")+1)
	tx.PutUint64("draw", m.drawn.Add(1))
	return nil
}

// TestStatusNamesTheKeysOfStatesThatDiffer has a client hear, of each of four replicas with
// states on disk, that it differs from the three others at one key.
func TestStatusNamesTheKeysOfStatesThatDiffer(t *testing.T) {
	limits := DefaultGenesisLimits()
	limits.CheckpointInterval, limits.Window = 2, 16
	l := startLocal(t, LocalConfig{Replicas: 4, Limits: limits, Memory: true, Dir: t.TempDir()}, drawing{&atomic.Uint64{}})
	client, err := l.Client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer closeClient(t, client)
	for range limits.CheckpointInterval {
		if _, err := client.Submit(t.Context(), []byte("draw")); err != nil {
			t.Fatal(err)
		}
	}
	for t.Context().Err() == nil { // the test's deadline ends it
		status, err := client.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(status, func(s ReplicaStatus) bool { return !told(s.Report) }) {
			continue
		}
		for _, s := range status {
			checkDraws(t, s)
		}
		return
	}
}

// told tells whether a replica knows of all others at which keys they differ.
func told(r *wire.Report) bool {
	unknown := func(s wire.OtherState) bool { return s.Why != "" }
	return r != nil && r.Division.Seq > 0 && !slices.ContainsFunc(r.Division.States, unknown)
}

// checkDraws wants a replica to differ from three others, or from two where the third was
// late, in what it drew.
func checkDraws(t *testing.T, s ReplicaStatus) {
	t.Helper()
	states := s.Report.Division.States
	if len(states) < 2 {
		t.Errorf("replica %d differs from %d states, want 2 or 3", s.Replica, len(states))
	}
	for _, other := range states {
		if len(other.Keys) != 1 || other.More != 0 || other.Keys[0].Name() != `application key "draw"` {
			t.Errorf("replica %d differs from %d in %+v and %d more, want the draw alone", s.Replica, other.Replicas, other.Keys, other.More)
		}
	}
}
