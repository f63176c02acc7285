package core

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// sameEffects requires that two replicas asked for the same.
func sameEffects(t *rapid.T, where string, want, got *Effects) {
	if reflect.DeepEqual(want, got) {
		return
	}
	t.Fatalf("%s: (-want +got)\n%s", where, cmp.Diff(tellEffects(want), tellEffects(got)))
}

func tellEffects(fx *Effects) []string {
	var out []string
	for _, rec := range fx.Persist {
		out = append(out, "persist "+tellRecord(rec))
	}
	for _, s := range fx.Send {
		m := s.Message
		if s.Sealed != nil {
			m = s.Sealed.Message()
		}
		out = append(out, fmt.Sprintf("send to %d sealed %v: %s %x", s.To, s.Sealed != nil, m.Kind(), wire.Encode(m)))
	}
	for _, o := range fx.Observe {
		out = append(out, Describe(o))
	}
	for _, ex := range fx.Execute {
		out = append(out, fmt.Sprintf("execute %d %s %d orders", ex.Seq, ex.Digest.Short(), len(ex.Orders)))
	}
	return append(out, fmt.Sprint(fx.Answer, fx.Refuse, fx.Stable, fx.Fetch))
}

// tellRecord says a record without the own signatures: a record is written
// before its message is signed.
func tellRecord(rec Record) string {
	switch rec := rec.(type) { //nolint:gochecksumtype // the others are as they print
	case AcceptedRecord:
		pp := *rec.PrePrepare
		whole := pp.Batch != nil
		return fmt.Sprintf("accepted v%d n%d %s by %d, batch %v", pp.View, pp.Seq, pp.Digest.Short(), pp.Sender, whole)
	case BatchRecord:
		return fmt.Sprintf("batch n%d %s", rec.Seq, rec.Batch.Digest().Short())
	case PreparedRecord:
		return fmt.Sprintf("prepared %+v", rec.Cert)
	case CommittedRecord:
		return fmt.Sprintf("committed %+v", rec.Cert)
	case ViewChangeRecord:
		vc := rec.ViewChange
		return fmt.Sprintf("view change of %d for %d: %s", vc.Sender, vc.View, vc.Digest())
	case NewViewRecord:
		nv := *rec.NewView
		nv.Signature, nv.Choices = crypto.Signature{}, slices.Clone(nv.Choices)
		for i := range nv.Choices {
			nv.Choices[i].Signature = crypto.Signature{}
		}
		return fmt.Sprintf("new view %+v", nv)
	default:
		return fmt.Sprintf("%T %+v", rec, rec)
	}
}

// tellBase says what a replica must not forget, in a fixed order. Between views
// the view changes of others are not its to keep.
func tellBase(r *Replica) []string {
	seen := map[string]bool{}
	for _, rec := range r.Base() {
		if vc, ok := rec.(ViewChangeRecord); ok && !r.active && vc.ViewChange.Sender != r.id {
			continue
		}
		if a, ok := rec.(AcceptedRecord); ok { // its batch is kept as well
			seen[tellRecord(BatchRecord{a.PrePrepare.Seq, a.PrePrepare.Batch})] = true
		}
		seen[tellRecord(rec)] = true
	}
	var out []string
	for text := range seen {
		out = append(out, text)
	}
	slices.Sort(out)
	return out
}

// TestRecordsRestoreTheLiveReplica crashes a replica after random steps: what
// its records and its last snapshot restore is what it was.
func TestRecordsRestoreTheLiveReplica(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newSwarm(t)
		s.after = func(m *member, ev Event, _ *Effects) {
			if s.rng.IntN(40) > 0 || len(m.todo) > 0 {
				return
			}
			r := revived(t, m, m.journal)
			if d := cmp.Diff(tellBase(m.r), tellBase(r)); d != "" {
				t.Fatalf("R%d after %T: the records restore another replica (-live +restored)\n%s", m.id, ev, d)
			}
			if r.view != m.r.view || r.active != m.r.active || r.low != m.r.low ||
				r.active && r.primary() == r.id && r.next != m.r.next {
				t.Fatalf("R%d after %T: restored view %d %v, low %d, next %d; want %d %v, %d, %d",
					m.id, ev, r.view, r.active, r.low, r.next, m.r.view, m.r.active, m.r.low, m.r.next)
			}
		}
		run(t, s)
	})
}

// TestBaseRestoresTheSameReplica restores a replica from its records and
// another from the base of that one: they behave alike.
func TestBaseRestoresTheSameReplica(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newSwarm(t)
		s.after = func(m *member, _ Event, _ *Effects) {
			if s.rng.IntN(150) > 0 || len(m.todo) > 0 {
				return
			}
			one := revived(t, m, m.journal)
			two := revived(t, m, one.Base())
			one.archive.clear() // the base does without what is collected, and no memory of it must survive
			if d := cmp.Diff(tellBase(one), tellBase(two)); d != "" {
				t.Fatalf("R%d: (-records +base)\n%s", m.id, d)
			}
			s.compare(t, m, one, two)
		}
		run(t, s)
	})
}

// TestEveryPrefixOfTheRecordsRestores cuts the records after every one of a
// step: a crash in the middle of a flush leaves a replica that starts, and whose
// base restores it again.
func TestEveryPrefixOfTheRecordsRestores(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newSwarm(t)
		s.after = func(m *member, ev Event, fx *Effects) {
			if len(fx.Persist) < 2 || s.rng.IntN(4) > 0 {
				return
			}
			durable := len(m.journal) - len(fx.Persist)
			for cut := durable; cut <= len(m.journal); cut++ {
				one := revived(t, m, m.journal[:cut])
				var effects Effects
				one.Step(Start{s.now}, &effects)
				for _, slot := range one.slots {
					if pp := slot.proposal; pp != nil && pp.Batch == nil && slot.body(pp.Digest) != nil {
						t.Fatalf("R%d after %T, cut %d of %d: it waits for the batch of %d, which it holds",
							m.id, ev, cut-durable, len(fx.Persist), slot.seq)
					}
				}
				two := revived(t, m, append(slices.Clone(m.journal[:cut]), effects.Persist...))
				if d := cmp.Diff(tellBase(one), tellBase(two)); d != "" {
					t.Fatalf("R%d after %T, cut %d of %d: (-started +restored again)\n%s",
						m.id, ev, cut-durable, len(fx.Persist), d)
				}
			}
		}
		run(t, s)
	})
}

// TestStatusNamesNoEmptySlot restores a replica that left a view in which it had voted
// for the null batch alone, and one whose window came to a number that its new view
// carried over: in their memory is a slot, or none, of which they know nothing. What
// the base of each restores tells its peers the same.
func TestStatusNamesNoEmptySlot(t *testing.T) {
	q, err := NewQuorumWithFaults(4, 1)
	if err != nil {
		t.Fatal(err)
	}
	cfg := DefaultConfig(1, q)
	cfg.Interval, cfg.Window, cfg.BatchRequestsMax = 2, 4, 3
	null := wire.Vote{View: 1, Seq: 1, Digest: wire.NullDigest(), Sender: 1}
	opened := &wire.NewView{View: 1, Sender: 1}
	for range 6 {
		opened.Choices = append(opened.Choices, wire.Choice{
			Seq: wire.Seq(len(opened.Choices) + 1), Digest: crypto.Sum([]byte("elsewhere")), //nolint:gosec // few
		})
	}
	for name, records := range map[string][]Record{
		"the null batch of a left view": {
			ViewRecord{1, true}, AcceptedRecord{&wire.PrePrepare{Vote: null, Batch: wire.NullBatch()}}, ViewRecord{2, false},
		},
		"carried over, above the window at first": {
			NewViewRecord{opened}, ViewRecord{1, true}, ReservationRecord{1, 40}, StableRecord{wire.CheckpointCert{Seq: 2}},
		},
	} {
		one, err := New(cfg, Restored{Records: records})
		if err != nil {
			t.Fatal(err)
		}
		two, err := New(cfg, Restored{Records: one.Base()})
		if err != nil {
			t.Fatal(err)
		}
		var want, got Effects
		one.Step(Start{1}, &want)
		two.Step(Start{1}, &got)
		if d := cmp.Diff(tellEffects(&want), tellEffects(&got)); d != "" {
			t.Errorf("%s: (-records +base)\n%s", name, d)
		}
	}
}

func run(t *rapid.T, s *swarm) {
	for range rapid.IntRange(300, 1000).Draw(t, "steps") {
		s.chance()
	}
	if s.problem != "" {
		t.Fatal(s.problem)
	}
}

func revived(t *rapid.T, m *member, records []Record) *Replica {
	r, err := New(m.config(), Restored{Snapshot: m.snapshot, Records: records})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// compare gives two replicas the same events. What is only answered from view changes
// of others is left out: that is no memory that must survive.
func (s *swarm) compare(t *rapid.T, m *member, one, two *Replica) {
	events := []Event{Start{s.now}}
	for i := range 40 {
		if i%3 == 0 || len(s.queue) == 0 {
			events = append(events, Tick{s.now + wire.Time(i)*1e7})
			continue
		}
		p := s.queue[s.rng.IntN(len(s.queue))]
		if _, ask := p.sealed.Message().(*wire.FetchViewChange); !ask {
			events = append(events, Received{From: p.from, Message: p.sealed}, TurnEnded{})
		}
	}
	for i, ev := range events {
		var a, b Effects
		one.Step(ev, &a)
		two.Step(ev, &b)
		sameEffects(t, fmt.Sprintf("R%d, event %d: %T (records, base)", m.id, i, ev), &a, &b)
	}
}

// TestLostSnapshotIsFetchedAtOnce restores a replica whose state is lost, within two windows,
// and not its journal: batches that are below its stable checkpoint are of no use to it.
func TestLostSnapshotIsFetchedAtOnce(t *testing.T) {
	q, err := NewQuorum(31)
	if err != nil {
		t.Fatal(err)
	}
	cfg := DefaultConfig(3, q)
	cert := wire.CheckpointCert{Seq: 2 * cfg.Interval, State: crypto.Sum([]byte("lost"))}
	r, err := New(cfg, Restored{Records: []Record{StableRecord{cert}}})
	if err != nil {
		t.Fatal(err)
	}
	var fx Effects
	r.Step(Start{1}, &fx)
	for range cfg.CatchUpTicks {
		r.Step(Tick{1}, &fx)
	}
	if len(fx.Fetch) != 1 || fx.Fetch[0].Cert.Seq != cert.Seq {
		t.Errorf("after %d ticks it fetches %v, want the state of %d", cfg.CatchUpTicks, fx.Fetch, cert.Seq)
	}
}
