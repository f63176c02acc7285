package bench

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of times in /proc: the kernel's USER_HZ, which is 100 on
// every architecture that Go runs on.
const clockTick = 10 * time.Millisecond

// usageNow reads what this process, those of the replicas and the machine have
// used.
func usageNow(replicas []int) usage {
	u := usage{known: true, processes: slices.Clone(replicas)}
	var ok bool
	if u.load, ok = processTime(os.Getpid()); !ok {
		return usage{}
	}
	for _, pid := range replicas {
		t, ok := processTime(pid)
		if !ok {
			return usage{}
		}
		u.replicas = append(u.replicas, t)
	}
	if u.machineBusy, u.machine, ok = machineTime(); !ok {
		return usage{}
	}
	return u
}

// processTime returns the time in user and kernel mode of a process: fields 14
// and 15 of proc_pid_stat(5). The name before them may hold anything, up to the
// last parenthesis.
func processTime(pid int) (time.Duration, bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, false
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 13 {
		return 0, false
	}
	user, userErr := strconv.ParseInt(fields[11], 10, 64)
	system, systemErr := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * clockTick, userErr == nil && systemErr == nil
}

// machineTime returns the first line of proc_stat(5): user, nice, system, idle,
// iowait, irq, softirq, steal of all processors together.
func machineTime() (busy, all time.Duration, ok bool) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0, false
	}
	line, _, _ := strings.Cut(string(text), "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, 0, false
	}
	for i, f := range fields[1:9] {
		ticks, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, 0, false
		}
		all += time.Duration(ticks) * clockTick
		if i != 3 && i != 4 {
			busy += time.Duration(ticks) * clockTick
		}
	}
	return busy, all, true
}
