package pbft

import (
	"context"
	"testing"
	"time"
)

// TestLongestOperationIsTaken submits an operation that is as long as any genesis allows,
// over real sockets: the request around it is longer than a mebibyte.
func TestLongestOperationIsTaken(t *testing.T) {
	limits := DefaultGenesisLimits()
	limits.OpBytes, limits.Window, limits.CheckpointInterval = opBytesMax, 64, 32
	l := startLocal(t, LocalConfig{Replicas: 4, Limits: limits, Dir: t.TempDir()}, longAnswers{})
	c, err := l.Client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer closeClient(t, c)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if _, err := c.Submit(ctx, make([]byte, opBytesMax)); err != nil {
		t.Errorf("%v; replica 1 saw %+v", err, l.replicas[1].Faults())
	}
}
