package network

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/network/networktest"
	"github.com/quorate/quorate/pbft/wire"
)

// held is a transport whose receiver holds up every frame until it is released, as
// that of a source does that sends rubbish.
type held struct {
	*siege
	entered chan struct{} // gets a token for every frame
	release func()
}

func hold(t *testing.T, clients, perIP int) *held {
	t.Helper()
	c := newCluster(t, 4)
	if err := c.made[0].Close(); err != nil {
		t.Fatal(err)
	}
	cfg := c.config(0)
	cfg.ClientsMax, cfg.ClientsPerIPMax = clients, perIP
	tr, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c.members[0].Addrs = tr.Addrs()
	h := &held{siege: &siege{cluster: c, transport: tr}, entered: make(chan struct{}, 64)}
	released := make(chan struct{})
	h.release = sync.OnceFunc(func() { close(released) })
	wait := func() {
		h.entered <- struct{}{}
		<-released
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- tr.Run(ctx, Inbound{
			Peer:   func(wire.ReplicaID, []byte) { wait() },
			Client: func(uint64, []byte) { wait() },
		})
	}()
	t.Cleanup(func() {
		h.release()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	await(t, "it serves clients", func() bool { return slices.Contains(tr.host.Mux().Protocols(), clientProtocol) })
	return h
}

// TestWhoConnectsAnewTakesNoMoreThanItsAddressMayHave has clients leave while they are
// read slowly: others, from elsewhere, still find the places that are theirs.
func TestWhoConnectsAnewTakesNoMoreThanItsAddressMayHave(t *testing.T) {
	const perIP = 2
	h := hold(t, 4, perIP)
	for range perIP {
		a := h.stranger(t)
		st := a.admitted(t, h.siege, outsider, wire.ClassClients)
		if _, err := st.Write(framed(networktest.Frame(wire.KindRequest, 1, 0))); err != nil {
			t.Fatal(err)
		}
		<-h.entered
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
	}
	hello := hello{version: protocolVersion, cluster: h.genesis, sender: outsider, class: wire.ClassClients}
	st, err := h.stranger(t).open(t, clientProtocol)
	if err != nil {
		t.Fatal(err)
	}
	if got := h.stranger(t).say(t, st, hello); got.verdict != verdictCrowd {
		t.Errorf("verdict %d for one more of the same address, want %d: a crowd", got.verdict, verdictCrowd)
	}
	h.release()
	await(t, "the places are free again", func() bool {
		a := h.stranger(t)
		st, err := a.open(t, clientProtocol)
		return err == nil && a.say(t, st, hello).verdict == verdictWelcome
	})
}

// TestClientsThatLeaveAreNotHeldOnTo has clients come and go faster than the time in which
// they must open their stream.
func TestClientsThatLeaveAreNotHeldOnTo(t *testing.T) {
	c := newCluster(t, 1)
	tr := c.made[0]
	s := &siege{cluster: c, transport: tr}
	var stopped []*time.Timer
	tr.door.after = func(_ time.Duration, f func()) *time.Timer {
		timer := time.AfterFunc(time.Hour, f)
		stopped = append(stopped, timer) // under the door's lock
		return timer
	}
	const clients = 3
	for i := range clients {
		a := s.stranger(t)
		if _, err := a.stream(t); err != nil {
			t.Fatal(err)
		}
		await(t, "the client is known to be there", func() bool {
			tr.door.mu.Lock()
			defer tr.door.mu.Unlock()
			return len(stopped) == i+1
		})
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "no clock holds on to a connection", func() bool {
		tr.door.mu.Lock()
		defer tr.door.mu.Unlock()
		return len(tr.door.mu.clocks) == 0
	})
	for i, timer := range stopped {
		if timer.Stop() {
			t.Errorf("the clock of client %d goes on after it left", i)
		}
	}
}

// TestAnswersThatNobodyReadsShareTheirRoom has a client read nothing: what waits for it takes
// room of what all clients share, which it leaves behind when it goes.
func TestAnswersThatNobodyReadsShareTheirRoom(t *testing.T) {
	h := hold(t, 4, 4)
	pool := h.transport.served.answers
	a := h.stranger(t)
	st := a.admitted(t, h.siege, outsider, wire.ClassClients)
	if _, err := st.Write(framed(networktest.Frame(wire.KindRequest, 1, 0))); err != nil {
		t.Fatal(err)
	}
	<-h.entered
	h.transport.served.mu.RLock()
	conn := h.transport.served.mu.last
	h.transport.served.mu.RUnlock()
	answer, waiting := make([]byte, h.transport.cfg.FrameBytesMax), 0
	for h.transport.Answer(conn, answer) {
		waiting += len(answer)
	}
	if used := pool.Used(); used == 0 || used > waiting-h.transport.served.answersOwn {
		t.Errorf("%d bytes were taken for a client that reads nothing, %d of the room of all", waiting, used)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	h.release()
	await(t, "its room is free again", func() bool { return pool.Used() == 0 })
	if h.transport.Answer(conn, answer) || pool.Used() != 0 {
		t.Error("a client that is gone was answered")
	}
}
