package node

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// punished tells whether peer ever got a penalty.
func (n *Node) punished(peer wire.ReplicaID) bool {
	n.penalties.mu.Lock()
	defer n.penalties.mu.Unlock()
	return n.penalties.mu.of[peerSource(peer)] != nil
}

func kindOf(frame []byte) wire.Kind { return wire.Kind(frame[1]) }

// outrun starts nodes 0 to 2 and makes them execute ops batches without node 3.
func (m *members) outrun(ops int) *caller {
	m.t.Helper()
	for i := range 3 {
		m.start(i)
	}
	c := m.caller(1)
	for range ops {
		c.call([]int{0, 1, 2}, 3, "op")
	}
	return c
}

// level waits until node 3 has executed what node 0 has.
func (m *members) level() {
	m.t.Helper()
	m.await("node 3 to catch up", func() bool {
		a, b := m.nodes[0].Report(), m.nodes[3].Report()
		return b.Executed == a.Executed && b.Stable == a.Stable && b.State == a.State
	})
}

func (m *members) saw(i int, what func(core.Observation) bool) bool {
	m.seen[i].mu.Lock()
	defer m.seen[i].mu.Unlock()
	for _, o := range m.seen[i].all {
		if what(o) {
			return true
		}
	}
	return false
}

func caughtUp(o core.Observation) bool {
	_, ok := o.(core.CaughtUp)
	return ok
}

func TestReplicaFarBehindFetchesTheState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMembers(t, 4)
		defer m.stopAll()
		c := m.outrun(100)
		m.hub.tamper(func(_, _ wire.ReplicaID, frame []byte) [][]byte {
			if kindOf(frame) == wire.KindCommitted {
				return nil
			}
			return [][]byte{frame}
		})
		m.start(3)
		m.await("a transfer", func() bool { return m.saw(3, caughtUp) })
		m.hub.tamper(nil)
		m.level()
		if got := c.call([]int{0, 1, 2, 3}, 4, "op"); got != "0 101" {
			t.Errorf("got result %q of all four, want 0 101", got)
		}
	})
}

// TestPoisonedPiecesAreRefusedAndTheirSourceLeftOut lets one source send corrupt
// pieces, and another one nothing.
func TestPoisonedPiecesAreRefusedAndTheirSourceLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMembers(t, 4)
		defer m.stopAll()
		m.outrun(100)
		var poisoned, lost atomic.Int64
		m.hub.tamper(func(from, to wire.ReplicaID, frame []byte) [][]byte {
			switch {
			case kindOf(frame) == wire.KindCommitted && !m.saw(3, caughtUp):
				return nil // nothing but a transfer helps
			case to != 3 || kindOf(frame) != wire.KindPiece:
			case from == 0:
				poisoned.Add(1)
				bad := append([]byte(nil), frame...)
				bad[len(bad)-1] ^= 1
				return [][]byte{bad}
			case from == 1:
				lost.Add(1)
				return nil
			}
			return [][]byte{frame}
		})
		m.start(3)
		m.level()
		m.await("a transfer", func() bool { return m.saw(3, caughtUp) })
		if poisoned.Load()+lost.Load() == 0 {
			t.Errorf("no piece was poisoned or lost: the test tests nothing")
		}
		if poisoned.Load() > 0 && !m.nodes[3].punished(0) {
			t.Errorf("the source of poisoned pieces got no penalty")
		}
		for _, id := range []wire.ReplicaID{1, 2} {
			if m.nodes[3].punished(id) {
				t.Errorf("replica %d got a penalty and sent nothing wrong", id)
			}
		}
	})
}

// TestTransferWithoutAnySourceIsTriedAgain cuts all sources off for a while.
func TestTransferWithoutAnySourceIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMembers(t, 4)
		defer m.stopAll()
		m.outrun(100)
		m.hub.tamper(func(_, _ wire.ReplicaID, frame []byte) [][]byte {
			if kindOf(frame) == wire.KindPiece || kindOf(frame) == wire.KindCommitted {
				return nil
			}
			return [][]byte{frame}
		})
		m.start(3)
		<-time.After(2 * transferPatience)
		if m.saw(3, caughtUp) {
			t.Errorf("node 3 caught up without pieces")
		}
		m.hub.tamper(nil)
		m.level()
	})
}

func TestClusterOutlivesAMuteReplicaAndItsRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMembers(t, 4)
		m.startAll()
		defer m.stopAll()
		c := m.caller(1)
		c.call([]int{0, 1, 2, 3}, 4, "op")
		if err := m.stop[0](); err != nil { // the primary
			t.Fatalf("node 0 ended with %v", err)
		}
		for i := range 5 {
			want := fmt.Sprintf("0 %d", i+2)
			if got := c.call([]int{1, 2, 3}, 3, "op"); got != want {
				t.Fatalf("got %q, want %q", got, want)
			}
		}
		m.configs[0].Records = m.journals[0].durable()
		m.states[0] = newFakeState() // its last snapshot is that of number 0
		m.configs[0].State = m.states[0]
		m.start(0)
		if got := c.call([]int{0, 1, 2, 3}, 4, "op"); got != "0 7" {
			t.Errorf("got %q of all four after the restart, want 0 7", got)
		}
	})
}

// TestFloodOfBadSignaturesCostsItsSenderAlone measures the latency of a client
// beside a member that sends rubbish.
func TestFloodOfBadSignaturesCostsItsSenderAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMembers(t, 4)
		m.startAll()
		defer m.stopAll()
		v := &wire.Prepare{Vote: wire.Vote{Seq: 3, Sender: 3}}
		frame := wire.Seal(m.keys[3], testDomain(), v).Frame()
		frame[len(frame)-1] ^= 1
		flooded := 0
		for room := true; room; {
			select {
			case m.hub.ports[0].in[3] <- frame:
				flooded++
			default:
				room = false
			}
		}
		c := m.caller(1)
		began := time.Now()
		for range 20 {
			c.call([]int{0, 1, 2}, 3, "op")
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("20 operations took %v beside the flood, want no more than a second", took)
		}
		if flooded < portQueue/2 || len(m.hub.ports[0].in[3]) < portQueue/2 {
			t.Errorf("%d bad frames of %d wait, want most: the sender has credit for few",
				len(m.hub.ports[0].in[3]), flooded)
		}
		for _, n := range m.nodes {
			if r := n.Report(); r.View != 0 {
				t.Errorf("replica %d is in view %d, want 0", r.Sender, r.View)
			}
		}
	})
}

// TestHostileFramesChangeNothing sends a node what no correct peer or client
// sends.
func TestHostileFramesChangeNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMembers(t, 4)
		m.startAll()
		defer m.stopAll()
		good := wire.Seal(m.keys[3], testDomain(), &wire.Status{View: 0, Active: true, Sender: 3}).Frame()
		foreign := testDomain()
		foreign.Epoch = 9
		told := []wire.Told{{Answer: wire.Answer{Number: 1}}}
		frames := map[string][]byte{
			"empty":          {},
			"one byte":       {1},
			"unknown kind":   {1, 200, 3},
			"truncated":      good[:len(good)-1],
			"trailing":       append(append([]byte(nil), good...), 0),
			"too long":       append([]byte{1, byte(wire.KindPrepare)}, make([]byte, 1<<16)...),
			"another epoch":  wire.Seal(m.keys[3], foreign, &wire.Status{Active: true, Sender: 3}).Frame(),
			"a foreign vote": wire.Seal(m.keys[3], testDomain(), &wire.Status{Active: true, Sender: 2}).Frame(),
			"replies":        wire.SealReplies(m.keys[3], testDomain(), 0, 3, told)[0].Frame(),
			"a report":       wire.Seal(m.keys[3], testDomain(), &wire.Report{Sender: 3}).Frame(),
		}
		for name, frame := range frames {
			m.nodes[0].penalties.forget(peerSource(3))
			m.hub.ports[0].in[3] <- frame
			synctest.Wait()
			if !m.nodes[0].penalties.suspect(peerSource(3)) {
				t.Errorf("%s: the sender got no penalty", name)
			}
			m.hub.ports[0].clients <- clientFrame{7, frame}
			synctest.Wait()
			if !m.nodes[0].penalties.suspect(source{client: true, id: 7}) {
				t.Errorf("%s: the client got no penalty", name)
			}
			m.nodes[0].clientGone(7)
		}
		if got := m.caller(1).call([]int{0, 1, 2, 3}, 4, "op"); got != "0 1" {
			t.Errorf("got %q, want 0 1", got)
		}
	})
}

func TestInvalidOperationsAreRefusedBeforeTheyAreOrdered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMembers(t, 4)
		m.startAll()
		defer m.stopAll()
		for i, op := range []string{"bad", "panic", "panic again", "bad error"} {
			c := m.caller(uint64(i))
			c.send(1, c.request("fine", op))
			var refusal *wire.Refusal
			m.await("a refusal", func() bool {
				for _, frame := range m.hub.ports[1].answers(c.conn) {
					sealed, err := c.opener.OpenOne(frame)
					if err != nil {
						t.Fatal(err)
					}
					refusal, _ = sealed.Message().(*wire.Refusal)
				}
				return refusal != nil
			})
			if refusal.Reason != wire.RefusalInvalid || refusal.Client != c.key.Public() || refusal.Number != 1 {
				t.Errorf("%s: got %+v, want the request refused as invalid", op, refusal)
			}
		}
		if r := m.nodes[0].Report(); r.Executed != 0 {
			t.Errorf("%d batches were executed, want 0", r.Executed)
		}
	})
}

// TestOthersReplaysTakeNoAnswersAway has others replay a client's first request before it
// reaches a replica itself, and after each time that it asks again: what it asks for is
// answered all the same, over its own connection.
func TestOthersReplaysTakeNoAnswersAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMembers(t, 4)
		m.startAll()
		defer m.stopAll()
		c, others := m.caller(1), uint64(100)
		replay := func(frame []byte) {
			others++
			m.hub.ports[2].clients <- clientFrame{others, frame}
		}
		frame := c.request("op")
		c.send(0, frame)
		for range connsMax {
			replay(frame)
		}
		m.await("the operation", func() bool { return m.nodes[2].Report().Executed == 1 })
		for i := range 20 {
			c.send(2, frame)
			replay(frame)
			synctest.Wait()
			if len(m.hub.ports[2].answers(c.conn)) == 0 {
				t.Fatalf("the client asked %d times, and was not answered the last time", i+1)
			}
		}
	})
}

// TestRequestsAreRefusedWhereTheyCame has others replay requests that are refused: it is
// they who are told so, and a client hears it as often as it asks.
func TestRequestsAreRefusedWhereTheyCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMembers(t, 4)
		for i := range m.configs {
			m.configs[i].Core.BatchBytesMax = 1024
		}
		m.startAll()
		defer m.stopAll()
		ahead := m.caller(30)
		ahead.number = 2 * core.ClientWindowMax
		far := wire.Seal(ahead.key, testDomain(), &wire.Request{
			Client: ahead.key.Public(), Session: 1, Number: ahead.number, Ops: [][]byte{[]byte("fine")},
		}).Frame()
		for i, frame := range [][]byte{
			m.caller(10).request("fine", "bad"), m.caller(20).request(strings.Repeat("x", 1024)), far,
		} {
			own, others := uint64(100*i+1), uint64(100*i+2)
			send := func(conn uint64) {
				m.hub.ports[1].clients <- clientFrame{conn, frame}
				synctest.Wait()
			}
			send(own)
			for range 3 {
				send(others)
			}
			send(own)
			if a, b := len(m.hub.ports[1].answers(own)), len(m.hub.ports[1].answers(others)); a != 2 || b != 3 {
				t.Errorf("request %d: %d refusals for two, and %d for three replays", i, a, b)
			}
		}
	})
}

func TestAnyoneMayAskWhereAReplicaStands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMembers(t, 4)
		m.startAll()
		defer m.stopAll()
		c := m.caller(1)
		c.call([]int{0, 1, 2, 3}, 4, "op")
		m.hub.ports[2].answers(c.conn)
		m.hub.ports[2].clients <- clientFrame{5, wire.Encode(&wire.Ask{Nonce: 77})}
		synctest.Wait()
		frames := m.hub.ports[2].answers(5)
		if len(frames) != 1 {
			t.Fatalf("got %d answers, want 1", len(frames))
		}
		sealed, err := c.opener.OpenOne(frames[0])
		if err != nil {
			t.Fatal(err)
		}
		r, ok := sealed.Message().(*wire.Report)
		if !ok || r.Nonce != 77 || r.Sender != 2 || r.Executed != 1 || !r.Active {
			t.Errorf("got %+v, want a report of replica 2 with nonce 77 that executed 1", sealed.Message())
		}
	})
}
