package main

import "runtime/debug"

// collectorPercent is how much a program's memory may grow, in percent of what is in
// use, before it is collected; the runtime's own choice is 100. A loaded replica makes
// garbage with every message and has little in use, some ten megabytes: with four
// times that much it spends an eighth less processor time.
const collectorPercent = 300

// memoryMax is how far that goes: beyond it the collector comes as often as it takes.
// A window full of large batches is some hundred megabytes, and four times that would
// be most of a small machine.
const memoryMax = 1 << 30

// relaxCollector has the collector come more seldom, as long as there is little in
// use, unless the environment says how often (GOGC) and up to where (GOMEMLIMIT).
func (c *console) relaxCollector() {
	if c.env("GOGC") == "" {
		debug.SetGCPercent(collectorPercent)
	}
	if c.env("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryMax)
	}
}
