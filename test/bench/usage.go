package bench

import (
	"os"
	"slices"
	"time"

	"github.com/quorate/quorate/pbft/processors"
)

// Usage is the processor time that the operations cost, where the system tells.
// Together with what others took it shows whether a figure is the cluster's or
// that of a machine with other work.
type Usage struct {
	Known bool `json:"known"`
	// Replicas and Load are processor time for each operation: of all replicas
	// together, if they are processes of this machine, and of the clients.
	Replicas time.Duration `json:"replicas_per_operation_ns"`
	Load     time.Duration `json:"load_per_operation_ns"`
	// Each is the part of each replica in that, in the order of Options.Processes.
	Each []time.Duration `json:"each_replica_per_operation_ns"`
	// Idle is the share of the machine that did nothing, and Others the share that
	// other programs took, 0 to 1.
	Idle   float64 `json:"machine_idle_share"`
	Others float64 `json:"machine_others_share"`
}

// usage is processor time since some time in the past.
type usage struct {
	known     bool
	processes []int           // of the replicas
	replicas  []time.Duration // of each of them
	load      time.Duration
	machine   processors.Times
}

func usageBetween(before, after usage, operations int64) Usage {
	u := Usage{Known: before.known && after.known && operations > 0 && slices.Equal(before.processes, after.processes)}
	if !u.Known {
		return u
	}
	n, replicas, load := time.Duration(operations), time.Duration(0), after.load-before.load
	for i := range after.replicas {
		took := after.replicas[i] - before.replicas[i]
		replicas += took
		u.Each = append(u.Each, took/n)
	}
	u.Replicas, u.Load = replicas/n, load/n
	if passed := after.machine.All - before.machine.All; passed > 0 {
		busy := after.machine.Used - before.machine.Used
		u.Idle = max(0, 1-float64(busy)/float64(passed))
		u.Others = max(0, float64(busy-replicas-load)/float64(passed))
	}
	return u
}

// usageNow reads what this process, those of the replicas and the machine have
// used.
func usageNow(replicas []int) usage {
	u := usage{known: true, processes: slices.Clone(replicas)}
	var ok bool
	if u.load, ok = processors.Process(os.Getpid()); !ok {
		return usage{}
	}
	for _, pid := range replicas {
		t, ok := processors.Process(pid)
		if !ok {
			return usage{}
		}
		u.replicas = append(u.replicas, t)
	}
	if u.machine, ok = processors.Machine(); !ok {
		return usage{}
	}
	return u
}
