package sim_test

import (
	"fmt"
	"math/rand/v2"

	"github.com/quorate/quorate/app"
	"github.com/quorate/quorate/test/sim"
)

// tally is the state machine under test: it counts, and answers the count.
type tally struct{}

func (tally) Execute(tx *app.Tx, op []byte) []byte {
	n := tx.Uint64(string(op)) + 1
	tx.PutUint64(string(op), n)
	return fmt.Append(nil, n)
}

// A hundred clusters of your own state machine, each under faults of its own.
func ExampleRun() {
	for seed := range uint64(100) {
		o := sim.FromSeed(seed).On(4)
		o.Machine = func() app.StateMachine { return tally{} }
		o.Operation = func(rng *rand.Rand, _, _ int) []byte { return fmt.Append(nil, "counter ", rng.IntN(3)) }
		if result := sim.Run(o); result.Violation != nil {
			fmt.Println(result.Violation)
		}
	}
	fmt.Println("100 clusters held")
	// Output: 100 clusters held
}
