package main

import (
	"runtime"
	"testing"
)

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
