package core

import (
	"testing"

	"github.com/quorate/quorate/pbft/wire"
)

// TestWhoRejoinsHearsAQuorumOfOthersNow holds that the silence of a replica that lost its data
// is bounded only once q others have answered what it asks in this life: neither by what they
// said before, which may come late, nor by one of them that answers often, nor by itself.
func TestWhoRejoinsHearsAQuorumOfOthersNow(t *testing.T) {
	q, err := NewQuorum(4)
	if err != nil {
		t.Fatal(err)
	}
	const life = 7
	cfg := DefaultConfig(3, q)
	if _, err := New(cfg, Restored{Rejoin: true}); err == nil {
		t.Error("it rejoins in a life without a name")
	}
	r, err := New(cfg, Restored{Records: []Record{RejoinRecord{Open: true}}, Life: life})
	if err != nil {
		t.Fatal(err)
	}
	var fx Effects
	r.Step(Start{1}, &fx)
	if asks := statuses(&fx); len(asks) != 1 || asks[0].Asks != life || asks[0].Answers != 0 {
		t.Fatalf("it says %+v, want one Status that asks", asks)
	}
	for _, c := range []struct {
		from    wire.ReplicaID
		answers uint64
		known   bool // how long it is to be silent
	}{
		{0, 0, false},
		{1, 0, false},
		{2, 0, false}, // of before
		{0, life - 1, false},
		{1, life - 1, false},
		{2, life - 1, false}, // asked in another life
		{0, life, false},
		{0, life, false},
		{3, life, false},
		{1, life, false},
		{2, life, true},
	} {
		fx.Reset()
		r.Step(Received{From: c.from, Message: wire.Reseal(&wire.Status{Active: true, Answers: c.answers, Sender: c.from})}, &fx)
		if r.rejoin.closed != c.known || persists[RejoinRecord](&fx) != c.known {
			t.Fatalf("%+v: it knows how long: %v", c, r.rejoin.closed)
		}
	}
	if want := (slotWindowsMax + 1) * cfg.Window; r.rejoin.until != want {
		t.Errorf("it is silent until %d, want %d", r.rejoin.until, want)
	}
	fx.Reset()
	for range cfg.StatusTicks {
		r.Step(Tick{2}, &fx)
	}
	for _, st := range statuses(&fx) {
		if st.Asks != 0 {
			t.Errorf("it goes on asking: %+v", st)
		}
	}
}

// TestWhoRejoinsIsAnswered by where others stand now, it alone.
func TestWhoRejoinsIsAnswered(t *testing.T) {
	k := newTrack(t, nil)
	r := k.runners[1].r
	for asks, want := range map[uint64]int{0: 0, 9: 1} {
		var fx Effects
		r.Step(Received{From: 3, Message: wire.Reseal(&wire.Status{Active: true, Asks: asks, Sender: 3})}, &fx)
		got := statuses(&fx)
		if len(got) != want || want > 0 && (got[0].Answers != asks || got[0].Asks != 0) {
			t.Errorf("asked %d: it says %+v, want %d answers", asks, got, want)
		}
		for _, s := range fx.Send {
			if s.To != 3 {
				t.Errorf("asked %d: it tells %d, who did not ask", asks, s.To)
			}
		}
	}
}

// statuses returns those that are sent.
func statuses(fx *Effects) (all []*wire.Status) {
	for _, s := range fx.Send {
		if st, ok := s.Message.(*wire.Status); ok {
			all = append(all, st)
		}
	}
	return all
}
