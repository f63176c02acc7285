package bench

import (
	"slices"
	"testing"
	"time"
)

// TestUsageIsOfTheSameProcesses divides what each took among operations, and knows
// nothing where one was replaced.
func TestUsageIsOfTheSameProcesses(t *testing.T) {
	before := usage{
		known: true, processes: []int{7, 8}, replicas: []time.Duration{100, 200}, load: 50, machineBusy: 1000, machine: 2000,
	}
	after := usage{
		known: true, processes: []int{7, 8}, replicas: []time.Duration{300, 250}, load: 150, machineBusy: 1500, machine: 3000,
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
