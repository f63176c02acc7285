package scenario

import (
	"fmt"
	"runtime"

	"github.com/quorate/quorate/test/adversary"
	"github.com/quorate/quorate/test/sim"
)

// bombBytesMax is how much reading all decode bombs may allocate, together: less
// than any one of them announces.
const bombBytesMax = 16 << 20

// defuse brings every decode bomb to a replica.
func defuse() []Step {
	return []Step{{
		What: "no bomb is read, and none allocates what it announces", Within: timeout,
		Until: func(c *sim.Control) bool { return c.Replica(1).Executed > 4 },
		Check: func(c *sim.Control) error {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for i, frame := range adversary.Bombs() {
				if err := c.Inject(3, 1, frame); err == nil {
					return fmt.Errorf("bomb %d is read", i)
				}
			}
			runtime.ReadMemStats(&after)
			if used := after.TotalAlloc - before.TotalAlloc; used > bombBytesMax {
				return fmt.Errorf("reading them allocated %d bytes", used)
			}
			return nil
		},
	}}
}
