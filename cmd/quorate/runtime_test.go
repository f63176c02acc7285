package main

import (
	"runtime"
	"runtime/debug"
	"testing"
)

// TestLoadsOfManyClientsHaveMemory: as many as a benchmark takes need more than a replica
// has, and the environment still has the last word.
func TestLoadsOfManyClientsHaveMemory(t *testing.T) {
	percent, limit := debug.SetGCPercent(-1), debug.SetMemoryLimit(-1)
	defer func() {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
	}()
	for _, v := range []struct {
		env     string
		clients int
		want    int64
	}{
		{"", 0, memoryMax}, {"", 16, memoryMax + 32<<20}, {"", 1000, memoryMax + 2000<<20}, {"2GiB", 1000, limit},
	} {
		debug.SetMemoryLimit(limit)
		c := &console{env: func(name string) string { return map[string]string{"GOMEMLIMIT": v.env}[name] }}
		c.relaxCollector(loadMemoryMax(v.clients))
		if got := debug.SetMemoryLimit(-1); got != v.want {
			t.Errorf("with %d clients and GOMEMLIMIT=%q the limit is %d, want %d", v.clients, v.env, got, v.want)
		}
	}
}

// TestReplicaTakesTwoProcessors: at least so many, unless the environment says otherwise.
func TestReplicaTakesTwoProcessors(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, v := range []struct {
		env       string
		had, want int
	}{
		{"", 1, 2}, {"", 2, 2}, {"", 3, 3}, {"1", 1, 1},
	} {
		runtime.GOMAXPROCS(v.had)
		c := &console{env: func(name string) string { return map[string]string{"GOMAXPROCS": v.env}[name] }}
		c.takeProcessors()
		if got := runtime.GOMAXPROCS(0); got != v.want {
			t.Errorf("with %d processors and GOMAXPROCS=%q it uses %d, want %d", v.had, v.env, got, v.want)
		}
	}
}
