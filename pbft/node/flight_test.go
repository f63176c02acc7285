package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"

	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// TestFlightRecorderIsBounded adds up what a recorder holds.
func TestFlightRecorderIsBounded(t *testing.T) {
	f, bytes := newFlight(2), 0
	for _, track := range f.all() {
		bytes += len(track.ring) * int(unsafe.Sizeof(entry{}))
	}
	if bytes > flightBytesMax || bytes < flightBytesMax/2 {
		t.Errorf("the rings hold %d bytes, want at most %d and no less than half of it", bytes, flightBytesMax)
	}
}

// all returns all tracks.
func (f *flight) all() []*track {
	return []*track{
		f.events, f.ticks, f.milestones, f.rare, f.step.track, f.settle.track, f.apply.track, f.verify[0].track,
		f.snapshots[0].track,
	}
}

// TestTrackKeepsTheNewestInOrder puts more and more into a ring.
func TestTrackKeepsTheNewestInOrder(t *testing.T) {
	const kept = 5
	for puts := range 3*kept + 1 {
		track := newTrack(time.Now(), kept)
		track.notes = make([]string, kept)
		for i := range puts {
			track.note(entry{at: time.Duration(i), seq: wire.Seq(i)}, fmt.Sprint(i))
		}
		r := track.copy()
		var got, want []string
		for i := range r.entries {
			got = append(got, fmt.Sprintf("%d %s", r.entries[i].seq, r.notes[i]))
		}
		for i := max(0, puts-kept); i < puts; i++ {
			want = append(want, fmt.Sprintf("%d %d", i, i))
		}
		if diff := cmp.Diff(got, want); diff != "" {
			t.Errorf("after %d entries: got-, want+:\n%s", puts, diff)
		}
		if want := time.Duration(max(0, puts-kept)); r.begin != want {
			t.Errorf("after %d entries: it holds all from %d on, want %d", puts, r.begin, want)
		}
	}
}

// TestTracksMayBeReadWhileTheyAreWritten lets copies be taken of rings that are full,
// while several workers have turns: what is copied is in order, and no turn is torn.
func TestTracksMayBeReadWhileTheyAreWritten(t *testing.T) {
	const workers = 3
	f := newFlight(workers)
	var all sync.WaitGroup
	for id, hand := range f.verify {
		all.Go(func() {
			for i := range 2 * verifiesKept {
				hand.enter(verifyOpen)
				hand.enter(verifyBlocked)
				hand.end([countsMax]uint32{uint32(i), uint32(i), uint32(id)})
			}
		})
	}
	written := make(chan struct{})
	go func() { all.Wait(); close(written) }()
	for over := false; !over; {
		select {
		case <-written:
			over = true
		default:
		}
		r := f.copy().verify
		var last [workers]uint32
		for i := range r.entries {
			e := &r.entries[i]
			if e.what != turnVerify || e.counts[0] != e.counts[1] || e.counts[2] != uint32(e.hand) {
				t.Fatalf("a torn turn: %+v", e)
			}
			if e.counts[0] < last[e.hand] {
				t.Fatalf("turn %d of worker %d comes after turn %d", e.counts[0], e.hand, last[e.hand])
			}
			last[e.hand] = e.counts[0]
		}
	}
	if r := f.copy().verify; len(r.entries) != verifiesKept || r.begin == 0 {
		t.Errorf("%d turns are kept, want the newest %d", len(r.entries), verifiesKept)
	}
}

// TestTurnsTellWhatEachPartTook has a stage wait, work and be blocked, in virtual time.
func TestTurnsTellWhatEachPartTook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFlight(1)
		sleep := func(ms int) { <-time.After(time.Duration(ms) * time.Millisecond) }
		sleep(7) // idle
		handed := f.now()
		sleep(5)
		f.apply.begin(entry{what: turnExecute, at: handed, view: 3, seq: 9}, executeRun)
		sleep(11)
		f.apply.enter(executeReply)
		sleep(13)
		f.apply.enter(executeRun) // again
		sleep(2)
		open := f.copy().apply.open[0]
		if open.part != executeRun || open.lasted != 2*time.Millisecond || open.took() != 26*time.Millisecond || open.seq != 9 {
			t.Errorf("the turn that is not over is %+v, want 2 of 26 ms in execute, of batch 9", open)
		}
		f.apply.end([countsMax]uint32{4})
		sleep(1000)
		f.apply.end([countsMax]uint32{5}) // there is no turn
		r := f.copy().apply
		want := entry{
			at: 12 * time.Millisecond, view: 3, seq: 9, what: turnExecute, counts: [countsMax]uint32{4},
			parts: [partsMax]micros{12000, 5000, 13000, 13000},
		}
		if len(r.entries) != 1 || r.entries[0] != want {
			t.Errorf("got %+v, want %+v", r.entries, want)
		}
		if open := r.open[0]; open.part != partIdle || open.lasted != time.Second {
			t.Errorf("then it is %+v, want idle for a second", open)
		}
	})
}

// TestRecordingAllocatesNothing counts what recording takes on the paths that every
// message goes.
func TestRecordingAllocatesNothing(t *testing.T) {
	m := newMembers(t, 4)
	vote := wire.Seal(m.keys[1], testDomain(), &wire.Prepare{Vote: wire.Vote{Seq: 1, Sender: 1}})
	s := &stepper{n: &Node{flight: newFlight(1), dumps: make(chan dumping, 1)}, turn: &turn{}}
	s.turn.fx.Observe = []core.Observation{
		core.Accepted{Seq: 1}, core.BecamePrepared{Seq: 1}, core.BecameCommitted{Seq: 1}, core.Refused{Kind: wire.KindCommit},
	}
	events := []core.Event{
		core.Received{From: 1, Message: vote}, submitted{}, submitted{}, core.Tick{}, core.TurnEnded{}, core.Snapshotted{Seq: 8},
	}
	f := s.n.flight
	allocated := testing.AllocsPerRun(100, func() {
		f.step.enter(stepBlocked)
		s.ticked(f.began)
		for _, ev := range events {
			s.log.observed = 0
			s.record(ev)
		}
		s.ended()
		f.apply.begin(entry{what: turnExecute, seq: 1}, executeRun)
		f.apply.end([countsMax]uint32{1})
		f.writing(8).end([countsMax]uint32{})
	})
	if allocated != 0 {
		t.Errorf("%v allocations for a turn, want none", allocated)
	}
	if got := len(f.copy().events.entries); got == 0 {
		t.Error("nothing was recorded: the test tests nothing")
	}
}

// TestSnapshotsBeyondTheHandsAreNotRecorded has more of them written at once than there
// are hands.
func TestSnapshotsBeyondTheHandsAreNotRecorded(t *testing.T) {
	f := newFlight(1)
	var hands []*hand
	for seq := range wire.Seq(writingMax + 1) {
		hands = append(hands, f.writing(seq+1))
	}
	for _, h := range hands {
		h.end([countsMax]uint32{})
	}
	if r := f.copy().snapshots; len(r.entries) != writingMax || r.entries[0].seq != 1 {
		t.Errorf("%d snapshots are recorded, want %d", len(r.entries), writingMax)
	}
	if f.writing(9) == nil {
		t.Error("no hand is free when all have ended")
	}
}

// TestSummaryTellsOfLatelyAndOfAll has a stage stand still long ago, and hardly of late;
// batches be slow on different parts of their way; and a tick be late, for step was busy.
func TestSummaryTellsOfLatelyAndOfAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFlight(1)
		n := &Node{flight: f}
		n.standing.Store(&standing{})
		sleep := func(ms int) { <-time.After(time.Duration(ms) * time.Millisecond) }
		stand := func(ms int) {
			f.settle.enter(settleFlush)
			sleep(ms)
			f.settle.end([countsMax]uint32{1})
		}
		execute := func(seq wire.Seq) {
			f.apply.begin(entry{what: turnExecute, seq: seq}, executeRun)
			f.apply.end([countsMax]uint32{1})
		}
		sleep(1000)
		f.observe(f.now(), core.Accepted{Seq: 1})
		stand(500)
		f.observe(f.now(), core.BecamePrepared{Seq: 1})
		sleep(1)
		f.observe(f.now(), core.BecameCommitted{Seq: 1})
		execute(1)
		sleep(4000)
		s := &stepper{n: n, turn: &turn{}}
		s.ended()
		sleep(10)
		due := time.Now()
		s.woke()
		sleep(40)
		s.ended()
		sleep(2)
		s.ticked(due)
		s.record(core.Tick{})
		s.ended()
		f.observe(f.now(), core.Accepted{Seq: 2})
		stand(7)
		f.observe(f.now(), core.BecamePrepared{Seq: 2})
		sleep(20)
		var text strings.Builder
		if err := n.WriteFlight(&text); err != nil {
			t.Fatal(err)
		}
		holds(t, text.String(),
			"the longest of the last 3s", "step turn 40.000 -69.000", "settle turn 7.000 -27.000 idle=4053.000 flush=7.000 turns=1", "settle idle 4053.000 -4080.000",
			"tick late 42.000", "tick starved 2.000", "order no batch accepted 2973.000 -3000.000 meanwhile accepted=0",
			"order no batch executed 3000.000 -3000.000 meanwhile accepted=1 prepared=1 committed=0 not over",
			"order accepted to prepared 7.000 -27.000 seq=2", "order prepared to committed 20.000 -20.000 seq=2 not over",
			"the longest of all that is recorded", "settle turn 500.000 -4580.000 idle=1000.000 flush=500.000", "tick late 42.000",
			"order no batch accepted 4553.000 -4580.000 meanwhile accepted=0 prepared=1 committed=1",
			"order no batch executed 4079.000 -4079.000 meanwhile accepted=1 prepared=1 committed=0 not over",
			"order accepted to prepared 500.000 -4580.000 seq=1", "order prepared to committed 20.000 -20.000 seq=2 not over",
			"recorded", "settle 2 from", "what happened, the oldest first")
	})
}

// dumps keeps what a node dumps.
type dumps struct {
	mu    sync.Mutex
	words []string
	texts []string
	err   error
}

func (d *dumps) take(word string, write func(io.Writer) error) (string, error) {
	var text strings.Builder
	if err := write(&text); err != nil {
		return "", err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.words, d.texts = append(d.words, word), append(d.texts, text.String())
	return "somewhere", d.err
}

// taken returns the words, and the last text.
func (d *dumps) taken() (words []string, text string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.texts) > 0 {
		text = d.texts[len(d.texts)-1]
	}
	return append(words, d.words...), text
}

// holds fails unless a text has all lines, in order: each as the words that it has.
func holds(t *testing.T, text string, lines ...string) {
	t.Helper()
	rest := strings.Split(text, "\n")
	for _, want := range lines {
		for {
			if len(rest) == 0 {
				t.Fatalf("no line with %q, in order, in\n%s", want, text)
			}
			got := strings.Join(strings.Fields(rest[0]), " ")
			rest = rest[1:]
			if strings.Contains(got, want) {
				break
			}
		}
	}
}

// TestSuspicionIsDumped lets the disks of two replicas stand still, so that nothing is
// ordered, and they suspect the primary: the dump says so, and which stage stands still.
func TestSuspicionIsDumped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMembers(t, 4)
		var d dumps
		m.configs[2].Dump = d.take
		m.startAll()
		defer m.stopAll()
		c := m.caller(1)
		c.call([]int{0, 1, 2, 3}, 4, "op")
		blockers := make(chan struct{})
		goOn := sync.OnceFunc(func() { close(blockers) })
		defer goOn()
		for _, j := range m.journals[2:] {
			j.mu.Lock()
			j.mu.blockers = blockers
			j.mu.Unlock()
		}
		frame := c.request("op")
		for id := range m.nodes {
			c.send(id, frame)
		}
		m.await("a dump", func() bool { words, _ := d.taken(); return len(words) > 0 })
		words, text := d.taken()
		if words[0] != "suspicion" {
			t.Errorf("the dump is for %q, want suspicion", words)
		}
		holds(t, text, "flight recorder, replica 2", "why suspicion: suspects the primary of view 0: a request waited too long; executed 1, others 1",
			"at this moment", "settle flush 995.000 -995.000", "the longest of the last 3s", "flush=995.000 not over",
			"order no batch executed 1000.000 -1000.000 meanwhile accepted=1 prepared=1 committed=0 not over",
			"order prepared to committed 995.000 -995.000 seq=2 not over",
			"what happened, the oldest first", "-1000.000 apply batch view=0 seq=1",
			"event start", "event linked peer=", "event received kind=commit peer=", "core accepted view=0 seq=1 digest=",
			"core prepared view=0 seq=1 digest=", "core committed view=0 seq=1 digest=", "-995.000 core accepted view=0 seq=2 digest=", "core observed suspects the primary of view 0: a request")
		goOn()
		c.number--
		c.call([]int{0, 1, 2, 3}, 4, "op")
	})
}

// TestStoppingIsDumped lets the journal fail.
func TestStoppingIsDumped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMembers(t, 4)
		var d dumps
		m.configs[1].Dump = d.take
		m.startAll()
		defer m.stopAll()
		c := m.caller(1)
		c.call([]int{0, 1, 2, 3}, 4, "op")
		m.journals[1].fail()
		c.call([]int{0, 1, 2, 3}, 3, "op")
		if err := m.stop[1](); !errors.Is(err, errDisk) {
			t.Errorf("it ended with %v, want %v", err, errDisk)
		}
		m.stop[1] = nil
		words, text := d.taken()
		if len(words) != 1 || words[0] != "stopped" || !strings.Contains(text, errDisk.Error()) {
			t.Errorf("%q were dumped, the last with\n%s\nwant one for stopped, with %v", words, text, errDisk)
		}
	})
}

// TestDumpsThatFailHurtNothing has a replica leave one view after the other while no dump
// can be written: it serves, and tries no more often than it may.
func TestDumpsThatFailHurtNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMembers(t, 4)
		d := dumps{err: errDisk}
		for i := range m.configs {
			m.configs[i].Dump = d.take
		}
		m.startAll()
		defer m.stopAll()
		c := m.caller(1)
		c.call([]int{0, 1, 2, 3}, 4, "op")
		const views = 3 * dumpsBurst
		for view := range wire.View(views) {
			primary := wire.ReplicaID(view % 4)
			m.hub.tamper(func(from, _ wire.ReplicaID, frame []byte) [][]byte {
				if from == primary && kindOf(frame) == wire.KindPrePrepare {
					return nil
				}
				return [][]byte{frame}
			})
			c.call([]int{0, 1, 2, 3}, 3, "op")
		}
		m.hub.tamper(nil)
		c.call([]int{0, 1, 2, 3}, 4, "op")
		left := 0
		for i := range m.configs {
			m.saw(i, func(o core.Observation) bool {
				if _, is := o.(core.LeftView); is {
					left++
				}
				return false
			})
		}
		words, _ := d.taken()
		if len(words) < 4 || len(words) > 4*(dumpsBurst+1) || left < 4*views/2 {
			t.Errorf("%d dumps for %d views that were left, want at most %d of each replica", len(words), left, dumpsBurst+1)
		}
	})
}

// TestDividedIsDumped is TestDividedStatesAreTold for the recorder.
func TestDividedIsDumped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMembers(t, 4)
		var d dumps
		for i := range m.configs {
			m.configs[i].Machine = moody{[]string{"good", "bad"}[i%2]}
		}
		m.configs[0].Dump = d.take
		m.startAll()
		defer m.stopAll()
		c := m.caller(1)
		for range m.configs[0].Core.Interval {
			c.call([]int{0, 1, 2, 3}, 4, "op")
		}
		m.await("a dump", func() bool { words, _ := d.taken(); return len(words) > 0 })
		_, text := d.taken()
		holds(t, text, "why divided: DIVIDED at 8", "state snapshot seq=8", "core observed DIVIDED at 8")
	})
}

// TestPanicsAreDumped lets a stage panic.
func TestPanicsAreDumped(t *testing.T) {
	m := newMembers(t, 4)
	var d dumps
	m.configs[0].Dump = d.take
	n, err := New(m.configs[0])
	if err != nil {
		t.Fatal(err)
	}
	func() {
		defer func() {
			if p := recover(); p != "broken" {
				t.Errorf("it panicked with %v, want what the stage did", p)
			}
		}()
		_ = n.stage(t.Context(), nil, func(context.Context) error { panic("broken") }) //nolint:forbidigo // it is what the test is about
	}()
	if words, _ := d.taken(); len(words) != 1 || words[0] != "panicked" {
		t.Errorf("%q were dumped, want one for panicked", words)
	}
	if n.outlet.send(1, []byte{1, 2}) {
		t.Error("something left the process after the panic")
	}
}
