package node

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/pbft/wire"
)

// TestAFloodOfQuestionsKeepsNobodyFromBeingAnswered has one connection ask faster than
// anything is signed, while others ask now and then.
func TestAFloodOfQuestionsKeepsNobodyFromBeingAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMembers(t, 4)
		n, err := New(m.configs[0])
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- n.responding(ctx) }()
		const others, rounds = 20, 200
		for round := range uint64(rounds) {
			for range 2 * responsesMax {
				n.respond(response{conn: 1, ask: &wire.Ask{Nonce: round}})
			}
			n.respond(response{conn: 2 + round%others, ask: &wire.Ask{Nonce: round}})
			<-time.After(10 * time.Millisecond)
		}
		<-time.After(time.Second)
		for conn := range uint64(others) {
			if got := len(m.hub.ports[0].answers(2 + conn)); got != rounds/others {
				t.Errorf("connection %d asked %d times and was answered %d times", 2+conn, rounds/others, got)
			}
		}
		most := int(responsesBurst + responsesPerSecond*(rounds*10*time.Millisecond+time.Second).Seconds())
		if got := len(m.hub.ports[0].answers(1)); got > most {
			t.Errorf("the flood was answered %d times, want %d or fewer", got, most)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
