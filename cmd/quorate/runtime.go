package main

import (
	"runtime"
	"runtime/debug"
)

// collectorPercent is how much a program's memory may grow, in percent of what is in
// use, before it is collected; the runtime's own choice is 100. A loaded replica makes
// garbage with every message and has little in use, some ten megabytes: with four
// times that much it spends an eighth less processor time.
const collectorPercent = 300

// memoryMax is how far that goes for a replica: beyond it the collector comes as often
// as it takes. A window full of large batches is some hundred megabytes, and four times
// that would be most of a small machine.
const memoryMax = 1 << 30

// loadMemoryMax is how far it goes for a load of so many clients, each of which has a
// connection to every replica: a limit below what they need has the collector take half
// of the load's processor time, and the replicas wait for it.
func loadMemoryMax(clients int) int64 { return memoryMax + int64(clients)<<21 }

// relaxCollector has the collector come more seldom, as long as there is little in
// use, unless the environment says how often (GOGC) and up to where (GOMEMLIMIT): else
// up to limit.
func (c *console) relaxCollector(limit int64) {
	if c.env("GOGC") == "" {
		debug.SetGCPercent(collectorPercent)
	}
	if c.env("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(limit)
	}
}

// processorsMin is how many processors a replica takes at least, also where the machine
// has fewer: with one, the runtime lets what the database does in the background have ten
// milliseconds at every turn, while votes wait; the kernel is fairer to threads.
const processorsMin = 2

// takeProcessors has a replica use that many, unless the environment says how many
// (GOMAXPROCS).
func (c *console) takeProcessors() {
	if c.env("GOMAXPROCS") == "" && runtime.GOMAXPROCS(0) < processorsMin {
		runtime.GOMAXPROCS(processorsMin)
	}
}
