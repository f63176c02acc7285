package sim

import (
	"testing"

	"github.com/quorate/quorate/pbft/wire"
)

// TestHiddenCertificateIsFound covers what a view change may leave out, and what
// it may not.
func TestHiddenCertificateIsFound(t *testing.T) {
	change := func(stable wire.Seq, prepared ...wire.PreparedCert) *wire.ViewChange {
		return &wire.ViewChange{View: 5, Sender: 1, Stable: wire.CheckpointCert{Seq: stable}, Prepared: prepared}
	}
	for name, c := range map[string]struct {
		vc   *wire.ViewChange
		want wire.Seq
	}{
		"shown":          {change(0, wire.PreparedCert{Seq: 7, View: 3}), 0},
		"shown higher":   {change(0, wire.PreparedCert{Seq: 7, View: 4}), 0},
		"hidden":         {change(0), 7},
		"another number": {change(0, wire.PreparedCert{Seq: 8, View: 3}), 7},
		"an older one":   {change(0, wire.PreparedCert{Seq: 7, View: 2}), 7},
		"below stable":   {change(7), 0},
	} {
		p := promises{}
		p.commit(wire.Vote{View: 3, Seq: 7, Sender: 1})
		p.commit(wire.Vote{View: 1, Seq: 7, Sender: 1})
		p.commit(wire.Vote{View: 1, Seq: 9, Sender: 2})
		if got := p.hidden(c.vc); got != c.want {
			t.Errorf("%s: got %d, want %d", name, got, c.want)
		}
	}
}
