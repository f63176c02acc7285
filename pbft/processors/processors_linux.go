package processors

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of times in /proc: the kernel's USER_HZ, which is 100 on
// every architecture that Go runs on.
const clockTick = 10 * time.Millisecond

// Process returns the time in user and kernel mode of a process; false, if it has none.
func Process(pid int) (time.Duration, bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, false
	}
	return processTime(text)
}

// processTime reads fields 14 and 15 of proc_pid_stat(5). The name before them may hold
// anything, up to the last parenthesis.
func processTime(text []byte) (time.Duration, bool) {
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 13 {
		return 0, false
	}
	user, userErr := strconv.ParseInt(fields[11], 10, 64)
	system, systemErr := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * clockTick, userErr == nil && systemErr == nil
}

// Machine returns the times of the machine; false, if the system does not say.
func Machine() (Times, bool) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return Times{}, false
	}
	return machineTimes(string(text))
}

// machineTimes reads the first line of proc_stat(5): user, nice, system, idle, iowait,
// irq, softirq, steal of all processors together.
func machineTimes(text string) (t Times, ok bool) {
	line, _, _ := strings.Cut(text, "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return Times{}, false
	}
	for i, f := range fields[1:9] {
		ticks, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return Times{}, false
		}
		t.All += time.Duration(ticks) * clockTick
		if i != 3 && i != 4 {
			t.Used += time.Duration(ticks) * clockTick
		}
	}
	return t, true
}
