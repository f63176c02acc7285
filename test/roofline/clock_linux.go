package roofline

import (
	"time"

	"golang.org/x/sys/unix"
)

// threadTime and processTime return the processor time of the calling thread, and
// of this process.
func threadTime() time.Duration { return clock(unix.CLOCK_THREAD_CPUTIME_ID) }

func processTime() time.Duration { return clock(unix.CLOCK_PROCESS_CPUTIME_ID) }

func clock(id int32) time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(id, &t) // these clocks are always there
	return time.Duration(t.Nano())
}
