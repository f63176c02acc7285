package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// fakeEngine answers events by a script.
type fakeEngine struct {
	step     func(ev core.Event, fx *core.Effects)
	executed wire.Seq
	stable   wire.Seq
	base     func() []core.Record
	proposes bool
	// reads are after what and whether it answers queries.
	reads func() (wire.Seq, bool)
}

func (e *fakeEngine) Step(ev core.Event, fx *core.Effects) { e.step(ev, fx) }
func (e *fakeEngine) Base() []core.Record                  { return e.base() }
func (*fakeEngine) View() wire.View                        { return 0 }
func (*fakeEngine) Active() bool                           { return true }
func (*fakeEngine) Rejoining() bool                        { return false }
func (e *fakeEngine) Proposes() bool                       { return e.proposes }
func (e *fakeEngine) ReadAfter() (wire.Seq, bool) {
	if e.reads == nil {
		return 0, true
	}
	return e.reads()
}
func (e *fakeEngine) Executed() wire.Seq           { return e.executed }
func (e *fakeEngine) Stable() wire.CheckpointCert  { return wire.CheckpointCert{Seq: e.stable} }
func (*fakeEngine) Convictions() *core.Convictions { return nil }

// runScripted runs node 0 of four with a scripted core until the test ends.
func runScripted(t *testing.T, m *members, e *fakeEngine) (*Node, <-chan error, context.CancelFunc) {
	t.Helper()
	c := m.configs[0]
	applier := NewApplier(c.State, c.Machine, c.Domain, c.Limits.ResultBytesMax)
	if _, err := applier.Load(); err != nil {
		t.Fatal(err)
	}
	n := newNode(c, e, applier)
	m.nodes[0] = n
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- n.Run(ctx)
		m.states[0].background.Wait()
	}()
	return n, ended, cancel
}

func endsCleanly(t *testing.T, ended <-chan error) {
	t.Helper()
	if err := <-ended; err != nil {
		t.Errorf("got %v, want a clean end", err)
	}
}

func vote(seq wire.Seq) *wire.Prepare {
	return &wire.Prepare{Vote: wire.Vote{View: 1, Seq: seq, Digest: crypto.Sum(fmt.Append(nil, seq))}}
}

// TestNothingIsSentBeforeItsRecordIsDurable blocks the disk and looks at the
// network.
func TestNothingIsSentBeforeItsRecordIsDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMembers(t, 4)
		disk := make(chan struct{})
		m.journals[0].mu.blockers = disk
		seq := wire.Seq(0)
		e := &fakeEngine{step: func(ev core.Event, fx *core.Effects) {
			if _, ok := ev.(core.Tick); ok && seq < 50 {
				seq++
				fx.Persist = append(fx.Persist, core.AcceptedRecord{PrePrepare: &wire.PrePrepare{Vote: vote(seq).Vote}})
				fx.Send = append(fx.Send, core.Send{To: core.Everyone, Message: vote(seq)})
			}
		}}
		_, ended, cancel := runScripted(t, m, e)
		<-time.After(time.Second) // of virtual time: every vote was made
		if sent := m.hub.ports[0].sent(); sent != 0 {
			t.Errorf("%d frames were sent while the disk was blocked, want 0", sent)
		}
		disk <- struct{}{}
		<-time.After(time.Millisecond)
		durable := len(m.journals[0].durable())
		if sent := m.hub.ports[0].sent(); sent == 0 || sent > 3*durable {
			t.Errorf("%d frames were sent with %d records durable, want three each at most", sent, durable)
		}
		close(disk)
		<-time.After(time.Second)
		if sent, flushes := m.hub.ports[0].sent(), m.journals[0].flushes(); sent != 150 || flushes > 4 {
			t.Errorf("%d frames were sent after %d flushes, want 150 after 4 or fewer", sent, flushes)
		}
		cancel()
		endsCleanly(t, ended)
	})
}

// TestFailedFlushStopsTheNodeAndSendsNothing lets the disk of the primary fail. What
// needs no flush still leaves: a Status, a pre-prepare that is reserved, and the answer to
// what others commit without it.
func TestFailedFlushStopsTheNodeAndSendsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMembers(t, 4)
		m.startAll()
		c := m.caller(1)
		c.call([]int{0, 1, 2, 3}, 4, "op")
		var sent kindsSent
		m.hub.tamper(sent.by(0))
		m.journals[0].fail()
		c.send(0, c.request("op"))
		<-time.After(10 * time.Millisecond)
		synctest.Wait()
		for _, k := range sent.take() {
			if k != wire.KindStatus && k != wire.KindPrePrepare {
				t.Errorf("a %s was sent since the flush failed, want nothing that needs one", k)
			}
		}
		if err := m.stop[0](); !errors.Is(err, ErrJournal) || !errors.Is(err, errDisk) {
			t.Errorf("Run ended with %v, want ErrJournal and its cause", err)
		}
		m.nodes[0].outlet.broadcast([]byte("anything"))
		m.stop[0] = nil
		m.stopAll()
		if left := sent.take(); len(left) > 0 {
			t.Errorf("%v left after the end, want nothing", left)
		}
	})
}

// kindsSent keeps the kinds of the frames that a replica sends to others.
type kindsSent struct {
	mu    sync.Mutex
	kinds []wire.Kind
}

// by returns the hook for what that replica sends.
func (s *kindsSent) by(id wire.ReplicaID) func(from, to wire.ReplicaID, frame []byte) [][]byte {
	return func(from, _ wire.ReplicaID, frame []byte) [][]byte {
		if from == id {
			s.mu.Lock()
			defer s.mu.Unlock()
			k, _ := wire.FrameKind(frame) // 0 for what is none
			s.kinds = append(s.kinds, k)
		}
		return [][]byte{frame}
	}
}

// take returns those since the last call.
func (s *kindsSent) take() []wire.Kind {
	s.mu.Lock()
	defer s.mu.Unlock()
	kinds := s.kinds
	s.kinds = nil
	return kinds
}

func TestCommitCertificatesAloneAreNotFlushed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMembers(t, 4)
		seq := wire.Seq(0)
		e := &fakeEngine{step: func(ev core.Event, fx *core.Effects) {
			if _, ok := ev.(core.Tick); !ok || seq == 20 {
				return
			}
			seq++
			fx.Persist = append(fx.Persist, core.CommittedRecord{Cert: wire.CommitCert{Seq: seq}})
			if seq == 20 {
				fx.Persist = append(fx.Persist, core.ViewRecord{View: 1})
			}
		}}
		_, ended, cancel := runScripted(t, m, e)
		<-time.After(155 * time.Millisecond)
		if j := m.journals[0]; j.Size() == 0 || j.flushes() != 0 {
			t.Errorf("got %d bytes and %d flushes, want some and none", j.Size(), j.flushes())
		}
		<-time.After(100 * time.Millisecond)
		if durable := len(m.journals[0].durable()); durable != 21 {
			t.Errorf("%d records are durable after a vote, want all 21", durable)
		}
		cancel()
		endsCleanly(t, ended)
	})
}

// TestEarlyVotesWaitForReservationsOnly blocks the disk. Early votes leave, but those
// of the turn that reserves, and of later ones, wait; before, and without a reservation,
// none does.
func TestEarlyVotesWaitForReservationsOnly(t *testing.T) {
	const turns = 3
	for reserving := range wire.Seq(turns + 1) { // in turn 0: never
		synctest.Test(t, func(t *testing.T) {
			m := newMembers(t, 4)
			disk := make(chan struct{})
			m.journals[0].mu.blockers = disk
			seq := wire.Seq(0)
			e := &fakeEngine{step: func(ev core.Event, fx *core.Effects) {
				if _, ok := ev.(core.Tick); !ok || seq == turns {
					return
				}
				if seq++; seq == reserving {
					fx.Persist = append(fx.Persist, core.ReservationRecord{View: 1, Seq: 50})
				}
				fx.Persist = append(fx.Persist, core.AcceptedRecord{PrePrepare: &wire.PrePrepare{Vote: vote(seq).Vote}})
				fx.Send = append(fx.Send, core.Send{To: core.Everyone, Message: vote(seq), Early: true})
			}}
			_, ended, cancel := runScripted(t, m, e)
			<-time.After(time.Second)
			want := 3 * turns
			if reserving > 0 {
				want = 3 * int(reserving-1) //nolint:gosec // small
			}
			if sent := m.hub.ports[0].sent(); sent != want {
				t.Errorf("turn %d reserves: %d frames were sent while the disk was blocked, want %d", reserving, sent, want)
			}
			close(disk)
			<-time.After(time.Second)
			if sent := m.hub.ports[0].sent(); sent != 3*turns {
				t.Errorf("turn %d reserves: %d frames in the end, want %d", reserving, sent, 3*turns)
			}
			cancel()
			endsCleanly(t, ended)
		})
	}
}

// TestSnapshotWaitsForTheCertificatesOfWhatItHolds blocks the disk of the journal and
// looks at the state, where the certificate came with the execution and long before.
func TestSnapshotWaitsForTheCertificatesOfWhatItHolds(t *testing.T) {
	for name, gap := range map[string]int{"of the same turn": 0, "of an earlier turn": 5} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMembers(t, 4)
				disk := make(chan struct{})
				m.journals[0].mu.blockers = disk
				tick := 0
				e := &fakeEngine{step: func(ev core.Event, fx *core.Effects) {
					if _, ok := ev.(core.Tick); !ok {
						return
					}
					if tick++; tick == 1 {
						fx.Persist = append(fx.Persist, core.CommittedRecord{Cert: wire.CommitCert{Seq: 1}})
					}
					if tick == 1+gap {
						fx.Execute = append(fx.Execute, core.Execution{Seq: 1, Checkpoint: true})
					}
				}}
				_, ended, cancel := runScripted(t, m, e)
				<-time.After(time.Minute)
				if seq, _ := m.states[0].Last(); seq != 0 {
					t.Errorf("the snapshot of %d is durable, and its certificate is not", seq)
				}
				close(disk)
				<-time.After(time.Second)
				if seq, _ := m.states[0].Last(); seq != 1 || len(m.journals[0].durable()) != 1 {
					t.Errorf("the snapshot of %d and %d records are durable, want both", seq, len(m.journals[0].durable()))
				}
				cancel()
				endsCleanly(t, ended)
			})
		})
	}
}

// TestSnapshotWaitsNoLongerThanTheNode ends a node whose disk is stuck.
func TestSnapshotWaitsNoLongerThanTheNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMembers(t, 4)
		m.journals[0].fail()
		e := &fakeEngine{step: func(ev core.Event, fx *core.Effects) {
			if _, ok := ev.(core.Start); ok {
				fx.Execute = append(fx.Execute, core.Execution{Seq: 1, Checkpoint: true})
			}
		}}
		_, ended, cancel := runScripted(t, m, e)
		defer cancel()
		if err := <-ended; !errors.Is(err, ErrJournal) {
			t.Errorf("got %v, want %v", err, ErrJournal)
		}
		if seq, _ := m.states[0].Last(); seq != 0 {
			t.Errorf("the snapshot of %d is durable, and its certificate is not", seq)
		}
	})
}

// TestOwnMessagesComeBackSigned is what makes a replica its own peer.
func TestOwnMessagesComeBackSigned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMembers(t, 4)
		var back []core.Received
		e := &fakeEngine{}
		e.step = func(ev core.Event, fx *core.Effects) {
			if _, ok := ev.(core.Start); ok {
				fx.Send = append(fx.Send,
					core.Send{To: core.Everyone, Message: vote(1)},
					core.Send{To: 2, Message: vote(2)},
					core.Send{To: core.Everyone, Message: vote(3)})
			}
			if r, ok := ev.(core.Received); ok {
				back = append(back, r)
			}
		}
		n, ended, cancel := runScripted(t, m, e)
		<-time.After(time.Second)
		cancel()
		endsCleanly(t, ended)
		if len(back) != 2 {
			t.Fatalf("%d own messages came back, want those 2 to everyone", len(back))
		}
		for i, want := range []wire.Seq{1, 3} {
			p, ok := back[i].Message.Message().(*wire.Prepare)
			if !ok || p.Seq != want || back[i].From != 0 {
				t.Errorf("message %d: got %+v, want the prepare of %d from 0", i, back[i], want)
			}
			if _, err := n.opener.OpenOne(back[i].Message.Frame()); err != nil {
				t.Errorf("message %d is not signed: %v", i, err)
			}
		}
	})
}

// TestALongBaseIsWrittenBetweenTurns has a Rebase leave much to do: some of it is done after
// each turn, and no other one begins meanwhile, although there is reason to.
func TestALongBaseIsWrittenBetweenTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMembers(t, 4)
		j := m.journals[0]
		j.recordBytes, j.portions = journalBytesMax/16, 20
		e := &fakeEngine{base: func() []core.Record { return []core.Record{core.StableRecord{}} }}
		view := wire.View(0)
		e.step = func(ev core.Event, fx *core.Effects) {
			if _, ok := ev.(core.Tick); !ok || view >= 110 {
				return
			}
			view++
			fx.Persist = append(fx.Persist, core.ViewRecord{View: view})
			if view == 30 || view == 35 { // so there is a reason at 35, five turns after the first
				fx.Stable = append(fx.Stable, wire.CheckpointCert{Seq: wire.Seq(view)})
				m.states[0].mu.Lock()
				m.states[0].mu.seq = wire.Seq(view)
				m.states[0].mu.Unlock()
			}
		}
		_, ended, cancel := runScripted(t, m, e)
		<-time.After(2 * time.Second)
		cancel()
		endsCleanly(t, ended)
		if j.mu.rebases != 2 {
			t.Errorf("the journal was rebased %d times, want twice", j.mu.rebases)
		}
		if len(j.mu.works) < 40 {
			t.Fatalf("%d portions were written, want 20 for each time", len(j.mu.works))
		}
		for i, durable := range j.mu.works[:20] {
			if want := 1 + i; durable != want {
				t.Errorf("portion %d was written with %d records durable, want %d: one after each turn", i, durable, want)
			}
		}
	})
}

// TestJournalBeginsAnewOnlyWithADurableSnapshot takes the base at the end of a
// turn, so that no later record is lost.
func TestJournalBeginsAnewOnlyWithADurableSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMembers(t, 4)
		m.journals[0].recordBytes = journalBytesMax / 16
		var all []core.Record
		var durable bool
		e := &fakeEngine{}
		e.base = func() []core.Record {
			if !durable {
				t.Error("the base was taken before the snapshot was durable")
			}
			all = append([]core.Record{core.StableRecord{}}, all[len(all)-3:]...)
			return append([]core.Record(nil), all...)
		}
		view := wire.View(0)
		e.step = func(ev core.Event, fx *core.Effects) {
			if _, ok := ev.(core.Tick); !ok || view >= 100 {
				return
			}
			view++
			r := core.ViewRecord{View: view}
			all = append(all, r)
			fx.Persist = append(fx.Persist, r)
			if view == 30 {
				fx.Stable = append(fx.Stable, wire.CheckpointCert{Seq: 8})
			}
			if view == 60 {
				m.states[0].mu.Lock()
				m.states[0].mu.seq = 8
				m.states[0].mu.Unlock()
				durable = true
			}
		}
		_, ended, cancel := runScripted(t, m, e)
		<-time.After(2 * time.Second)
		cancel()
		endsCleanly(t, ended)
		j := m.journals[0]
		if j.mu.rebases != 1 {
			t.Errorf("the journal was rebased %d times, want once for one stable checkpoint", j.mu.rebases)
		}
		if diff := cmp.Diff(j.durable(), all); diff != "" {
			t.Errorf("what the journal holds (-got +want):\n%s", diff)
		}
	})
}

// TestBlockedDiskHoldsUpStreamsNotMemory floods a node whose disk is stuck.
func TestBlockedDiskHoldsUpStreamsNotMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMembers(t, 4)
		disk := make(chan struct{})
		m.journals[0].mu.blockers = disk
		events := 0
		e := &fakeEngine{step: func(ev core.Event, fx *core.Effects) {
			if _, ok := ev.(core.Received); ok {
				events++
				fx.Persist = append(fx.Persist, core.ViewRecord{View: wire.View(events)}) //nolint:gosec // small
			}
		}}
		_, ended, cancel := runScripted(t, m, e)
		v := vote(1)
		v.Sender = 2
		frame := wire.Seal(m.keys[2], testDomain(), v).Frame()
		taken := 0
		flooding, stop := context.WithCancel(t.Context())
		go func() {
			for flooding.Err() == nil {
				select {
				case m.hub.ports[0].in[2] <- frame:
					taken++
				case <-flooding.Done():
				}
			}
		}()
		synctest.Wait()
		bound := turnsMax*(turnFullEvents+turnEventsMax+batchFramesMax) +
			(verifiedMax+64)*batchFramesMax + laneFramesMax + portQueue
		if taken > bound || events == 0 {
			t.Errorf("%d frames were taken and %d events stepped, want %d or fewer and some", taken, events, bound)
		}
		before := events
		stop()
		close(disk)
		<-time.After(time.Second)
		if events <= before {
			t.Errorf("nothing was stepped after the disk came back")
		}
		cancel()
		endsCleanly(t, ended)
	})
}
