package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
	"sync"

	"github.com/quorate/quorate/test/cluster"
)

// profile is the processor profile of this process, while one is written. Any
// goroutine may call its methods.
type profile struct {
	mu   sync.Mutex
	file *os.File // nil while none is written
}

// begin begins to write a profile into a new file.
func (p *profile) begin(path string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.file != nil {
		return errors.New("a profile is being written")
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return errors.Join(err, f.Close())
	}
	p.file = f
	return nil
}

// end ends the profile that is written, and returns when its file is whole.
func (p *profile) end() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.file == nil {
		return errors.New("no profile is being written")
	}
	pprof.StopCPUProfile()
	err := p.file.Close()
	p.file = nil
	return err
}

// profileAll begins profiles of this process, and of the replicas of a cluster that
// it started, in a directory. end ends them. running is nil where the replicas are
// others' processes.
func profileAll(ctx context.Context, running *cluster.Cluster, dir string) (end func() error, err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // profiles are no secret
		return nil, err
	}
	load := &profile{}
	if err := load.begin(filepath.Join(dir, "load.pprof")); err != nil {
		return nil, err
	}
	if running == nil {
		return load.end, nil
	}
	begun := make(map[int]int) // processes, by replica
	for _, id := range running.Live() {
		if err := running.StartProfile(ctx, int(id), filepath.Join(dir, fmt.Sprintf("r%d.pprof", id))); err != nil {
			return nil, errors.Join(err, load.end()) // the replicas end with the run
		}
		begun[int(id)] = running.PID(int(id))
	}
	return func() error { return errors.Join(load.end(), endProfiles(ctx, running, begun)) }, nil
}

// endProfiles ends those that were begun by processes of replicas. One that has been
// killed leaves none, also where another took its place.
func endProfiles(ctx context.Context, running *cluster.Cluster, begun map[int]int) error {
	var errs []error
	for _, id := range running.Live() {
		if running.PID(int(id)) == begun[int(id)] {
			errs = append(errs, running.EndProfile(ctx, int(id)))
		}
	}
	return errors.Join(errs...)
}

// goroutinesOf sums those of the replicas that run.
func goroutinesOf(ctx context.Context, running *cluster.Cluster) (sum int64) {
	for _, id := range running.Live() {
		if s, err := running.Stats(ctx, int(id)); err == nil { // or it was killed just now
			sum += int64(s.Goroutines)
		}
	}
	return sum
}
