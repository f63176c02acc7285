package node

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/app/kv"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// query sends a query for ops, and returns a function that takes what it was answered by
// each node since.
func (c *caller) query(to []int, nonce uint64, ops ...[]byte) (results func() []*wire.Results) {
	frame := wire.Seal(c.key, testDomain(), &wire.Query{Client: c.key.Public(), Nonce: nonce, Ops: ops}).Frame()
	for _, id := range to {
		c.send(id, frame)
	}
	return func() (got []*wire.Results) {
		for id, p := range c.m.hub.ports {
			for _, frame := range p.answers(c.conn) {
				sealed, err := c.opener.OpenOne(frame)
				if err != nil {
					c.m.t.Fatalf("node %d answered with a frame that does not open: %v", id, err)
				}
				m, is := sealed.Message().(*wire.Results)
				if !is {
					continue
				}
				if m.Nonce != nonce || m.Client != c.key.Public() || m.Sender != wire.ReplicaID(id) {
					c.m.t.Errorf("node %d answered query %d of %x as %d", id, m.Nonce, m.Client[:4], m.Sender)
				}
				got = append(got, m)
			}
		}
		return got
	}
}

func onStores(t *testing.T) *members {
	t.Helper()
	m := newMembers(t, 4)
	for i := range m.configs {
		m.configs[i].Machine = kv.Machine{}
	}
	return m
}

// TestEveryNodeAnswersQueries writes a value and asks for it outside of the order.
func TestEveryNodeAnswersQueries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := onStores(t)
		m.startAll()
		c := m.caller(1)
		all := []int{0, 1, 2, 3}
		c.call(all, 4, string(kv.Put("a", []byte("there"))))
		want := kv.Result{Status: kv.StatusFound, Value: []byte("there")}.Encode()
		got := c.query(all, 7, kv.Get("a"), kv.Put("a", nil), kv.Get("b"))
		synctest.Wait()
		for _, r := range got() {
			if len(r.Results) != 3 || string(r.Results[0].Result) != string(want) || r.Results[1].Outcome != wire.OutcomeReadOnly || r.Seq == 0 {
				t.Errorf("node %d answered %+v", r.Sender, r)
			}
		}
		// What would be refused in order is not answered.
		refused := c.query(all, 8, []byte("nonsense"))
		synctest.Wait()
		if rs := refused(); len(rs) != 4 || len(rs[0].Results)+len(rs[3].Results) > 0 {
			t.Errorf("got %v, want that nobody answers nonsense", rs)
		}
		m.stopAll()
	})
}

// TestAQueryWaitsForWhatIsPrepared has three batches prepared and none of them executed when
// a query comes: the answer is what the third wrote.
func TestAQueryWaitsForWhatIsPrepared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := onStores(t)
		var batches []core.Execution
		for i := range wire.Seq(5) {
			q := &wire.Request{Client: keyOf(t, 9).Public(), Session: 1, Number: 1, Ops: [][]byte{kv.Put("a", fmt.Append(nil, i+1))}}
			batches = append(batches, core.Execution{Seq: i + 1, Orders: []core.Order{{Request: q, Run: true}}})
		}
		e := &fakeEngine{reads: func() (wire.Seq, bool) { return 3, true }}
		e.step = func(ev core.Event, fx *core.Effects) {
			tick, is := ev.(core.Tick)
			if !is || len(batches) == 0 || tick.Now%5 != 0 {
				return
			}
			fx.Execute = append(fx.Execute, batches[0])
			e.executed, batches = batches[0].Seq, batches[1:]
		}
		n, ended, cancel := runScripted(t, m, e)
		got := m.caller(1).query([]int{0}, 7, kv.Get("a"))
		for len(batches) > 2 {
			if rs := got(); len(rs) > 0 && n.applier.Seq() < 3 {
				t.Fatalf("answered %+v after batch %d", rs[0], n.applier.Seq())
			}
			<-time.After(time.Millisecond)
			synctest.Wait()
		}
		want := kv.Result{Status: kv.StatusFound, Value: []byte("3")}.Encode()
		if rs := got(); len(rs) != 1 || rs[0].Seq != 3 || string(rs[0].Results[0].Result) != string(want) {
			t.Errorf("got %+v, want what batch 3 wrote", rs)
		}
		cancel()
		endsCleanly(t, ended)
	})
}

// TestWhoMayNotReadSaysSo has a replica that answers no queries say so at once.
func TestWhoMayNotReadSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := onStores(t)
		_, ended, cancel := runScripted(t, m, &fakeEngine{
			reads: func() (wire.Seq, bool) { return 0, false }, step: func(core.Event, *core.Effects) {},
		})
		got := m.caller(1).query([]int{0}, 7, kv.Get("a"))
		synctest.Wait()
		if rs := got(); len(rs) != 1 || len(rs[0].Results) > 0 {
			t.Errorf("got %+v, want no answer, at once", rs)
		}
		cancel()
		endsCleanly(t, ended)
	})
}

// TestQueriesNeverHoldUpTheOrder has more queries wait than may be answered between two
// batches, and long ones of one connection more than its share.
func TestQueriesNeverHoldUpTheOrder(t *testing.T) {
	m := onStores(t)
	n, err := New(m.configs[0])
	if err != nil {
		t.Fatal(err)
	}
	a := &applying{n: n, applier: n.applier}
	ask := func(conn uint64, after wire.Seq, ops ...[]byte) bool {
		return n.work.query(query{&wire.Query{Nonce: 1, Ops: ops}, conn, after})
	}
	for range 2 * queryOpsMax {
		ask(1, 0, kv.Get("a"))
	}
	turns := 0
	for worked := true; worked; turns++ {
		before, err := n.Executed().Queries, error(nil)
		if worked, err = a.answerQueries(); err != nil {
			t.Fatal(err)
		}
		if now := n.Executed().Queries; now-before > queryOpsMax {
			t.Errorf("%d queries were answered between two batches, want %d at most", now-before, queryOpsMax)
		}
	}
	if turns < 3 {
		t.Errorf("twice as many as may be answered at once took %d turns", turns-1)
	}
	if got := n.Executed().Queries; got != 2*queryOpsMax {
		t.Errorf("%d queries are counted, want %d", got, 2*queryOpsMax)
	}
	long := []byte(strings.Repeat("x", 1<<20))
	taken := 0
	for range 100 {
		if ask(1, 9, long) {
			taken++
		}
	}
	if taken != queriesMax>>10-1 {
		t.Errorf("%d long queries wait, want %d MiB of them", taken, queriesMax>>10-1)
	}
	for range 7 {
		if !ask(2, 9, long) {
			t.Error("another connection has no share of the room")
		}
	}
	if worked, err := a.answerQueries(); worked || err != nil {
		t.Errorf("answered what waits for batch 9: %t, %v", worked, err)
	}
}
