package node

import (
	"fmt"
	"sync"
	"time"
)

// panics bounds what the log says of panics of the application that verifiers catch.
type panics struct {
	mu   sync.Mutex
	rate bucket
}

func newPanics() panics { return panics{rate: newBucket(warningsPerSecond, warningsBurst)} }

func (p *panics) mayTell() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rate.take(time.Now(), 1)
}

// spell returns the beginning of what the application panicked with as text, which a method
// of the application makes. That may panic, too; package fmt survives it once only.
func spell(v any) (text string) {
	defer func() {
		if recover() != nil {
			text = fmt.Sprintf("a %T, which panics when it is printed", v)
		}
	}()
	return fmt.Sprintf("%.512s", fmt.Sprint(v))
}
