package processors

import (
	"testing"
	"time"
)

// TestWhatTheSystemSays is read as it is documented, and nothing else is taken for it.
func TestWhatTheSystemSays(t *testing.T) {
	times, ok := machineTimes("cpu  1 2 4 800 1600 8 16 32 64 128\ncpu0 7 7 7 7 7 7 7 7 7 7\n")
	if want := (Times{Used: 630 * time.Millisecond, All: 24630 * time.Millisecond}); !ok || times != want {
		t.Errorf("got %v, %v, want %v", times, ok, want)
	}
	for _, text := range []string{"", "cpu 1 2 3", "cpu0 1 2 3 4 5 6 7 8", "cpu 1 2 3 4 5 6 7 x 9"} {
		if times, ok := machineTimes(text); ok {
			t.Errorf("%q: got %v", text, times)
		}
	}
	took, ok := processTime([]byte("7 (a) b (c) S 1 7 7 0 -1 0 1 2 3 4 100 23 5 6 20 0\n"))
	if want := 1230 * time.Millisecond; !ok || took != want {
		t.Errorf("got %v, %v, want %v", took, ok, want)
	}
	for _, text := range []string{"", ")", "7 (a) S 1 7", "7 (a) S 1 7 7 0 -1 0 1 2 3 4 x 23 5"} {
		if took, ok := processTime([]byte(text)); ok {
			t.Errorf("%q: got %v", text, took)
		}
	}
}
