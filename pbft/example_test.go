package pbft_test

import (
	"context"
	"fmt"
	"log"

	"github.com/quorate/quorate/app"
	"github.com/quorate/quorate/pbft"
)

// counter is a whole replicated application.
type counter struct{}

func (counter) Execute(tx *app.Tx, _ []byte) []byte {
	n := tx.Uint64("n") + 1
	tx.PutUint64("n", n)
	return fmt.Append(nil, n)
}

// Four replicas count, and go on while one of them is down, slow or lies.
func Example() {
	ctx := context.Background()
	cluster, err := pbft.StartLocal(ctx, 4, counter{})
	if err != nil {
		log.Fatal(err)
	}
	defer cluster.Close() //nolint:errcheck // the end of an example

	client, err := cluster.Client(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close() //nolint:errcheck // the end of an example

	for range 3 {
		result, err := client.Submit(ctx, []byte("add"))
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(string(result.Value), len(result.Signers) >= 2)
	}
	// Output:
	// 1 true
	// 2 true
	// 3 true
}
