package sim_test

import (
	"fmt"
	"math/rand/v2"

	"github.com/quorate/quorate/app"
	"github.com/quorate/quorate/pbft/wire"
	"github.com/quorate/quorate/test/adversary"
	"github.com/quorate/quorate/test/sim"
)

// My state machine, four replicas, one that lies, a thousand seeds.
func Example() {
	for seed := range uint64(1000) {
		o := sim.Options{Seed: seed, Operations: 10, Crashes: 1, Loss: 0.05, Turbulence: 3e8}
		o.Machine = func() app.StateMachine { return tally{} }
		o.Operation = func(rng *rand.Rand, _, _ int) []byte { return fmt.Append(nil, "counter ", rng.IntN(3)) }
		o.Byzantine = map[wire.ReplicaID]func() adversary.Strategy{0: adversary.Mutator}
		if result := sim.Run(o); result.Violation != nil {
			fmt.Println(result.Violation)
		}
	}
	fmt.Println("a thousand clusters held")
	// Output: a thousand clusters held
}

// Does my state machine do the same, whatever happens around it?
func ExampleCheckDeterminism() {
	o := sim.Options{Operations: 200}
	o.Machine = func() app.StateMachine { return tally{} }
	o.Operation = func(rng *rand.Rand, _, _ int) []byte { return fmt.Append(nil, "counter ", rng.IntN(3)) }
	fmt.Println(sim.CheckDeterminism(o))
	// Output: <nil>
}
