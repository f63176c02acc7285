package faultnet_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/node"
	"github.com/quorate/quorate/pbft/wire"
	"github.com/quorate/quorate/test/faultnet"
)

// wires are a transport that keeps what it is given.
type wires struct {
	mu   sync.Mutex
	sent [][]byte
	at   []time.Time
	in   node.Inbound
}

func (w *wires) Run(ctx context.Context, in node.Inbound) error {
	w.in = in
	<-ctx.Done()
	return nil
}

func (w *wires) Send(_ wire.ReplicaID, frame []byte) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent, w.at = append(w.sent, frame), append(w.at, time.Now())
	return true
}

func (w *wires) Answer(_ uint64, frame []byte) bool { return w.Send(0, frame) }

// took returns what was sent since the last call, and when.
func (w *wires) took() ([][]byte, []time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	sent, at := w.sent, w.at
	w.sent, w.at = nil, nil
	return sent, at
}

// stage is a network of R0 of four, above wires, in a bubble.
type stage struct {
	*faultnet.Network
	*wires

	tb     testing.TB
	path   string
	number uint64
	mu     sync.Mutex
	heard  [][]byte
	hear   func() // also called with each frame that is heard
	after  func() // called when the network was told to end
}

// play runs a network with some orders.
func play(t *testing.T, o faultnet.Orders, scene func(s *stage)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &stage{wires: &wires{}, tb: t, path: filepath.Join(t.TempDir(), "orders.toml"), hear: func() {}, after: func() {}}
		n, err := faultnet.Open(s.write(o))
		if err != nil {
			t.Fatal(err)
		}
		s.Network = n
		q, err := core.NewQuorum(4)
		if err != nil {
			t.Fatal(err)
		}
		n.Interpose(node.Config{Core: core.DefaultConfig(0, q), Limits: wire.DefaultLimits(4), Transport: s.wires})
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() {
			keep := func(frame []byte) {
				s.hear()
				s.mu.Lock()
				defer s.mu.Unlock()
				s.heard = append(s.heard, frame)
			}
			err := n.Run(ctx, node.Inbound{
				Peer:   func(_ wire.ReplicaID, frame []byte) { keep(frame) },
				Client: func(_ uint64, frame []byte) { keep(frame) },
			})
			if err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		scene(s)
		told := time.Now()
		cancel()
		running.Wait()
		s.after()
		if took := time.Since(told); took > 0 {
			t.Errorf("the end took %s", took)
		}
	})
}

func (s *stage) write(o faultnet.Orders) string {
	s.tb.Helper()
	s.number++
	o.Number = s.number
	if err := o.Write(s.path); err != nil {
		s.tb.Fatal(err)
	}
	return s.path
}

// settle lets time go on.
func settle(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// order changes the orders, and waits for them to be in force.
func (s *stage) order(o faultnet.Orders) {
	s.tb.Helper()
	s.write(o)
	settle(time.Second)
	if seen, err := faultnet.ReadSeen(s.path); err != nil || seen.Number != s.number || seen.Error != "" {
		s.tb.Fatalf("%v: %+v, want number %d in force", err, seen, s.number)
	}
}

// total adds all counts up.
func (s *stage) total() faultnet.Count {
	var sum faultnet.Count
	for _, c := range s.Seen().Counts {
		sum.Frames += c.Frames
		sum.Dropped += c.Dropped
		sum.Overflowed += c.Overflowed
		sum.Duplicated += c.Duplicated
		sum.Damaged += c.Damaged
		sum.Delayed += c.Delayed
		sum.Reordered += c.Reordered
	}
	return sum
}

// frame returns a frame of a kind that says i.
func frame(kind wire.Kind, i int) []byte {
	return binary.BigEndian.AppendUint32([]byte{wire.Version, byte(kind)}, uint32(i)) //nolint:gosec // small
}

// says returns what a frame says.
func says(frame []byte) int { return int(binary.BigEndian.Uint32(frame[2:])) }

func one(r faultnet.Rule) []faultnet.Rule { return []faultnet.Rule{r} }

func TestWithoutRulesEverythingPassesAtOnceAndUnchanged(t *testing.T) {
	play(t, faultnet.Orders{}, func(s *stage) {
		for i := range 10 {
			if !s.Network.Send(1, frame(wire.KindCommit, i)) || !s.Network.Answer(5, frame(wire.KindReplies, i)) {
				t.Fatal("no room")
			}
			s.in.Peer(2, frame(wire.KindCommit, i))
			s.in.Client(7, []byte{1})
		}
		sent, _ := s.took()
		if want := (faultnet.Count{Frames: 40}); len(sent) != 20 || len(s.heard) != 20 || cmp.Diff(s.total(), want, unexported()) != "" {
			t.Errorf("%d sent, %d heard, counted %+v", len(sent), len(s.heard), s.total())
		}
	})
}

// fates sends frames to two peers, and returns which came through.
func fates(t *testing.T, seed uint64, frames int, mixed bool) string {
	t.Helper()
	var out []byte
	play(t, faultnet.Orders{Seed: seed, Send: one(faultnet.Rule{Drop: 0.3})}, func(s *stage) {
		for i := range frames {
			if mixed {
				s.Network.Send(2, frame(wire.KindPrepare, i))
				s.took()
			}
			s.Network.Send(1, frame(wire.KindPrepare, i))
			sent, _ := s.took()
			out = append(out, '0'+byte(len(sent)))
		}
	})
	return string(out)
}

func TestChanceComesFromTheSeedAndTheFlowAlone(t *testing.T) {
	const frames = 2000
	first := fates(t, 1, frames, false)
	if again := fates(t, 1, frames, true); again != first {
		t.Error("what goes to another peer changes the fate of frames")
	}
	if fates(t, 2, frames, false) == first {
		t.Error("two seeds choose the same")
	}
	if lost := strings.Count(first, "0"); lost < frames/5 || lost > frames*2/5 {
		t.Errorf("%d of %d are lost, want about 0.3 of them", lost, frames)
	}
}

func TestTheFirstRuleThatFitsDecides(t *testing.T) {
	orders := faultnet.Orders{
		Send: []faultnet.Rule{
			{Peers: []faultnet.Peer{1}, Kinds: []faultnet.Kind{faultnet.Kind(wire.KindCommit)}},
			{Peers: []faultnet.Peer{1, faultnet.Clients}, Drop: 1},
			{Kinds: []faultnet.Kind{faultnet.Kind(wire.KindPrepare)}, Drop: 1},
		},
		Hear: one(faultnet.Rule{Peers: []faultnet.Peer{3}, Drop: 1}),
	}
	play(t, orders, func(s *stage) {
		passes := func(to wire.ReplicaID, kind wire.Kind) bool {
			s.Network.Send(to, frame(kind, 1))
			sent, _ := s.took()
			return len(sent) == 1
		}
		if !passes(1, wire.KindCommit) || passes(1, wire.KindPrepare) || passes(1, wire.KindStatus) {
			t.Error("R1 must get commits alone")
		}
		if !passes(2, wire.KindCommit) || passes(2, wire.KindPrepare) || !passes(2, wire.KindStatus) {
			t.Error("R2 must get everything but prepares")
		}
		s.Network.Answer(1, frame(wire.KindReplies, 1))
		s.in.Peer(3, frame(wire.KindPrepare, 1))
		s.in.Peer(2, frame(wire.KindPrepare, 2))
		if sent, _ := s.took(); len(sent) != 0 || len(s.heard) != 1 || says(s.heard[0]) != 2 {
			t.Errorf("clients get %d, and %x is heard", len(sent), s.heard)
		}
	})
}

func TestDamageFlipsOneBitOfACopy(t *testing.T) {
	play(t, faultnet.Orders{Send: one(faultnet.Rule{Damage: 1, Duplicate: 1})}, func(s *stage) {
		for i := range 50 {
			original := frame(wire.KindPiece, i)
			before := bytes.Clone(original)
			s.Network.Send(1, original)
			sent, _ := s.took()
			if !bytes.Equal(original, before) {
				t.Fatal("the frame itself is damaged, which others are sent, too")
			}
			flipped := 0
			for j := range original {
				flipped += bits.OnesCount8(original[j] ^ sent[0][j])
			}
			if len(sent) != 2 || flipped != 1 || !bytes.Equal(sent[0], sent[1]) {
				t.Fatalf("%x becomes %x", original, sent)
			}
		}
		if c := s.total(); c.Damaged != 50 || c.Duplicated != 50 {
			t.Errorf("counted %+v", c)
		}
	})
}

func TestDelayedFramesAreReorderedAndNoneIsLostOrInvented(t *testing.T) {
	const frames = 200
	slow := faultnet.Rule{
		DelayMin: faultnet.Duration(20 * time.Millisecond), DelayMax: faultnet.Duration(120 * time.Millisecond),
		Duplicate: 0.5,
	}
	play(t, faultnet.Orders{Send: one(slow), Hear: one(slow)}, func(s *stage) {
		began := time.Now()
		for i := range frames {
			s.Network.Send(1, frame(wire.KindCommit, i))
			s.in.Peer(1, frame(wire.KindCommit, i))
		}
		settle(time.Second)
		sent, at := s.took()
		for way, got := range map[string][][]byte{"sent": sent, "heard": s.heard} {
			count := map[int]int{}
			for _, f := range got {
				count[says(f)]++
			}
			for i := range frames {
				if count[i] < 1 || count[i] > 2 {
					t.Errorf("%s: frame %d comes %d times", way, i, count[i])
				}
			}
			if len(count) != frames {
				t.Errorf("%s: %d frames of %d", way, len(count), frames)
			}
		}
		for _, when := range at {
			if late := when.Sub(began); late < 20*time.Millisecond || late > 120*time.Millisecond {
				t.Errorf("a frame is %s late", late)
			}
		}
		c := s.total()
		if c.Reordered == 0 || c.Duplicated == 0 || int(c.Delayed) != len(sent)+len(s.heard) { //nolint:gosec // small
			t.Errorf("counted %+v", c)
		}
	})
}

func TestASlowLinkTakesItsTimeAndLosesWhatFindsItFull(t *testing.T) {
	const bytesEach, rate = 10_000, 100_000
	play(t, faultnet.Orders{Send: one(faultnet.Rule{Rate: rate})}, func(s *stage) {
		began := time.Now()
		for i := range 30 {
			s.Network.Send(wire.ReplicaID(1+i%3), append(frame(wire.KindPiece, i), make([]byte, bytesEach-6)...)) //nolint:gosec // small
		}
		settle(10 * time.Second)
		sent, at := s.took()
		for i, when := range at {
			if want := time.Duration(i+1) * 100 * time.Millisecond; when.Sub(began) != want || says(sent[i]) != i {
				t.Errorf("frame %d comes after %s, want %d after %s", says(sent[i]), when.Sub(began), i, want)
			}
		}
		if c := s.total(); len(sent) != 11 || c.Overflowed != 19 || c.Reordered != 0 {
			t.Errorf("%d come through, counted %+v", len(sent), c)
		}
	})
}

func TestWhatIsHeardOverASlowLinkWaitsAtItsSenderAndSharesTheLink(t *testing.T) {
	const bytesEach, rate, frames = 10_000, 100_000, 20
	play(t, faultnet.Orders{Hear: one(faultnet.Rule{Rate: rate})}, func(s *stage) {
		began := time.Now()
		var readers sync.WaitGroup
		for from := range wire.ReplicaID(3) {
			readers.Go(func() { // one stream, whose next frame is read when the last is through
				for range frames {
					f := append(frame(wire.KindPiece, int(from)), make([]byte, bytesEach-6)...)
					s.in.Peer(from+1, f)
				}
			})
		}
		readers.Wait()
		if took, want := time.Since(began), 3*frames*100*time.Millisecond; took != want || len(s.heard) != 3*frames {
			t.Errorf("%d frames are through in %s, want %d in %s", len(s.heard), took, 3*frames, want)
		}
		first := map[int]int{}
		for _, f := range s.heard[:frames] {
			first[says(f)]++
		}
		if c := s.total(); len(first) != 3 || c.Overflowed != 0 || c.Delayed != 3*frames {
			t.Errorf("the first %d are of %v, counted %+v", frames, first, c)
		}
		readers.Go(func() { s.in.Peer(1, make([]byte, 1<<20)) }) // under way at the end, which does not wait
		synctest.Wait()
		s.after = readers.Wait
	})
}

func TestOneStreamIsHeardByOneAtATime(t *testing.T) {
	rule := faultnet.Rule{Kinds: []faultnet.Kind{faultnet.Kind(wire.KindCommit)}, DelayMax: faultnet.Duration(time.Millisecond)}
	play(t, faultnet.Orders{Hear: one(rule)}, func(s *stage) {
		var inside atomic.Int32
		s.hear = func() {
			if inside.Add(1) > 1 {
				t.Error("two frames of a stream at once")
			}
			settleInside()
			inside.Add(-1)
		}
		for i := range 100 {
			s.in.Peer(1, frame(wire.KindCommit, i)) // waits
			s.in.Peer(1, frame(wire.KindStatus, i)) // of the same class, does not
		}
		settle(time.Minute)
		if len(s.heard) != 200 {
			t.Errorf("%d frames are heard", len(s.heard))
		}
	})
}

// settleInside takes some virtual time.
func settleInside() { <-time.After(300 * time.Microsecond) }

func TestFramesOfAClientThatIsGoneAreForgotten(t *testing.T) {
	play(t, faultnet.Orders{Hear: one(faultnet.Rule{DelayMin: faultnet.Duration(time.Second), DelayMax: faultnet.Duration(time.Second)})}, func(s *stage) {
		s.in.Client(1, frame(wire.KindRequest, 1))
		s.in.Client(2, frame(wire.KindRequest, 2))
		s.in.ClientGone(1)
		settle(2 * time.Second)
		if len(s.heard) != 1 || says(s.heard[0]) != 2 {
			t.Errorf("%x is heard, want what client 2 sent", s.heard)
		}
	})
}

func TestOrdersChangeWhileTheNetworkRuns(t *testing.T) {
	play(t, faultnet.Orders{}, func(s *stage) {
		s.order(faultnet.Orders{Send: one(faultnet.Rule{Drop: 1}), Clock: faultnet.Duration(-time.Hour)})
		s.Network.Send(1, frame(wire.KindCommit, 1))
		if sent, _ := s.took(); len(sent) != 0 || time.Until(s.Now()) != -time.Hour {
			t.Errorf("%d frames leave, and the clock is off by %s", len(sent), time.Until(s.Now()))
		}
		for _, bad := range []string{"[[send]]\nlose = 1", "[[send]]\npeers = [\"R4\"]"} {
			if err := os.WriteFile(s.path, []byte(bad), 0o600); err != nil {
				t.Fatal(err)
			}
			settle(time.Second)
			s.Network.Send(1, frame(wire.KindCommit, 1))
			seen, err := faultnet.ReadSeen(s.path)
			if sent, _ := s.took(); len(sent) != 0 || seen.Number != s.number || !strings.Contains(seen.Error, "there is no") {
				t.Errorf("%q: %v, %d frames leave, told %+v", bad, err, len(sent), seen)
			}
		}
		s.order(faultnet.Orders{})
		s.Network.Send(1, frame(wire.KindCommit, 1))
		if sent, _ := s.took(); len(sent) != 1 || !s.Now().Equal(time.Now()) {
			t.Errorf("%d frames leave, and the clock is off by %s", len(sent), time.Until(s.Now()))
		}
	})
}

func TestVotesAreCutAtANumberAndToldInTheFile(t *testing.T) {
	key, err := crypto.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	play(t, faultnet.Orders{Send: one(faultnet.Rule{Drop: 1, Above: 39})}, func(s *stage) {
		s.Network.Send(1, frame(wire.KindCommit, 1)) // which is none
		for seq := wire.Seq(1); seq <= 41; seq++ {
			m := &wire.Commit{Vote: wire.Vote{Seq: seq, Digest: crypto.Sum(nil), Sender: 0}}
			s.Network.Send(1, wire.Seal(key, crypto.Domain{}, m).Frame())
		}
		settle(time.Second)
		if sent, _ := s.took(); len(sent) != 40 {
			t.Errorf("%d pass, want 39 votes and what is none", len(sent))
		}
		seen, err := faultnet.ReadSeen(s.path)
		want := faultnet.Count{
			Flow: faultnet.Flow{Peer: 1, Kind: faultnet.Kind(wire.KindCommit)}, Frames: 42, Dropped: 2, Highest: 41,
		}
		if diff := cmp.Diff(seen, faultnet.Seen{Number: 1, Counts: []faultnet.Count{want}}, unexported()); err != nil || diff != "" {
			t.Errorf("%v\n%s", err, diff)
		}
	})
}

// unexported leaves out what is not told.
func unexported() cmp.Option {
	return cmp.Transformer("told", func(c faultnet.Count) string {
		return fmt.Sprint(c.Flow, c.Frames, c.Dropped, c.Overflowed, c.Duplicated, c.Damaged, c.Delayed, c.Reordered, c.Highest)
	})
}

func TestOrdersForAReplicaThatThereIsNotDoNotStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "orders.toml")
	if err := (faultnet.Orders{Hear: one(faultnet.Rule{Peers: []faultnet.Peer{4}})}).Write(path); err != nil {
		t.Fatal(err)
	}
	n, err := faultnet.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	q, err := core.NewQuorum(4)
	if err != nil {
		t.Fatal(err)
	}
	n.Interpose(node.Config{Core: core.DefaultConfig(0, q), Transport: &wires{}})
	if err := n.Run(t.Context(), node.Inbound{}); !errors.Is(err, faultnet.ErrOrders) || !strings.Contains(err.Error(), "R3") {
		t.Errorf("%v, want %v that names the last replica", err, faultnet.ErrOrders)
	}
	if _, err := faultnet.Open(path + ".none"); !errors.Is(err, faultnet.ErrOrders) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}
