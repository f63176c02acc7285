package bench

import (
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/quorate/quorate/pbft/processors"
	"github.com/quorate/quorate/test/roofline"
)

// TestUsageIsOfTheSameProcesses divides what each took among operations, and knows
// nothing where one was replaced.
func TestUsageIsOfTheSameProcesses(t *testing.T) {
	before := usage{
		known: true, processes: []int{7, 8}, replicas: []time.Duration{100, 200}, load: 50, machine: processors.Times{Used: 1000, All: 2000},
	}
	after := usage{
		known: true, processes: []int{7, 8}, replicas: []time.Duration{300, 250}, load: 150, machine: processors.Times{Used: 1500, All: 3000},
	}
	got := usageBetween(before, after, 10)
	if !got.Known || got.Replicas != 25 || !slices.Equal(got.Each, []time.Duration{20, 5}) || got.Load != 10 ||
		got.Idle != 0.5 || got.Others != 0.15 {
		t.Errorf("got %+v", got)
	}
	after.processes = []int{7, 9}
	if got := usageBetween(before, after, 10); got.Known {
		t.Errorf("got %+v of a process that was another before", got)
	}
}

// TestCoresAreThoseOfTheMachine has this program use one more than there are, and one: a
// limit of fewer cores than replicas and load have together would flatter.
func TestCoresAreThoseOfTheMachine(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	want := roofline.Cores()
	if want < 1 || want > runtime.NumCPU() {
		t.Errorf("got %d of %d processors", want, runtime.NumCPU())
	}
	for _, own := range []int{1, want + 1} {
		runtime.GOMAXPROCS(own)
		if got := ThisMachine().Cores; got != want || runtime.GOMAXPROCS(0) != own {
			t.Errorf("of a program that uses %d: got %d, and it uses %d then, want %d", own, got, runtime.GOMAXPROCS(0), want)
		}
	}
}
