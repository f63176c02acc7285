package scenario

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/quorate/quorate/app"
)

// files keeps each file under its own name: a state of many keys.
type files struct{}

func (files) Execute(tx *app.Tx, op []byte) []byte {
	name, content, _ := bytes.Cut(op, []byte(" "))
	tx.Put(string(name), content)
	return fmt.Append(nil, len(content))
}

// TestPoisonedTransferEndsWithManyKeys: a state of so many pieces cannot wait for
// a liar time and again, for newer ones take its place meanwhile.
func TestPoisonedTransferEndsWithManyKeys(t *testing.T) {
	for _, kib := range []int{1, 10} {
		for seed := range uint64(3) {
			r, err := Run(t.Context(), "poisoned-transfer", Options{
				Seed:    seed + 1,
				Machine: func() app.StateMachine { return files{} },
				Operation: func(_ *rand.Rand, client, i int) []byte {
					return append(fmt.Appendf(nil, "file-%d-%d ", client, i), bytes.Repeat([]byte{byte(i)}, kib<<10)...)
				},
			})
			if err != nil || !r.Passed {
				t.Errorf("%d KiB, seed %d: %v\n\t%s", kib, seed+1, err, strings.Join(r.Failures, "\n\t"))
			}
		}
	}
}
