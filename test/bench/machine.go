package bench

import (
	"cmp"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/quorate/quorate/test/roofline"
)

// unknown stands for what the system does not tell.
const unknown = "unknown"

// Machine is what a measurement ran on.
type Machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"` // that programs may use, all together
	Kernel string `json:"kernel"`
}

// ThisMachine describes the machine, as far as it can be read.
func ThisMachine() Machine {
	return Machine{CPU: cpuName(), Cores: roofline.Cores(), Kernel: kernel()}
}

// cpuName returns what the processor calls itself.
func cpuName() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func kernel() string {
	text, _ := os.ReadFile("/proc/sys/kernel/osrelease") // empty on an error
	return runtime.GOOS + " " + cmp.Or(strings.TrimSpace(string(text)), unknown)
}

// FileSystem returns the kind of the file system that holds dir.
func FileSystem(dir string) string {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return unknown
	}
	if real, err := filepath.EvalSymlinks(abs); err == nil {
		abs = real
	}
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return unknown
	}
	return mountOf(abs, string(text))
}

// mountOf returns the kind of the mount that holds path: the last of those with
// the longest mount point, for a later mount covers an earlier one. See
// proc_pid_mountinfo(5): the mount point is field 5, and the kind follows the
// separator.
func mountOf(path, mountinfo string) string {
	kind, longest := unknown, -1
	for line := range strings.Lines(mountinfo) {
		front, back, ok := strings.Cut(line, " - ")
		fields, kinds := strings.Fields(front), strings.Fields(back)
		if !ok || len(fields) < 5 || len(kinds) < 1 {
			continue
		}
		point := strings.ReplaceAll(fields[4], `\040`, " ")
		below := point == "/" || path == point || strings.HasPrefix(path, point+"/")
		if below && len(point) >= longest {
			kind, longest = kinds[0], len(point)
		}
	}
	return kind
}
