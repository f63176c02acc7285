package pbft

import (
	"errors"
	"fmt"
	"testing"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// TestAcknowledgedIdentityIsForgotten has a second process take a session over and retry
// everything that the first one did: what that one acknowledged is known to be done, and
// its result kept no more; what it did not is answered.
func TestAcknowledgedIdentityIsForgotten(t *testing.T) {
	l := startLocal(t, LocalConfig{Replicas: 4, Memory: true, Dir: t.TempDir()}, echo{})
	key, err := crypto.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	const operations = 5
	cfg := DialConfig{Key: key}
	for _, cfg.Next = range []wire.Number{1, operations + 1} {
		client, err := l.Dial(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Session = client.Session()
		for i := range wire.Number(operations) {
			op := fmt.Append(nil, i)
			if cfg.Next == 1 {
				if _, err := client.Submit(t.Context(), op); err != nil {
					t.Error(err)
				}
				continue
			}
			_, err := client.SubmitWith(t.Context(), Identity{cfg.Session, i + 1}, op)
			if last := i == operations-1; last && err != nil || !last && !errors.Is(err, ErrForgotten) {
				t.Errorf("retry of number %d: %v", i+1, err)
			}
		}
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	}
}
