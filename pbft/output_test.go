package pbft

import (
	"fmt"
	"testing"

	"github.com/quorate/quorate/app"
	"github.com/quorate/quorate/pbft/wire"
)

// echo emits every operation to the outside world.
type echo struct{}

func (echo) Execute(tx *app.Tx, op []byte) []byte {
	tx.Emit(op)
	return op
}

// TestEveryReplicaDeliversTheSameOutput collects what four replicas say to the
// outside world: the same things, numbered alike, in the order of execution.
func TestEveryReplicaDeliversTheSameOutput(t *testing.T) {
	const replicas, operations = 4, 5
	said := make(chan string, replicas*operations)
	l := &Local{dir: t.TempDir(), output: func(id wire.ReplicaID, o Output) {
		said <- fmt.Sprintf("r%d %d %s", id, o.Number, o.Payload)
	}}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := l.start(t.Context(), LocalConfig{Replicas: replicas}, echo{}); err != nil {
		t.Fatal(err)
	}
	client, err := l.Client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	}()
	for i := range operations {
		if _, err := client.Submit(t.Context(), fmt.Appendf(nil, "op%d", i+1)); err != nil {
			t.Fatal(err)
		}
	}
	next := map[string]int{}
	for range replicas * operations {
		line := <-said
		var who string
		var number int
		var payload string
		if _, err := fmt.Sscanf(line, "%s %d %s", &who, &number, &payload); err != nil {
			t.Fatal(err)
		}
		next[who]++
		if want := fmt.Sprintf("op%d", number); number != next[who] || payload != want {
			t.Errorf("got %q as output %d of %s, want %q", line, next[who], who, want)
		}
	}
	if len(next) != replicas {
		t.Errorf("got output of %d replicas, want %d", len(next), replicas)
	}
}
