package bench

import (
	"context"
	"time"
)

// levelsMax bounds the levels of one run, and levelEvery is the shortest time
// between two.
const (
	levelsMax  = 240
	levelEvery = time.Second
)

// Level is what the processes of the replicas hold at one moment, all together. Over
// a long run it must not grow.
type Level struct {
	At       int   `json:"second"`         // of the measured time
	Resident int64 `json:"resident_bytes"` // memory, and files that are mapped there
	Own      int64 `json:"memory_bytes"`   // of those what no file has
	Threads  int64 `json:"threads"`
	// Goroutines are 0 where the processes do not tell them.
	Goroutines int64 `json:"goroutines"`
	Files      int64 `json:"open_files"` // and connections
	Disk       int64 `json:"disk_bytes"` // in Options.Dir
}

// watchLevels notes levels while the load is measured, if the replicas run here.
func (l *load) watchLevels(ctx context.Context, from, to time.Time) (levels []Level) {
	every := max(levelEvery, to.Sub(from)/levelsMax)
	for at := from; !at.After(to) && ctx.Err() == nil; at = at.Add(every) {
		await(ctx, at)
		if level, ok := levelNow(l.processes(), l.o.Dir); ok {
			level.At = int(at.Sub(from) / time.Second)
			if l.o.Goroutines != nil {
				level.Goroutines = l.o.Goroutines(ctx)
			}
			levels = append(levels, level)
		}
	}
	return levels
}
