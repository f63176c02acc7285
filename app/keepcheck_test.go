package app_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/quorate/quorate/app"
	"github.com/quorate/quorate/app/kv"
)

// flawed is a notebook whose snapshots are not what they should be.
type flawed struct {
	notebook

	restore func(n *notebook, b []byte) error
}

func (f *flawed) Restore(b []byte) error { return f.restore(&f.notebook, b) }

var errBlank = errors.New("blank")

func TestReloadSaysWhatIsWrongWithSnapshots(t *testing.T) {
	for name, c := range map[string]struct {
		restore func(n *notebook, b []byte) error
		want    string
	}{
		"well":          {(*notebook).Restore, ""},
		"not restored":  {func(*notebook, []byte) error { return errBlank }, "cannot be restored: blank"},
		"half restored": {func(*notebook, []byte) error { return nil }, "gives another one"},
		"a panic":       {func(n *notebook, b []byte) error { return n.Restore(b[1:]) }, "panicked"},
	} {
		d := newDesk(t)
		d.machine = app.Keep(func() app.Snapshotter {
			return &flawed{notebook{map[string]string{}}, c.restore}
		})
		first := d.attempt([]byte("a b"), true)
		snapshot, kept, err := app.Reload(d.machine, d.store)
		if !kept || (err == nil) != (c.want == "") || (err != nil && !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: kept %v, %v, want %q", name, kept, err, c.want)
		}
		if (err == nil) != (len(snapshot) > 0) {
			t.Errorf("%s: %v with a snapshot of %d bytes", name, err, len(snapshot))
		}
		if second := d.attempt([]byte("c d"), true); first == second || !strings.Contains(second, "2 after 0") {
			t.Errorf("%s: goes on with %q after %q", name, second, first)
		}
	}
}

func TestReloadOfWhatIsNotKept(t *testing.T) {
	if _, kept, err := app.Reload(kv.Machine{}, app.NewMemory()); kept || err != nil {
		t.Errorf("kept %v, %v", kept, err)
	}
	proposing := app.Keep(func() app.Snapshotter { return &guarded{notebook{map[string]string{}}} })
	if _, kept, err := app.Reload(proposing, app.NewMemory()); !kept || err != nil {
		t.Errorf("with inputs: kept %v, %v", kept, err)
	}
}
