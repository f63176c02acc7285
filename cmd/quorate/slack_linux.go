package main

import (
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// timerSlack is how much later than it asked for the kernel may wake a thread of a
// replica. Whenever a process is not wholly idle, a thread of Go's runtime sleeps for 20
// microseconds and looks around, again and again; with the 50 that the kernel grants by
// itself that is a fifth of the processor time of a replica with little to do, in a virtual
// machine. No wait of a replica is so short that this were late for it.
const timerSlack = 500 * time.Microsecond

// slackVariable names the environment variable that says that the slack is as it shall be.
const slackVariable = "QUORATE_TIMER_SLACK"

// relaxTimers gives all threads of this process that slack, unless slackVariable is in the
// environment. The runtime's own thread runs already, with what the program was started
// with: so the program is started again, in the same process. Where that is not possible
// it goes on as it is.
func relaxTimers() {
	if os.Getenv(slackVariable) != "" {
		return
	}
	path, err := os.Executable()
	if err != nil {
		return
	}
	runtime.LockOSThread() // the slack is a thread's, and goes on with the one that starts the program
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(timerSlack.Nanoseconds()), 0, 0, 0); err != nil {
		return
	}
	env := append(os.Environ(), slackVariable+"="+timerSlack.String())
	_ = syscall.Exec(path, os.Args, env) //nolint:gosec // it is this program
}
