package main

import "runtime/debug"

// collectorPercent is how much a program's memory may grow, in percent of what is in
// use, before it is collected; the runtime's own choice is 100. A loaded replica makes
// garbage with every message and has little in use, some ten megabytes: with four
// times that much it spends an eighth less processor time.
const collectorPercent = 300

// relaxCollector has the collector come more seldom, unless the environment says how
// often (GOGC).
func (c *console) relaxCollector() {
	if c.env("GOGC") == "" {
		debug.SetGCPercent(collectorPercent)
	}
}
