package pbft

import (
	"errors"
	"fmt"
	"strings"
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

// TestClientForgottenForAnotherIsToldSo: nobody else has its key, and it shall not look for
// who that could be.
func TestClientForgottenForAnotherIsToldSo(t *testing.T) {
	limits := DefaultGenesisLimits()
	limits.Clients = 1
	l := startLocal(t, LocalConfig{Replicas: 4, Limits: limits, Memory: true, Dir: t.TempDir()}, echo{})
	var clients []*Client
	for _, session := range []wire.Session{10, 20, 15} {
		client, err := l.Dial(t.Context(), DialConfig{Session: session})
		if err != nil {
			t.Fatal(err)
		}
		defer closeClient(t, client)
		clients = append(clients, client)
		_, err = client.Submit(t.Context(), []byte("x"))
		if late := session == 15; late && !errors.Is(err, ErrTableFull) || !late && err != nil {
			t.Errorf("a new client with session %d: %v", session, err)
		}
	}
	_, err := clients[0].Submit(t.Context(), []byte("y"))
	if !errors.Is(err, ErrSessionOld) || !strings.Contains(err.Error(), "forgot it") {
		t.Errorf("the client that was forgotten got %v, want ErrSessionOld, and why", err)
	}
}
