package processors

import (
	"os"
	"runtime"
	"testing"
	"time"
)

// TestWhatIsBusy: next to nothing is left, and this process has its part in that.
func TestWhatIsBusy(t *testing.T) {
	const second = time.Second
	for name, one := range map[string]struct {
		machine Times
		own     time.Duration
		want    bool
	}{
		"all used, by this process":  {Times{second, second}, second, true},
		"as much as is busy":         {Times{850, 1000}, 50, true},
		"something left":             {Times{849, 1000}, 500, false},
		"all used, by others":        {Times{second, second}, 49 * time.Millisecond, false},
		"no time has passed":         {Times{}, 0, false},
		"a clock that went back":     {Times{-second, -second}, -second, false},
		"more used than time passed": {Times{2 * second, second}, second, true},
	} {
		if got := busy(one.machine, one.own); got != one.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

// TestTheFirstCallTellsNothing, and later ones of what was since.
func TestTheFirstCallTellsNothing(t *testing.T) {
	var m Meter
	if m.Busy() {
		t.Error("busy before anything was measured")
	}
	if runtime.GOOS != "linux" {
		return
	}
	if !m.begun || m.machine.All <= 0 || m.own < 0 {
		t.Errorf("remembers %+v", m)
	}
}

// TestTimesPass: this process uses its processor until what the system tells has grown.
func TestTimesPass(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the system tells nothing")
	}
	before, ok := Machine()
	own, ownOK := Process(os.Getpid())
	if !ok || !ownOK || before.Used <= 0 || before.Used > before.All {
		t.Fatalf("got %+v, %v and %v, %v", before, ok, own, ownOK)
	}
	for ownOK {
		now, ok := Machine()
		var took time.Duration
		took, ownOK = Process(os.Getpid())
		if ok && ownOK && took > own && now.Used > before.Used && now.All > before.All {
			return
		}
	}
	t.Error("the system tells no more")
}

// TestThereIsNoSuchProcess.
func TestThereIsNoSuchProcess(t *testing.T) {
	if took, ok := Process(-1); ok {
		t.Errorf("got %v", took)
	}
}
