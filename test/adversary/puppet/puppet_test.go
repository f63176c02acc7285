package puppet_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/network/memory"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/node"
	"github.com/quorate/quorate/pbft/wire"
	"github.com/quorate/quorate/test/adversary"
	"github.com/quorate/quorate/test/adversary/puppet"
)

// world is a network of four, in which replica 0 has a puppet and the others keep
// what they get.
type world struct {
	tb      testing.TB
	network *memory.Network
	keys    []crypto.PrivateKey
	opener  *wire.Opener
	cfg     node.Config // of replica 0
	mu      sync.Mutex
	got     map[wire.ReplicaID][][]byte // frames from replica 0, and what its node gets
	conn    uint64                      // of its last client
}

func newWorld(tb testing.TB) *world {
	tb.Helper()
	q, err := core.NewQuorum(4)
	if err != nil {
		tb.Fatal(err)
	}
	w := &world{tb: tb, network: memory.NewNetwork(4), got: map[wire.ReplicaID][][]byte{}}
	var public []crypto.PublicKey
	for i := range 4 {
		var seed [crypto.SeedSize]byte
		binary.BigEndian.PutUint64(seed[:], uint64(i)+1) //nolint:gosec // small
		key, err := crypto.NewPrivateKey(seed[:])
		if err != nil {
			tb.Fatal(err)
		}
		w.keys, public = append(w.keys, key), append(public, key.Public())
	}
	w.cfg = node.Config{
		Core: core.DefaultConfig(0, q), Domain: crypto.Domain{Cluster: crypto.Sum([]byte("puppets"))}, Keys: public,
		Signer: w.keys[0], Limits: wire.DefaultLimits(4), Verifier: crypto.NewVerifier(8),
		Transport: w.network.Transport(0),
	}
	w.opener = wire.NewOpener(w.cfg.Domain, public, w.cfg.Limits, w.cfg.Verifier)
	return w
}

// sign signs as a replica.
func (w *world) sign(id wire.ReplicaID, m wire.Message) []byte {
	return wire.Seal(w.keys[id], w.cfg.Domain, m).Frame()
}

func (w *world) keep(at wire.ReplicaID, frame []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.got[at] = append(w.got[at], frame)
}

// takes returns what a replica got since the last call, when all is still.
func (w *world) takes(at wire.ReplicaID) [][]byte {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	out := w.got[at]
	w.got[at] = nil
	return out
}

// play runs the network with a puppet in a bubble.
func play(t *testing.T, s adversary.Strategy, o puppet.Options, scene func(w *world, p *puppet.Puppet)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := puppet.New(w.cfg, s, o)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() {
			in := node.Inbound{
				Peer:   func(_ wire.ReplicaID, frame []byte) { w.keep(0, frame) },
				Client: func(conn uint64, _ []byte) { w.conn = conn },
			}
			if err := p.Run(ctx, in); err != nil {
				t.Error(err)
			}
		})
		for id := wire.ReplicaID(1); id < 4; id++ {
			running.Go(func() {
				in := memory.Inbound{Peer: func(_ wire.ReplicaID, frame []byte) { w.keep(id, frame) }}
				if err := w.network.Transport(id).Run(ctx, in); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		scene(w, p)
		cancel()
		running.Wait()
	})
}

// actor notes what it is asked, answers with what it is told to, and must not be
// called twice at once.
type actor struct {
	adversary.Honest

	tb          testing.TB
	busy        sync.Mutex
	said, heard int
	ticks       atomic.Int64
	env         adversary.Env
	say, hear   func(m *wire.Sealed) []*wire.Sealed
	sealed      map[*wire.Sealed]bool
}

func (a *actor) enter(env adversary.Env) func() {
	if !a.busy.TryLock() {
		a.tb.Error("the strategy is called twice at once")
		return func() {}
	}
	a.env = env
	return a.busy.Unlock
}

func (a *actor) Say(env adversary.Env, _ wire.ReplicaID, m *wire.Sealed) []*wire.Sealed {
	defer a.enter(env)()
	a.said++
	if a.sealed != nil {
		a.sealed[m] = true
	}
	if a.say != nil {
		return a.say(m)
	}
	return []*wire.Sealed{m}
}

func (a *actor) Hear(env adversary.Env, _ wire.ReplicaID, m *wire.Sealed) []*wire.Sealed {
	defer a.enter(env)()
	a.heard++
	if a.hear != nil {
		return a.hear(m)
	}
	return []*wire.Sealed{m}
}

func (a *actor) Tick(env adversary.Env) {
	defer a.enter(env)()
	a.ticks.Add(1)
}

func commit(seq wire.Seq, sender wire.ReplicaID) wire.Message {
	return &wire.Commit{Vote: wire.Vote{Seq: seq, Digest: crypto.Sum(nil), Sender: sender}}
}

func TestWhatCannotBeOpenedPassesUnchanged(t *testing.T) {
	a := &actor{tb: t}
	play(t, a, puppet.Options{}, func(w *world, p *puppet.Puppet) {
		bad := []byte{wire.Version, byte(wire.KindCommit), 1, 2, 3}
		if !p.Send(1, bad) || !w.network.Transport(2).Send(0, bad) {
			t.Fatal("no room")
		}
		if out, in := w.takes(1), w.takes(0); len(out) != 1 || !bytes.Equal(out[0], bad) || len(in) != 1 || !bytes.Equal(in[0], bad) {
			t.Errorf("%x goes out and %x comes in, want it unchanged", out, in)
		}
		if a.said+a.heard > 0 {
			t.Error("the strategy is shown what nobody can open")
		}
	})
}

func TestStrategyDecidesWhatGoesOutAndComesIn(t *testing.T) {
	a := &actor{tb: t, sealed: map[*wire.Sealed]bool{}}
	play(t, a, puppet.Options{}, func(w *world, p *puppet.Puppet) {
		a.say = func(m *wire.Sealed) []*wire.Sealed { return []*wire.Sealed{m, a.env.Sign(commit(7, 0))} }
		a.hear = func(*wire.Sealed) []*wire.Sealed { return nil }
		frame := w.sign(0, commit(1, 0))
		for to := wire.ReplicaID(1); to < 4; to++ {
			p.Send(to, frame)
		}
		for at := wire.ReplicaID(1); at < 4; at++ {
			if got := w.takes(at); len(got) != 2 || !bytes.Equal(got[0], frame) || !bytes.Equal(got[1], w.sign(0, commit(7, 0))) {
				t.Errorf("replica %d gets %d frames, want the own and the lie", at, len(got))
			}
		}
		if len(a.sealed) != 1 {
			t.Errorf("one frame is %d messages to the strategy", len(a.sealed))
		}
		w.network.Transport(1).Send(0, w.sign(1, commit(1, 1)))
		if in := w.takes(0); len(in) != 0 || a.heard != 1 {
			t.Errorf("%d frames come in, and %d are shown, want none and one", len(in), a.heard)
		}
		<-time.After(time.Duration(w.cfg.Core.RequestTicks) * node.TickDefault) // of the bubble
		if ticks := a.ticks.Load(); ticks < 99 || ticks > 101 {
			t.Errorf("%d ticks in a request timeout, want 100", ticks)
		}
	})
}

func TestNothingHappensAfterTheEnd(t *testing.T) {
	done := 0
	a := &actor{tb: t}
	var ended *puppet.Puppet
	play(t, a, puppet.Options{}, func(w *world, p *puppet.Puppet) {
		ended = p
		a.say = func(m *wire.Sealed) []*wire.Sealed {
			a.env.After(time.Millisecond, func() { done++; a.env.Send(1, m) })
			a.env.After(time.Hour, func() { done += 100 })
			return nil
		}
		frame := w.sign(0, commit(1, 0))
		p.Send(1, frame)
		if got := w.takes(1); len(got) != 0 {
			t.Errorf("%d frames go out at once", len(got))
		}
		<-time.After(time.Second) // of the bubble
		if got := w.takes(1); len(got) != 1 || !bytes.Equal(got[0], frame) {
			t.Errorf("%d frames go out later, want one", len(got))
		}
	})
	said := a.said
	if w := newWorld(t); ended.Send(1, w.sign(0, commit(2, 0))) || a.said != said || done != 1 {
		t.Errorf("after the end, %d more are said, and %d was done, want nothing and 1", a.said-said, done)
	}
}

func TestPuppetsSignWithTheKeysTheyHave(t *testing.T) {
	var notes []string
	a := &actor{tb: t}
	o := puppet.Options{Note: func(text string) { notes = append(notes, text) }}
	w := newWorld(t)
	o.Colluders = map[wire.ReplicaID]crypto.Signer{2: w.keys[2]}
	play(t, a, o, func(w *world, p *puppet.Puppet) {
		a.say = func(*wire.Sealed) []*wire.Sealed {
			as2, ok := a.env.SignAs(2, commit(2, 2))
			own, self := a.env.SignAs(0, commit(1, 0))
			if _, able := a.env.SignAs(3, commit(1, 3)); able || !ok || !self {
				t.Error("it signs as whose key it lacks, or not as whose it has")
			}
			request := a.env.SignRequest(1, &wire.Request{Session: 1, Number: 1, Ops: [][]byte{{1}}})
			foreigner, ok := a.env.(adversary.Foreigner)
			if !ok {
				t.Fatal("it signs in no other domain")
			}
			foreign := foreigner.SignIn(crypto.Domain{Epoch: 9}, commit(1, 0))
			a.env.Note("signs %d", 4)
			return []*wire.Sealed{as2, own, request, foreign}
		}
		p.Send(1, w.sign(0, commit(1, 0)))
		var opened []bool
		for _, frame := range w.takes(1) {
			_, err := w.opener.OpenOne(frame)
			opened = append(opened, err == nil)
		}
		slices.SortFunc(opened, func(x, y bool) int { return map[bool]int{true: 0, false: 1}[x] - map[bool]int{true: 0, false: 1}[y] })
		if !slices.Equal(opened, []bool{true, true, true, false}) || !slices.Equal(notes, []string{"signs 4"}) {
			t.Errorf("of its messages %v open, and it noted %q: want all but the foreign one", opened, notes)
		}
	})
}

func TestPuppetsThrowWhatIsNoMessage(t *testing.T) {
	play(t, adversary.DecodeBombs(), puppet.Options{}, func(w *world, _ *puppet.Puppet) {
		<-time.After(time.Second) // of the bubble
		frames := w.takes(1)
		if len(frames) < 100 {
			t.Errorf("%d frames in a second, want some at every tick", len(frames))
		}
		for _, frame := range frames {
			if m, err := w.opener.OpenOne(frame); err == nil {
				t.Errorf("a %s among the bombs is good", m.Message().Kind())
			}
		}
	})
}

func TestClientsGetWhatTheStrategyAnswers(t *testing.T) {
	play(t, adversary.MutatingReplies(), puppet.Options{}, func(w *world, p *puppet.Puppet) {
		ctx, cancel := context.WithCancel(w.tb.Context())
		client := w.network.Clients()
		var running sync.WaitGroup
		running.Go(func() {
			take := func(_ wire.ReplicaID, frame []byte) error {
				w.keep(9, frame)
				return nil
			}
			if err := client.Run(ctx, take, nil); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		ask := wire.Encode(&wire.Ask{Nonce: 1})
		if !client.Send(0, ask) {
			t.Fatal("no room")
		}
		synctest.Wait()
		report := w.sign(0, &wire.Report{Nonce: 1})
		reply := w.sign(0, &wire.Replies{
			Answers: []wire.Answer{{Number: 1, Result: []byte("right")}}, Outer: wire.Place{Leaves: 1},
		})
		if !p.Answer(w.conn, report) || !p.Answer(w.conn, reply) || p.Answer(w.conn+1, reply) {
			t.Error("an answer finds no room, or one to nobody does")
		}
		got := w.takes(9)
		if len(got) != 2 || !bytes.Equal(got[0], report) {
			t.Fatalf("%d answers, want the report and the reply", len(got))
		}
		opened, err := w.opener.OpenOne(got[1])
		if err != nil {
			t.Fatal(err)
		}
		if lie, ok := opened.Message().(*wire.Replies); !ok || string(lie.Answers[0].Result) == "right" {
			t.Errorf("the client gets %+v, want another result, well signed", opened.Message())
		}
		cancel()
		running.Wait()
	})
}
