package hostile

import (
	"fmt"
	"runtime"
	"runtime/metrics"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	// heapSlack is what three replicas may know more after an attack than before:
	// archives of batches, 32 MiB each, and caches of verified signatures, of keys
	// and of pages.
	heapSlack = 192 << 20
	// peakSlack is what an attack may make the process take at any moment, all
	// queues of three replicas and of the attackers included.
	peakSlack = 640 << 20
	// goroutineSlack covers connections that come and go by themselves.
	goroutineSlack = 16
)

// gauge is how large the process is.
type gauge struct {
	goroutines int
	heap       uint64
}

// measure collects garbage first.
func measure() gauge {
	runtime.GC()
	return gauge{goroutines: runtime.NumGoroutine(), heap: heapBytes()}
}

func heapBytes() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// restored waits until the process is as large as it was.
func (g gauge) restored(t *testing.T) {
	t.Helper()
	var now gauge
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		now = measure()
		if now.goroutines <= g.goroutines+goroutineSlack && now.heap <= g.heap+heapSlack {
			return
		}
		if time.Now().After(deadline) {
			var stacks strings.Builder
			_ = pprof.Lookup("goroutine").WriteTo(&stacks, 1)
			t.Fatalf("after the attack: %s, before it: %s\n%.8000s", now, g, stacks.String())
		}
		<-tick.C
	}
}

// settles waits until goroutines neither come nor go for some while: all links are
// up, or a level would be taken that never was one.
func settles(t *testing.T) {
	t.Helper()
	const still = 40 // polls
	from, polls := runtime.NumGoroutine(), 0
	await(t, "the number of goroutines settles", func() bool {
		now := runtime.NumGoroutine()
		if polls++; now > from+goroutineSlack/4 || now < from-goroutineSlack/4 {
			from, polls = now, 0
		}
		return polls >= still
	})
}

// String returns the gauge in words.
func (g gauge) String() string {
	return fmt.Sprintf("%d goroutines, %d MiB in use", g.goroutines, g.heap>>20)
}

// memoryWatch remembers the most memory that was in use.
type memoryWatch struct {
	most atomic.Uint64
	stop func()
}

// watchMemory looks at the memory in use until bounded is called.
func watchMemory(t *testing.T) *memoryWatch {
	t.Helper()
	w := &memoryWatch{}
	done := make(chan struct{})
	var ended sync.WaitGroup
	ended.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			w.most.Store(max(w.most.Load(), heapBytes()))
			select {
			case <-tick.C:
			case <-done:
				return
			}
		}
	})
	w.stop = sync.OnceFunc(func() {
		close(done)
		ended.Wait()
	})
	t.Cleanup(w.stop)
	return w
}

func (w *memoryWatch) bounded(t *testing.T, before gauge) {
	t.Helper()
	w.stop()
	if most := w.most.Load(); most > before.heap+peakSlack {
		t.Errorf("the attack made the process take %d MiB, %d MiB more than before, want at most %d MiB more",
			most>>20, (most-before.heap)>>20, peakSlack>>20)
	}
}
