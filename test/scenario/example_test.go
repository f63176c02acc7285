package scenario_test

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/quorate/quorate/app"
	"github.com/quorate/quorate/test/scenario"
)

// votes is the state machine under test: it counts.
type votes struct{}

func (votes) Execute(tx *app.Tx, op []byte) []byte {
	n := tx.Uint64(string(op)) + 1
	tx.PutUint64(string(op), n)
	return fmt.Append(nil, n)
}

// Your own state machine, on replicas of which one equivocates.
func ExampleRun() {
	report, err := scenario.Run(context.Background(), "split-preprepare", scenario.Options{
		Seed:      7,
		Machine:   func() app.StateMachine { return votes{} },
		Operation: func(rng *rand.Rand, _, _ int) []byte { return fmt.Append(nil, "candidate ", rng.IntN(3)) },
	})
	fmt.Println(report.Passed, report.Failures, err)
	// Output: true [] <nil>
}
