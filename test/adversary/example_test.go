package adversary_test

import (
	"fmt"
	"time"

	"github.com/quorate/quorate/pbft/wire"
	"github.com/quorate/quorate/test/adversary"
	"github.com/quorate/quorate/test/sim"
)

// lateCheckpoints is a replica whose checkpoints come late.
type lateCheckpoints struct{ adversary.Honest }

// Say sends checkpoints a second later.
func (lateCheckpoints) Say(env adversary.Env, to wire.ReplicaID, m *wire.Sealed) []*wire.Sealed {
	if m.Message().Kind() != wire.KindCheckpoint {
		return []*wire.Sealed{m}
	}
	env.Note("delays a checkpoint to replica %d", to)
	env.After(time.Second, func() { env.Send(to, m) })
	return nil
}

// Example runs a cluster in which one replica plays a strategy of one's own.
func Example() {
	result := sim.Run(sim.Options{
		Seed: 7, Operations: 20, Turbulence: time.Second,
		Byzantine: map[wire.ReplicaID]func() adversary.Strategy{
			3: func() adversary.Strategy { return lateCheckpoints{} },
		},
	})
	fmt.Println("violation:", result.Violation)
	for _, note := range result.Notes {
		if note.Replica == 3 {
			fmt.Println("replica 3", note.Text)
			break
		}
	}
	// Output:
	// violation: <nil>
	// replica 3 delays a checkpoint to replica 0
}

// ExampleAll mutes a primary for three seconds, in which it lies in its
// checkpoints too.
func ExampleAll() {
	result := sim.Run(sim.Options{
		Seed: 7, Operations: 100, Turbulence: 6 * time.Second,
		Byzantine: map[wire.ReplicaID]func() adversary.Strategy{
			0: func() adversary.Strategy {
				both := adversary.All(adversary.MutePrimary(), adversary.CheckpointLies())
				return adversary.During(time.Second/2, 3*time.Second, both)
			},
		},
	})
	fmt.Println("violation:", result.Violation, "and another primary:", result.Views > 0)
	// Output:
	// violation: <nil> and another primary: true
}
