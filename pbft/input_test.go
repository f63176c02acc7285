package pbft_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"testing"

	"github.com/quorate/quorate/app"
	"github.com/quorate/quorate/pbft"
)

// urn draws a random number for each operation, the same at all replicas.
type urn struct{}

func (urn) Execute(tx *app.Tx, _ []byte) []byte { return fmt.Appendf(nil, "%x", tx.Input()) }

func (urn) ProposeInput() ([]byte, error) {
	seed := make([]byte, 16)
	_, err := rand.Read(seed)
	return seed, err
}

func (urn) CheckInput(input []byte) error {
	if len(input) != 16 {
		return errors.New("want 16 bytes")
	}
	return nil
}

func TestReplicasAgreeOnRandomNumbers(t *testing.T) {
	ctx := context.Background()
	cluster, err := pbft.StartLocal(ctx, 4, urn{})
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close() //nolint:errcheck // what fails shows in results
	client, err := cluster.Client(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close() //nolint:errcheck // as above
	drawn := map[string]bool{}
	for range 5 {
		result, err := client.Submit(ctx, []byte("draw")) // which needs equal results of f+1
		if err != nil {
			t.Fatal(err)
		}
		if len(result.Value) != 32 {
			t.Fatalf("got %q, want 16 bytes", result.Value)
		}
		drawn[string(result.Value)] = true
	}
	if len(drawn) != 5 {
		t.Errorf("got %d numbers in five batches, want five", len(drawn))
	}
}
