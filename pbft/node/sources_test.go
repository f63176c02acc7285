package node

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// sources plays the members but 0 as sources of a state.
type sources struct {
	m     *members
	pace  func(source wire.ReplicaID, nth int) time.Duration // before the nth piece of a question
	asks  []chan *wire.FetchPieces
	ended sync.WaitGroup
	mu    sync.Mutex
	far   map[crypto.Digest]*fakeState // by root
}

// playSources has the members but 0 answer what 0 asks for, one question after the
// other, until stop is called.
func playSources(t *testing.T, m *members, pace func(source wire.ReplicaID, nth int) time.Duration) *sources {
	t.Helper()
	s := &sources{m: m, pace: pace, far: map[crypto.Digest]*fakeState{}}
	for id := range m.configs {
		c := make(chan *wire.FetchPieces, 1000)
		s.asks = append(s.asks, c)
		s.ended.Go(func() {
			for q := range c {
				s.answer(wire.ReplicaID(id), q)
			}
		})
	}
	m.hub.tamper(func(from, to wire.ReplicaID, frame []byte) [][]byte {
		if from != 0 || kindOf(frame) != wire.KindFetchPieces {
			return [][]byte{frame}
		}
		if q, err := wire.Decode(frame, &m.configs[0].Limits); err == nil {
			s.asks[to] <- q.(*wire.FetchPieces) //nolint:errcheck,forcetypeassert // its kind says so
		}
		return nil
	})
	return s
}

func (s *sources) answer(id wire.ReplicaID, q *wire.FetchPieces) {
	s.mu.Lock()
	state := s.far[q.Root]
	s.mu.Unlock()
	for nth, d := range q.Digests {
		if wait := s.pace(id, nth); wait > 0 {
			<-time.After(wait)
		}
		data, _ := state.Piece(d)
		s.m.hub.ports[0].in[id] <- wire.Encode(&wire.Piece{Root: q.Root, Data: data})
	}
}

// has says that the sources have this state, and returns the target that it is.
func (s *sources) has(state *fakeState) core.Target {
	s.mu.Lock()
	defer s.mu.Unlock()
	seq, root := state.Last()
	s.far[root] = state
	target := core.Target{Cert: wire.CheckpointCert{Seq: seq, State: root}}
	for id := range s.m.configs {
		target.From = append(target.From, wire.ReplicaID(id))
	}
	return target
}

// stop ends what playSources has begun.
func (s *sources) stop() {
	s.m.hub.tamper(nil)
	for _, c := range s.asks {
		close(c)
	}
	s.ended.Wait()
}

// fetching is a core that wants states.
type fetching struct {
	fakeEngine
	targets  chan core.Target
	mu       sync.Mutex
	fetched  []wire.Seq
	failures int
}

func newFetching() *fetching {
	f := &fetching{targets: make(chan core.Target, 1)}
	f.step = func(ev core.Event, fx *core.Effects) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if done, ok := ev.(core.Transferred); ok {
			f.fetched = append(f.fetched, done.State.Seq)
		}
		if _, ok := ev.(core.TransferFailed); ok {
			f.failures++
		}
		if _, ok := ev.(core.Tick); ok && len(f.targets) > 0 {
			fx.Fetch = append(fx.Fetch, <-f.targets)
		}
	}
	return f
}

// came returns what states were fetched, and how often that failed.
func (f *fetching) came() (seqs []wire.Seq, failures int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append(seqs, f.fetched...), f.failures
}

// TestSourcesThatAnswerJustInTimeHoldUpNoTransfer has f liars answer with one piece in
// nearly the time after which they would count as silent.
func TestSourcesThatAnswerJustInTimeHoldUpNoTransfer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMembers(t, 7)
		s := playSources(t, m, func(source wire.ReplicaID, _ int) time.Duration {
			if source <= 2 {
				return askPatience - askPatience/20
			}
			return time.Millisecond
		})
		e := newFetching()
		e.targets <- s.has(filled(800, 8000))
		_, ended, cancel := runScripted(t, m, &e.fakeEngine)
		<-time.After(time.Minute)
		seqs, failures := e.came()
		if len(seqs) != 1 || failures != 0 {
			t.Errorf("fetched %v and failed %d times in a minute, want 800 fetched: the honest ones need two seconds", seqs, failures)
		}
		cancel()
		endsCleanly(t, ended)
		s.stop()
	})
}

// TestTransferThatGoesWellEndsBeforeANewerOneBegins has the cluster move on faster than
// a state is fetched.
func TestTransferThatGoesWellEndsBeforeANewerOneBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMembers(t, 4)
		s := playSources(t, m, func(_ wire.ReplicaID, nth int) time.Duration {
			if nth == 0 {
				return time.Second
			}
			return 0
		})
		e := newFetching()
		_, ended, cancel := runScripted(t, m, &e.fakeEngine)
		began := time.Now()
		for seq := wire.Seq(8); time.Since(began) < time.Minute; seq += 8 {
			e.targets <- s.has(filled(seq, 2000))
			<-time.After(2 * time.Second)
		}
		if seqs, failures := e.came(); len(seqs) == 0 || failures != 0 {
			t.Errorf("fetched %v and failed %d times in a minute, want some fetched: one takes a few seconds", seqs, failures)
		}
		cancel()
		endsCleanly(t, ended)
		s.stop()
	})
}

// TestSlowStateIsNoSilenceOfTheSources has the State take longer for a piece than
// sources may be silent.
func TestSlowStateIsNoSilenceOfTheSources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMembers(t, 4)
		s := playSources(t, m, func(wire.ReplicaID, int) time.Duration { return time.Millisecond })
		m.states[0].slow = func() { <-time.After(transferPatience + time.Second) }
		e := newFetching()
		e.targets <- s.has(filled(800, 40))
		_, ended, cancel := runScripted(t, m, &e.fakeEngine)
		<-time.After(20 * transferPatience)
		if seqs, failures := e.came(); len(seqs) != 1 || failures != 0 {
			t.Errorf("fetched %v and failed %d times, want 800 fetched", seqs, failures)
		}
		cancel()
		endsCleanly(t, ended)
		s.stop()
	})
}

// TestLateAnswersAreNoLie has the line to one source stand still for a while: it then
// answers all that it was asked for, and others were asked meanwhile.
func TestLateAnswersAreNoLie(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMembers(t, 4)
		began := time.Now()
		s := playSources(t, m, func(source wire.ReplicaID, _ int) time.Duration {
			still := time.Until(began.Add(3*askPatience + askPatience/2))
			if source == 1 && still > 0 && still < 3*askPatience {
				return still
			}
			return 20 * time.Millisecond
		})
		e := newFetching()
		e.targets <- s.has(filled(800, 8000))
		n, ended, cancel := runScripted(t, m, &e.fakeEngine)
		<-time.After(2 * time.Minute)
		if seqs, failures := e.came(); len(seqs) != 1 || failures != 0 {
			t.Errorf("fetched %v and failed %d times, want 800 fetched", seqs, failures)
		}
		for id := range wire.ReplicaID(4) {
			if n.punished(id) {
				t.Errorf("replica %d got a penalty and sent nothing but what it was asked for", id)
			}
		}
		cancel()
		endsCleanly(t, ended)
		s.stop()
	})
}
