package bench

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// levelNow reads what processes hold, and how much is in dir. Processes that have
// ended hold nothing.
func levelNow(processes []int, dir string) (sum Level, ok bool) {
	for _, pid := range processes {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			continue
		}
		files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
		if err != nil {
			continue
		}
		ok = true
		sum.Resident += statusField(string(text), "VmRSS:") << 10
		sum.Own += statusField(string(text), "RssAnon:") << 10
		sum.Threads += statusField(string(text), "Threads:")
		sum.Files += int64(len(files))
	}
	if dir != "" {
		sum.Disk = sizeOf(dir)
	}
	return sum, ok
}

// written returns how many bytes processes have had written to disks, by proc_pid_io(5).
// It does not know if there are none, or one has ended.
func written(processes []int) (sum int64, ok bool) {
	for _, pid := range processes {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
		if err != nil {
			return 0, false
		}
		_, rest, _ := strings.Cut(string(text), "\nwrite_bytes: ")
		line, _, _ := strings.Cut(rest, "\n")
		n, err := strconv.ParseInt(line, 10, 64)
		if err != nil {
			return 0, false
		}
		sum += n
	}
	return sum, len(processes) > 0
}

// statusField returns a number of proc_pid_status(5), or 0: memory is in kB.
func statusField(text, name string) int64 {
	_, rest, _ := strings.Cut(text, "\n"+name)
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	n, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// sizeOf sums the files below dir. Those that go meanwhile have no size.
func sizeOf(dir string) (sum int64) {
	_ = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return nil //nolint:nilerr // what cannot be read is left out
		}
		if info, err := entry.Info(); err == nil {
			sum += info.Size()
		}
		return nil
	})
	return sum
}
