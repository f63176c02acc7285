package node

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

func nobody(source) bool { return false }

func votesOf(peer wire.ReplicaID) laneKey { return laneKey{peerSource(peer), wire.ClassVotes} }

func TestFullLaneBlocksItsReaderAndNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newLanes(2, nobody)
		ctx, cancel := context.WithCancel(t.Context())
		put := 0
		var flood sync.WaitGroup
		flood.Go(func() {
			for q.put(ctx, votesOf(1), make([]byte, 10)) {
				put++
			}
		})
		synctest.Wait()
		if put != laneFramesMax {
			t.Errorf("%d frames of one stream were let in, want %d", put, laneFramesMax)
		}
		if !q.put(ctx, votesOf(2), []byte{1}) || !q.put(ctx, laneKey{peerSource(1), wire.ClassBulk}, []byte{1}) {
			t.Error("another stream was refused")
		}
		var b frames
		if !q.take(&b) || len(b.frames) != shareFramesMax+2 {
			t.Errorf("a worker got %d frames, want a share of %d and two", len(b.frames), shareFramesMax)
		}
		synctest.Wait()
		if want := laneFramesMax + shareFramesMax; put != want {
			t.Errorf("%d frames were let in after a share was taken, want %d", put, want)
		}
		cancel()
		flood.Wait()
	})
}

func TestLaneIsBoundedInBytesAndTakesOneFrameOfAnySize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newLanes(1, nobody)
		ctx, cancel := context.WithCancel(t.Context())
		put := 0
		var flood sync.WaitGroup
		flood.Go(func() {
			for q.put(ctx, votesOf(1), make([]byte, laneBytesMax+1)) {
				put++
			}
		})
		synctest.Wait()
		if put != 1 {
			t.Errorf("%d frames of more than the bound were let in, want 1", put)
		}
		cancel()
		flood.Wait()
	})
}

func TestClientsTogetherAreBounded(t *testing.T) {
	q := newLanes(1, nobody)
	frame := make([]byte, clientBytesMax)
	in := 0
	for conn := range uint64(100) {
		if q.put(t.Context(), laneKey{source{true, conn}, wire.ClassClients}, frame) {
			in++
		}
	}
	if want := clientsBytesMax / clientBytesMax; in != want {
		t.Errorf("%d client frames were let in, want %d", in, want)
	}
	var b frames
	for q.take(&b) {
		q.release(&b)
	}
	if len(q.mu.lanes) != 0 || q.mu.clientBytes != 0 {
		t.Errorf("%d lanes with %d bytes are left, want none", len(q.mu.lanes), q.mu.clientBytes)
	}
}

// fillClients puts frames of many connections until no more are let in.
func fillClients(t *testing.T, q *lanes, conns, bytes int) {
	t.Helper()
	for full := 0; full < conns; {
		full = 0
		for conn := range uint64(conns) { //nolint:gosec // small
			l := q.mu.lanes[laneKey{source{true, conn}, wire.ClassClients}]
			if l != nil && l.full() || !q.put(t.Context(), laneKey{source{true, conn}, wire.ClassClients}, make([]byte, bytes)) {
				full++
			}
		}
	}
}

// TestClientsThatFloodKeepNobodyOut has many connections send as much as they may, and one
// more send a little.
func TestClientsThatFloodKeepNobodyOut(t *testing.T) {
	for _, bytes := range []int{1 << 10, 5000, 300 << 10, clientBytesMax} {
		for _, conns := range []int{clientsBytesMax/clientBytesMax + 1, 255} {
			q := newLanes(1, nobody)
			fillClients(t, q, conns, bytes)
			key := laneKey{source{true, 1000}, wire.ClassClients}
			const frames = 100
			for i := range frames {
				if !q.put(t.Context(), key, make([]byte, 200)) {
					t.Fatalf("frame %d of a client that sends little was dropped for %d that flood with %d bytes", i, conns, bytes)
				}
			}
			if q.mu.clientBytes > clientsBytesMax {
				t.Errorf("%d bytes wait, want %d at most", q.mu.clientBytes, clientsBytesMax)
			}
			if got := len(q.mu.lanes[key].frames); got != frames {
				t.Errorf("%d of its frames wait, want %d", got, frames)
			}
		}
	}
}

// TestClientsLanesAddUp has clients flood, readers wait and workers take, in any order.
func TestClientsLanesAddUp(t *testing.T) {
	room := make([]byte, clientBytesMax) // of all frames: nobody reads them
	rapid.Check(t, func(t *rapid.T) {
		q := newLanes(1, nobody)
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // who would wait goes away
		var held []*frames
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)) //nolint:gosec // as good as any
		sizes := []int{100, 200 << 10, 400 << 10, clientBytesMax}
		for range 1000 {
			switch random.IntN(20) {
			case 0:
				b := &frames{}
				if q.take(b) {
					held = append(held, b)
				}
			case 1:
				if len(held) > 0 {
					q.release(held[0])
					held = held[1:]
				}
			default:
				conn := random.Uint64N(200)
				q.put(ctx, laneKey{source{true, conn}, wire.ClassClients}, room[:sizes[random.IntN(len(sizes))]])
			}
			bytes := 0
			for _, l := range q.mu.lanes {
				bytes += l.bytes
			}
			if bytes != q.mu.clientBytes || bytes > clientsBytesMax || len(q.mu.lanes) != q.mu.clientLanes {
				t.Fatalf("%d bytes in %d lanes, counted as %d in %d, want the same and %d bytes at most",
					bytes, len(q.mu.lanes), q.mu.clientBytes, q.mu.clientLanes, clientsBytesMax)
			}
			for _, l := range q.mu.clients {
				if len(l.frames) == 0 || l.held {
					t.Fatalf("a lane with %d frames, held %t, waits for a worker", len(l.frames), l.held)
				}
			}
		}
		var b frames
		for _, h := range held {
			q.release(h)
		}
		for q.take(&b) {
			q.release(&b)
		}
		if len(q.mu.lanes)+q.mu.clientBytes+q.mu.clientLanes != 0 {
			t.Fatalf("%d lanes, counted as %d, with %d bytes are left, want none",
				len(q.mu.lanes), q.mu.clientLanes, q.mu.clientBytes)
		}
	})
}

func TestSuspectsShareNoBatch(t *testing.T) {
	q := newLanes(1, func(s source) bool { return s.id == 2 })
	for peer := range wire.ReplicaID(4) {
		q.put(t.Context(), votesOf(peer), []byte{byte(peer)})
	}
	q.put(t.Context(), laneKey{source{true, 9}, wire.ClassClients}, []byte{9})
	var got [][]byte
	var b frames
	for q.take(&b) {
		var batch []byte
		for _, f := range b.frames {
			batch = append(batch, f...)
		}
		got = append(got, batch)
		q.release(&b)
	}
	want := [][]byte{{0, 1, 3}, {9}, {2}}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("batches (-got +want):\n%s", diff)
	}
}

// TestStreamsStayInOrder lets many workers take from many streams.
func TestStreamsStayInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		workers := rapid.IntRange(1, 4).Draw(t, "workers")
		counts := rapid.SliceOfN(rapid.IntRange(0, 300), 1, 5).Draw(t, "frames")
		q := newLanes(workers, nobody)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		var mu sync.Mutex
		got, total := make([][]uint32, len(counts)), 0
		all := make(chan struct{})
		var running sync.WaitGroup
		for range workers {
			running.Go(func() {
				var b frames
				for {
					if !q.take(&b) {
						select {
						case <-q.wake:
							continue
						case <-ctx.Done():
							return
						}
					}
					mu.Lock()
					for i, f := range b.frames {
						got[b.from[i].id] = append(got[b.from[i].id], binary.BigEndian.Uint32(f))
						if total--; total == 0 {
							close(all)
						}
					}
					mu.Unlock()
					q.release(&b)
				}
			})
		}
		mu.Lock()
		total = 1 // for this goroutine
		for _, c := range counts {
			total += c
		}
		mu.Unlock()
		for peer, c := range counts {
			running.Go(func() {
				for i := range c {
					q.put(ctx, votesOf(wire.ReplicaID(peer)), binary.BigEndian.AppendUint32(nil, uint32(i)))
				}
			})
		}
		mu.Lock()
		if total--; total == 0 {
			close(all)
		}
		mu.Unlock()
		<-all
		cancel()
		running.Wait()
		for peer, c := range counts {
			for i := range c {
				if got[peer][i] != uint32(i) {
					t.Fatalf("frame %d of peer %d: got %d", i, peer, got[peer][i])
				}
			}
		}
	})
}

func TestBucketLetsThroughItsRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		perSecond := rapid.Float64Range(1, 1000).Draw(t, "rate")
		burst := rapid.Float64Range(1, 100).Draw(t, "burst")
		b := newBucket(perSecond, burst)
		start := time.Unix(0, 0)
		at, through := start, 0.0
		for range rapid.IntRange(1, 200).Draw(t, "tries") {
			at = at.Add(time.Duration(rapid.IntRange(0, 50).Draw(t, "ms")) * time.Millisecond)
			if b.take(at, 1) {
				through++
			} else if b.wait(at) <= 0 {
				t.Fatal("the bucket is empty and says not to wait")
			} else if at = at.Add(b.wait(at)); !b.take(at, 0) {
				t.Fatal("the bucket is still empty after the wait that it named")
			}
		}
		if most := burst + perSecond*(at.Sub(start).Seconds()+1/perSecond) + 1; through > most {
			t.Fatalf("%v were let through in %v, want %v or fewer", through, at.Sub(start), most)
		}
	})
}

func TestPenaltiesSlowASourceAndAreForgiven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lines := 0
		p := newPenalties(func(source, wire.Kind, string, int) { lines++ })
		s := peerSource(1)
		for range 2 * penaltyBurst {
			p.add(s, wire.KindPrepare, "bad")
		}
		if lines != 1 {
			t.Errorf("%d lines were logged, want 1", lines)
		}
		if !p.suspect(s) || p.wait(s) <= 0 || p.wait(s) > time.Minute {
			t.Errorf("got wait %v, want some for a suspect", p.wait(s))
		}
		if other := peerSource(2); p.suspect(other) || p.wait(other) != 0 {
			t.Error("another source is punished")
		}
		<-time.After(time.Minute)
		if p.suspect(s) || p.wait(s) != 0 {
			t.Error("the source is not forgiven after a minute")
		}
		p.add(s, wire.KindPrepare, "bad")
		if lines != 2 {
			t.Errorf("%d lines were logged, want 2", lines)
		}
		for conn := range uint64(2 * suspectsMax) {
			p.add(source{true, conn}, wire.KindRequest, "bad")
		}
		if len(p.mu.of) > suspectsMax || p.mu.of[s] == nil {
			t.Errorf("%d sources are kept, want %d with the peer among them", len(p.mu.of), suspectsMax)
		}
	})
}

func TestSeenCacheForgetsOnlyWhatIsDisplaced(t *testing.T) {
	const places = 8
	s := newSeenCache(places)
	digest := func(i int) crypto.Digest { return crypto.Sum([]byte{byte(i)}) }
	last := map[byte]crypto.Digest{} // of each place
	for i := range 100 {
		d := digest(i)
		if s.Seen(d) {
			t.Fatalf("%d is known before it was added", i)
		}
		s.Add(d)
		last[d[0]%places] = d
		for j := range i + 1 {
			d := digest(j)
			if got, want := s.Seen(d), last[d[0]%places] == d; got != want {
				t.Fatalf("after %d: seen(%d) = %t, want %t", i, j, got, want)
			}
		}
	}
	if s.Seen(crypto.Digest{}) {
		t.Error("the zero digest is known, and nobody added it")
	}
}

// TestWhoAsksForMuchKeepsNobodyFromAsking has some connections ask for more than there is
// room for: each of them, and who comes later, has its share.
func TestWhoAsksForMuchKeepsNobodyFromAsking(t *testing.T) {
	w := newWork()
	ask := func(conn uint64, count int) {
		for i := range count {
			w.answer(conn, []core.Answer{{Number: wire.Number(i)}})
		}
	}
	taken := func() map[uint64]int {
		t.Helper()
		got, last := map[uint64]int{}, map[uint64]wire.Number{}
		for _, q := range w.takeAnswers() {
			if n, asked := last[q.conn]; asked && q.Number != n+1 || !asked && q.Number != 0 {
				t.Fatalf("connection %d is to have %d after %d", q.conn, q.Number, n)
			}
			got[q.conn], last[q.conn] = got[q.conn]+1, q.Number
		}
		return got
	}
	ask(1, 3*answersMax)
	ask(2, 64)
	ask(1, 64)
	ask(3, answersMax)
	if diff := cmp.Diff(taken(), map[uint64]int{1: answersMax - 64 - answersMax/3, 2: 64, 3: answersMax / 3}); diff != "" {
		t.Errorf("asked for (-got +want):\n%s", diff)
	}
	ask(1, 2*answersMax) // what was taken counts no more
	if diff := cmp.Diff(taken(), map[uint64]int{1: answersMax}); diff != "" {
		t.Errorf("asked for alone (-got +want):\n%s", diff)
	}
	for conn := range uint64(2 * answersMax) { // more than there are places
		ask(conn, 2)
	}
	if known := len(w.mu.answers.of); known > answersMax {
		t.Errorf("%d connections are counted, want %d at most", known, answersMax)
	}
	if got := taken(); len(got) < answersMax/2 {
		t.Errorf("%d connections have asked for something, want half as many as there are places, or more", len(got))
	}
}

// TestAnswersAreSignedForThoseWhoAreHereAlone keeps the order of the answers.
func TestAnswersAreSignedForThoseWhoAreHereAlone(t *testing.T) {
	c := newClients(nil)
	c.learn(wire.ClientID{1}, 1)
	c.learn(wire.ClientID{3}, 2)
	var told []wire.Told
	for i, client := range []byte{0, 1, 1, 2, 3, 2, 1, 0} { // 0 is the zero key, and not here
		told = append(told, wire.Told{Client: wire.ClientID{client}, Answer: wire.Answer{Number: wire.Number(i)}})
	}
	var got []wire.Number
	for _, a := range c.here(told) {
		got = append(got, a.Number)
	}
	if diff := cmp.Diff(got, []wire.Number{1, 2, 4, 6}); diff != "" {
		t.Errorf("answers (-got +want):\n%s", diff)
	}
	if got := c.here(nil); len(got) != 0 {
		t.Errorf("got %d answers of none", len(got))
	}
}

// TestNobodyTakesAClientsConnection has others replay a client's requests over many
// connections: what is for the client goes over its own one all the same, as long as
// that lives; and a new connection of it has a place until the next one comes.
func TestNobodyTakesAClientsConnection(t *testing.T) {
	const own = 1
	sent := map[uint64]bool{}
	dead := map[uint64]bool{}
	c := newClients(func(conn uint64, _ []byte) bool {
		sent[conn] = true
		return !dead[conn]
	})
	id := wire.ClientID{1}
	answered := func(conn uint64) bool {
		clear(sent)
		c.send(id, nil)
		return sent[conn]
	}
	c.learn(id, own)
	for conn := range uint64(100) {
		c.learn(id, own+1+conn%(2*connsMax))
	}
	if !answered(own) {
		t.Error("the client's own connection is not answered any more")
	}
	if len(sent) > connsMax {
		t.Errorf("%d connections are answered, want %d at most", len(sent), connsMax)
	}
	dead[own] = true
	c.send(id, nil)
	c.learn(id, 1000)
	if !answered(1000) || answered(own) {
		t.Error("the client's new connection is not answered, or the dead one is")
	}
	c.learn(id, 1001)
	if !answered(1001) {
		t.Error("a newer connection is not answered")
	}
}

func TestClientsKeepTheFirstConnectionsAndTheNewest(t *testing.T) {
	var sent []uint64
	dead := map[uint64]bool{}
	c := newClients(func(conn uint64, _ []byte) bool {
		sent = append(sent, conn)
		return !dead[conn]
	})
	id := wire.ClientID{1}
	for conn := range uint64(6) {
		c.learn(id, conn)
	}
	c.learn(id, 3)
	c.send(id, nil)
	if diff := cmp.Diff(sent, []uint64{0, 1, 2, 3}); diff != "" {
		t.Errorf("connections (-got +want):\n%s", diff)
	}
	dead = map[uint64]bool{0: true, 1: true, 2: true, 3: true}
	c.send(id, nil)
	if len(c.conns(id)) > 0 {
		t.Error("a client without a live connection is known")
	}
	for i := range uint64(clientsMax + 10) {
		var k wire.ClientID
		binary.BigEndian.PutUint64(k[:], i)
		c.learn(k, i)
	}
	if c.mu.recent.Len() != clientsMax || len(c.mu.byKey) != clientsMax {
		t.Errorf("%d clients are kept, want %d", c.mu.recent.Len(), clientsMax)
	}
}

func TestOfALinkTheLastEventCounts(t *testing.T) {
	q := newOwn()
	for range 100 {
		q.link(1, false)
		q.link(1, true)
		q.link(2, true)
		q.link(2, false)
	}
	q.put(core.TransferFailed{Seq: 1})
	want := []core.Event{core.Linked{Peer: 1}, core.Unlinked{Peer: 2}, core.TransferFailed{Seq: 1}}
	got := q.take(nil)
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("events (-got +want):\n%s", diff)
	}
	q.link(1, true)
	if again := q.take(nil); len(again) != 1 {
		t.Errorf("got %d events for a new link, want 1", len(again))
	}
}

func TestObservationsOfRareThingsOutliveAFlood(t *testing.T) {
	w := newWatcher(true)
	flood := make([]core.Observation, 2*observationsMax)
	for i := range flood {
		flood[i] = core.Accepted{Seq: wire.Seq(i)}
	}
	w.put(flood)
	w.put([]core.Observation{core.EnteredView{View: 7}})
	waiting, lost := w.take()
	if len(waiting) != observationsMax+1 || lost != observationsMax {
		t.Errorf("got %d observations and %d lost, want %d and %d", len(waiting), lost, observationsMax+1, observationsMax)
	}
	if diff := cmp.Diff(waiting[len(waiting)-1], core.Observation(core.EnteredView{View: 7})); diff != "" {
		t.Errorf("the last (-got +want):\n%s", diff)
	}
}

func TestBusyShareIsThatOfTheLastWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m meter
		m.begin()
		m.end(true)
		for range 10 {
			m.begin()
			<-time.After(75 * time.Millisecond)
			m.end(true)
			<-time.After(25 * time.Millisecond)
		}
		if got := m.share(); got < 0.7 || got > 0.8 {
			t.Errorf("got a share of %v, want 0.75", got)
		}
		<-time.After(2 * busyWindow)
		if got := m.share(); got != 0 {
			t.Errorf("got a share of %v of an idle stage, want 0", got)
		}
	})
}
