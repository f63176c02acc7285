package adversary_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// Law: a prepared certificate outlives restarts, so a committed batch outlives the
// next view changes (PBFT §4.4).
// Attack: a batch commits at R0 alone, by the commits of R1 and of R2. R1, beside R0
// the only correct one to have prepared it, restarts; R0 is cut off, R2 hands
// nothing over and votes for whatever comes, and R3 knows nothing.
func TestAPreparedBatchOutlivesARestart(t *testing.T) {
	rebase := func(h *host) { h.journal = h.replica.Base() }
	for name, restart := range map[string]func(*lab, *host){
		"from its records": func(l *lab, r1 *host) { l.boot(r1) },
		"from its base": func(l *lab, r1 *host) {
			rebase(r1)
			l.boot(r1)
		},
		"from the base of what its records restore": func(l *lab, r1 *host) {
			l.boot(r1)
			rebase(r1)
			l.boot(r1)
		},
	} {
		for _, at := range []crash{{in: 0, opens: 1}, {in: 1, opens: 3}, {in: 2, opens: 3}} {
			t.Run(fmt.Sprintf("%s in view %d", name, at.in), func(t *testing.T) { restartPrepared(t, at, restart) })
		}
	}
}

// crash says in which view R1 restarts, and which view is the first to open after
// view 0.
type crash struct{ in, opens wire.View }

func restartPrepared(t *testing.T, at crash, restart func(*lab, *host)) {
	t.Helper()
	const ticksMax = 1000
	l := newLab(t, 4, 2)
	l.start()
	r0, r1, r3 := l.hosts[0], l.hosts[1], l.hosts[3]
	helped := wire.View(0) // R2 votes in this view, for all that another votes for
	l.spy = func(p packet) {
		if m, ok := p.sealed.Message().(*wire.Prepare); ok && p.to == 2 && m.View == helped {
			l.inject(&wire.Prepare{Vote: vote(m.View, m.Seq, m.Digest, 2)}, 0, 1, 3)
			l.inject(&wire.Commit{Vote: vote(m.View, m.Seq, m.Digest, 2)}, 0, 1, 3)
		}
	}
	l.passes = func(p packet) bool {
		return p.from != 3 && p.to != 3 && (p.to == 0 || p.sealed.Message().Kind() != wire.KindCommit)
	}
	l.submit(l.request(0, 1, "committed"), r0)
	l.run()
	if r0.replica.Executed() != 1 || r1.replica.Executed() != 0 {
		t.Fatalf("R0 executed %d and R1 %d, want 1 and 0", r0.replica.Executed(), r1.replica.Executed())
	}

	helped = at.opens
	l.passes = func(p packet) bool { return p.from != 0 && p.to != 0 }
	l.submit(l.request(1, 1, "later"), r1, r3)
	restarted, asked := false, wire.View(0)
	for i := 0; i < ticksMax && (r1.replica.Executed() < 2 || r3.replica.Executed() < 2); i++ {
		view := r1.replica.View()
		if !restarted && view == at.in {
			restarted = true
			restart(l, r1)
		}
		if next := min(view+1, at.opens); view > 0 && asked < next {
			asked = next
			l.inject(&wire.ViewChange{View: asked, Stable: l.zero(), Sender: 2}, 1, 3)
		}
		l.inject(&wire.Status{View: view, Sender: 2}, 1, 3) // it keeps them company
		l.wait()
	}
	if !restarted {
		t.Fatalf("R1 restarts in no view, want in %d", at.in)
	}
	checkCarried(l, at.opens, r0.executed[0])

	l.passes = nil
	for i := 0; i < ticksMax && r0.replica.Executed() < 2; i++ {
		l.wait()
	}
	l.executedBy(2, ticksMax, 0, 1, 3)
}

// checkCarried requires that a view opened with what had committed, and that R1
// and R3 then executed that.
func checkCarried(l *lab, view wire.View, committed core.Execution) {
	l.tb.Helper()
	nv := lastSent(l, func(m *wire.NewView) bool { return m.View == view })
	if nv == nil {
		l.tb.Fatalf("view %d does not open", view)
	}
	var got []wire.Choice
	for _, c := range nv.Choices {
		got = append(got, wire.Choice{Seq: c.Seq, Digest: c.Digest})
	}
	want := []wire.Choice{{Seq: committed.Seq, Digest: committed.Digest}}
	if d := cmp.Diff(got, want); d != "" {
		l.tb.Errorf("view %d opens with other choices than what committed (-got +want)\n%s", view, d)
	}
	for _, h := range []*host{l.hosts[1], l.hosts[3]} {
		if len(h.executed) == 0 || h.executed[0].Digest != committed.Digest {
			l.tb.Errorf("R%d executed %d batches, want %s first", h.id, len(h.executed), committed.Digest.Short())
		}
	}
}
