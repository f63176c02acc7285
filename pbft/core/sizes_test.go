package core

import (
	"reflect"
	"strings"
	"testing"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// raise makes every size in s at least that in other.
func (s *Sizes) raise(other Sizes) {
	to, from := reflect.ValueOf(s).Elem(), reflect.ValueOf(other)
	for i := range to.NumField() {
		for k := range to.Field(i).NumField() {
			to.Field(i).Field(k).SetInt(max(to.Field(i).Field(k).Int(), from.Field(i).Field(k).Int()))
		}
	}
}

// empty names the structures without entries.
func (s Sizes) empty() []string {
	var names []string
	v := reflect.ValueOf(s)
	for i := range v.NumField() {
		if v.Field(i).Field(0).IsZero() {
			names = append(names, v.Type().Field(i).Name)
		}
	}
	return names
}

func TestOverComparesEverySize(t *testing.T) {
	var s Sizes
	fields := reflect.ValueOf(&s).Elem()
	for i := range fields.NumField() {
		for k := range fields.Field(i).NumField() {
			s = Sizes{}
			fields.Field(i).Field(k).SetInt(7)
			if over := s.Over(Sizes{}); len(over) != 1 || !strings.Contains(over[0], "7") {
				t.Errorf("%s: got %q, want one excess of 7", fields.Type().Field(i).Name, over)
			}
			if over := s.Over(s); len(over) != 0 {
				t.Errorf("%s: got %q at the bound, want nothing", fields.Type().Field(i).Name, over)
			}
		}
	}
}

// Others withhold the proofs of checkpoints from a replica and send it batches
// with their certificates: it stops a few windows on, and the proof frees it.
func TestBatchesWithoutCheckpointsAreBounded(t *testing.T) {
	q, _ := NewQuorum(4)
	cfg := DefaultConfig(3, q)
	cfg.Interval, cfg.Window, cfg.ArchiveBytesMax = 4, 8, 4000
	r, err := New(cfg, Restored{})
	if err != nil {
		t.Fatal(err)
	}
	var fx Effects
	r.Step(Start{1}, &fx)
	signers := []wire.Signed{{Sender: 0}, {Sender: 1}, {Sender: 2}}
	feed := func(n int) {
		batch := &wire.Batch{Time: wire.Time(n), Requests: []*wire.Request{requestOf(1, 1, wire.Number(n))}}
		cert := wire.CommitCert{Seq: wire.Seq(n), Digest: batch.Digest(), Commits: signers}
		r.Step(Received{From: 1, Message: wire.Reseal(&wire.Committed{Cert: cert, Batch: batch})}, &fx)
		if n%4 == 0 {
			r.Step(Snapshotted{wire.Seq(n), crypto.Sum([]byte{byte(n)})}, &fx)
		}
	}
	most := 8 * slotWindowsMax
	for n := 1; n <= 2*most; n++ {
		feed(n)
	}
	if over := r.Sizes().Over(cfg.Bounds(wire.DefaultLimits(4))); len(over) > 0 || int(r.Executed()) != most {
		t.Fatalf("executed %d without a checkpoint, want %d; %q", r.Executed(), most, over)
	}
	cert := wire.CheckpointCert{Seq: 20, State: crypto.Sum([]byte{20}), Signers: signers}
	r.Step(Received{From: 1, Message: wire.Reseal(&wire.StableProof{Cert: cert})}, &fx)
	feed(most + 1)
	if r.Executed() != r.Stable().Seq+5 || r.Stable().Seq != 20 {
		t.Errorf("executed %d above %d, want 25 above 20", r.Executed(), r.Stable().Seq)
	}
	if got := r.Sizes().Archive; got.Bytes > 4000 || got.Entries == 0 {
		t.Errorf("got %d archived of %d bytes, want some, of at most 4000", got.Entries, got.Bytes)
	}
}
