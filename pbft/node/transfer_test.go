package node

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/network/memory"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// filled returns a state with a snapshot after seq of many pieces.
func filled(seq wire.Seq, entries int) *fakeState {
	s := newFakeState()
	for i := range entries {
		_ = s.Put(fmt.Appendf(nil, "k%05d", i), fmt.Appendf(nil, "value %d of %d", i, seq))
	}
	_ = s.Put(metaKey(), meta{seq: seq, domain: testDomain()}.encode())
	s.Checkpoint(seq, func(crypto.Digest, error) {})
	s.background.Wait()
	return s
}

func TestPiecesTakeOnlyWhatWasAskedFor(t *testing.T) {
	const life = 7
	p := newPieces(life)
	root, other := crypto.Sum([]byte("root")), crypto.Sum([]byte("other"))
	offer := func(from wire.ReplicaID, root crypto.Digest, bytes int) {
		p.offer(from, &wire.Piece{Root: root, Life: life, Data: make([]byte, bytes)})
	}
	offer(1, root, 1) // nothing is fetched
	p.open(root)
	p.expect(1, 3)
	p.expect(2, 100)
	offer(1, other, 1)
	p.offer(1, &wire.Piece{Root: root, Life: life - 1, Data: make([]byte, 1<<10)}) // asked for before a restart
	for range 5 {
		offer(1, root, 1)
	}
	offer(3, root, 1)
	for range 100 {
		offer(2, root, 1<<20)
	}
	bytes := 0
	count := map[wire.ReplicaID]int{}
	for _, a := range p.take() {
		bytes += len(a.data)
		count[a.from]++
	}
	if bytes%(1<<20) != 3 {
		t.Errorf("got %d bytes, want those of three pieces of 1, and whole ones of 2", bytes)
	}
	if count[1] != 3 || count[3] != 0 || count[2] == 0 || bytes > piecesBytesMax {
		t.Errorf("got %v pieces with %d bytes, want 3 of 1, some of 2, and %d bytes or fewer", count, bytes, piecesBytesMax)
	}
	p.giveUp(2)
	offer(2, root, 1)
	p.close()
	offer(1, root, 1)
	if left := p.take(); len(left) != 0 {
		t.Errorf("%d pieces were taken after the end, want 0", len(left))
	}
}

// asked is what a served peer was sent.
func asked(t *testing.T, m *members, to wire.ReplicaID) [][]byte {
	t.Helper()
	var got [][]byte
	for {
		select {
		case frame := <-m.hub.ports[to].in[0]:
			if kindOf(frame) != wire.KindPiece {
				continue
			}
			msg, err := wire.Decode(frame, &m.configs[0].Limits)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, msg.(*wire.Piece).Data) //nolint:errcheck,forcetypeassert // its kind says so
		default:
			return got
		}
	}
}

func idle() *fakeEngine { return &fakeEngine{step: func(core.Event, *core.Effects) {}} }

func TestServingSendsPiecesInOrderAndSaysWhatItLacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMembers(t, 4)
		n, ended, cancel := runScripted(t, m, idle())
		data := []byte("a piece")
		m.states[0].mu.Lock()
		m.states[0].mu.pieces[pieceDigest(data)] = data
		m.states[0].mu.Unlock()
		_, root := m.states[0].Last()
		n.serving.ask(1, &wire.FetchPieces{Seq: 8, Digests: []crypto.Digest{root, {1}, pieceDigest(data)}})
		n.serving.ask(2, &wire.FetchPieces{Seq: 8, Digests: make([]crypto.Digest, askDigestsMax+1)})
		for range 3 * servedAsksMax {
			n.serving.ask(3, &wire.FetchPieces{Seq: 8, Digests: []crypto.Digest{root}})
		}
		synctest.Wait()
		got := asked(t, m, 1)
		if len(got) != 3 || string(got[0]) != "top:" || len(got[1]) != 0 || string(got[2]) != "a piece" {
			t.Errorf("got %q, want the root, nothing, and the piece", got)
		}
		if got := asked(t, m, 2); len(got) != 0 {
			t.Errorf("a question for too much got %d answers, want 0", len(got))
		}
		if got := len(asked(t, m, 3)); got == 0 || got > 3*servedAsksMax {
			t.Errorf("a flood of questions got %d answers", got)
		}
		cancel()
		endsCleanly(t, ended)
	})
}

func TestServingIsLimitedInBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMembers(t, 4)
		n, ended, cancel := runScripted(t, m, idle())
		big := make([]byte, 500<<10)
		m.states[0].mu.Lock()
		m.states[0].mu.pieces[pieceDigest(big)] = big
		m.states[0].mu.Unlock()
		question := &wire.FetchPieces{Seq: 8}
		for range askDigestsMax {
			question.Digests = append(question.Digests, pieceDigest(big))
		}
		began, bytes := time.Now(), 0
		for time.Since(began) < 5*time.Second {
			n.serving.ask(1, question)
			<-time.After(10 * time.Millisecond)
			for _, p := range asked(t, m, 1) {
				bytes += len(p)
			}
		}
		if most := 5*servedBytesPerSecond + servedBurstBytes + 2*len(big); bytes > most || bytes < most/2 {
			t.Errorf("%d bytes were sent in 5 s, want %d or a little fewer", bytes, most)
		}
		cancel()
		endsCleanly(t, ended)
	})
}

func TestSnapshotThatIsBeingFetchedIsKeptForABoundedTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMembers(t, 4)
		n, ended, cancel := runScripted(t, m, idle())
		_, root := m.states[0].Last()
		m.states[0].keep(8, root)
		ask := func() { n.serving.ask(1, &wire.FetchPieces{Seq: 8, Root: root, Digests: []crypto.Digest{root}}) }
		ask()
		synctest.Wait()
		n.serving.collect(24)
		synctest.Wait()
		if got := m.states[0].collected(); got != 8 {
			t.Errorf("collected up to %d while 8 is fetched, want 8", got)
		}
		<-time.After(2 * leaseIdle)
		if got := m.states[0].collected(); got != 24 {
			t.Errorf("collected up to %d after the peer fell silent, want 24", got)
		}
		m.states[0].keep(8, root)
		began := time.Now()
		for time.Since(began) < leaseMax+leaseIdle {
			ask()
			synctest.Wait()
			n.serving.collect(32)
			<-time.After(time.Second)
			if got := m.states[0].collected(); got != 24 && time.Since(began) < leaseMax/2 {
				t.Fatalf("collected up to %d while 8 is fetched, want no more than before", got)
			}
		}
		if got := m.states[0].collected(); got != 32 {
			t.Errorf("collected up to %d beside a peer that fetches for ever, want 32", got)
		}
		cancel()
		endsCleanly(t, ended)
	})
}

// TestNothingIsKeptForWhoAsksForAnotherState asks for pages, which are sent, as ones of a
// snapshot that is not here: by its number, by its root, or any longer.
func TestNothingIsKeptForWhoAsksForAnotherState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMembers(t, 4)
		n, ended, cancel := runScripted(t, m, idle())
		_, root := m.states[0].Last()
		n.serving.collect(8)
		synctest.Wait()
		m.states[0].keep(8, root)
		m.states[0].keep(16, crypto.Digest{16})
		stable := wire.Seq(8)
		for _, other := range []wire.FetchPieces{{Seq: 1, Root: root}, {Seq: 8, Root: crypto.Digest{1}}, {Seq: 16, Root: root}} {
			other.Digests = []crypto.Digest{root}
			n.serving.ask(1, &other)
			stable += 8
			synctest.Wait()
			n.serving.collect(stable)
			synctest.Wait()
			if got := m.states[0].collected(); got != stable {
				t.Errorf("collected up to %d while another state is asked for: %d %s, want %d",
					got, other.Seq, other.Root.Short(), stable)
			}
			if got := asked(t, m, 1); len(got) != 1 || string(got[0]) != "top:" {
				t.Errorf("got %q, want the page", got)
			}
		}
		cancel()
		endsCleanly(t, ended)
	})
}

// TestWhoFetchesForLongHasTheNewerSnapshotKept asks for one snapshot after the other
// for longer than any is kept.
func TestWhoFetchesForLongHasTheNewerSnapshotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMembers(t, 4)
		n, ended, cancel := runScripted(t, m, idle())
		stable, fetched := wire.Seq(0), wire.Seq(0)
		for second := range 20 * 60 {
			stable += 8
			m.states[0].keep(stable, crypto.Digest{2})
			n.serving.collect(stable)
			if second%60 == 0 {
				fetched = stable
			}
			n.serving.ask(1, &wire.FetchPieces{Seq: fetched, Root: crypto.Digest{2}, Digests: []crypto.Digest{{1}}})
			<-time.After(time.Second)
			if got := m.states[0].collected(); got > fetched {
				t.Fatalf("second %d: collected up to %d while %d is fetched, which was stable less than a minute ago", second, got, fetched)
			}
			if got, least := m.states[0].collected(), stable-min(stable, 8*90); got < least {
				t.Fatalf("second %d: collected up to %d, want %d or more: nobody needs that", second, got, least)
			}
		}
		cancel()
		endsCleanly(t, ended)
	})
}

// TestLiarsEndATransferAndNothingElse has sources that all send rubbish.
func TestLiarsEndATransferAndNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMembers(t, 4)
		far := filled(800, 2000)
		_, root := far.Last()
		var failed []core.Event
		e := idle()
		e.step = func(ev core.Event, fx *core.Effects) {
			if _, ok := ev.(core.Start); ok {
				fx.Execute = append(fx.Execute, core.Execution{Seq: 1}, core.Execution{Seq: 2})
				fx.Fetch = append(fx.Fetch, core.Target{
					Cert: wire.CheckpointCert{Seq: 800, State: root}, From: []wire.ReplicaID{0, 1, 2, 3},
				})
			}
			if _, ok := ev.(core.TransferFailed); ok {
				failed = append(failed, ev)
			}
		}
		n, ended, cancel := runScripted(t, m, e)
		rubbish := wire.Encode(&wire.Piece{Root: root, Data: []byte("rubbish")})
		for peer := 1; peer < 4; peer++ {
			m.hub.ports[0].in[peer] <- rubbish // before it was asked
		}
		for range 50 {
			for peer := 1; peer < 4; peer++ {
				m.hub.ports[0].in[peer] <- rubbish
			}
			<-time.After(20 * time.Millisecond)
		}
		<-time.After(transferPatience)
		cancel()
		endsCleanly(t, ended)
		if len(failed) != 1 || failed[0] != (core.TransferFailed{Seq: 800}) {
			t.Errorf("got events %v, want the transfer failed once", failed)
		}
		if m.states[0].isFetching() {
			t.Error("the state was not told that the transfer is over")
		}
		if got := n.applier.Seq(); got != 2 {
			t.Errorf("batch %d is the last applied after the transfer failed, want 2", got)
		}
	})
}

func TestNewerTargetReplacesTheOlder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMembers(t, 4)
		var targets []wire.Seq
		e := idle()
		e.step = func(ev core.Event, fx *core.Effects) {
			if tick, ok := ev.(core.Tick); ok && len(targets) < 3 {
				_ = tick
				targets = append(targets, wire.Seq(8*(len(targets)+1)))
				fx.Fetch = append(fx.Fetch, core.Target{
					Cert: wire.CheckpointCert{Seq: targets[len(targets)-1], State: crypto.Sum([]byte{byte(len(targets))})},
					From: []wire.ReplicaID{1},
				})
			}
		}
		_, ended, cancel := runScripted(t, m, e)
		<-time.After(time.Second)
		cancel()
		endsCleanly(t, ended)
		if got := m.states[0].mu.target; got != 24 {
			t.Errorf("the state of %d is fetched, want that of 24", got)
		}
	})
}

// TestDriverRunsOnTheMemoryTransport cuts a replica off and joins it again.
func TestDriverRunsOnTheMemoryTransport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMembers(t, 4)
		net := memory.NewNetwork(4)
		for i := range m.configs {
			m.configs[i].Transport = net.Transport(wire.ReplicaID(i))
		}
		m.startAll()
		defer m.stopAll()
		clients, replies := net.Clients(), make(chan []byte, 1000)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		up := make(chan struct{}, 4)
		go func() {
			done <- clients.Run(ctx,
				func(_ wire.ReplicaID, frame []byte) error {
					replies <- frame
					return nil
				},
				func(_ wire.ReplicaID, connected bool, _ error) {
					if connected {
						token(up)
					}
				})
		}()
		for range 4 {
			<-up
		}
		c := m.caller(1)
		net.Isolate(3)
		for range 100 {
			frame := c.request("op")
			for id := range wire.ReplicaID(4) {
				clients.Send(id, frame)
			}
			for range 3 {
				<-replies
			}
		}
		net.Heal()
		m.level()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
