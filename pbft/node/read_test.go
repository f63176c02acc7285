package node

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/app"
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
		var handed atomic.Int64
		e.step = func(ev core.Event, fx *core.Effects) {
			tick, is := ev.(core.Tick)
			if !is || len(batches) == 0 || tick.Now%5 != 0 {
				return
			}
			fx.Execute = append(fx.Execute, batches[0])
			e.executed, batches = batches[0].Seq, batches[1:]
			handed.Add(1)
		}
		_, ended, cancel := runScripted(t, m, e)
		got := m.caller(1).query([]int{0}, 7, kv.Get("a"))
		for handed.Load() < 3 {
			if rs := got(); len(rs) > 0 {
				t.Fatalf("answered %+v after %d batches", rs[0], handed.Load())
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

// TestQueriesWaitForACommitBeforeItLeaves has votes leave as early as any may: whoever has
// one, and asks then, is answered after its batch.
func TestQueriesWaitForACommitBeforeItLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := onStores(t)
		prepared := wire.Seq(0)
		e := &fakeEngine{
			reads: func() (wire.Seq, bool) {
				<-time.After(time.Microsecond) // all that was handed over goes on meanwhile
				return prepared, true
			},
			step: func(ev core.Event, fx *core.Effects) {
				if _, is := ev.(core.Tick); is && prepared < 50 {
					prepared++
					fx.Send = append(fx.Send, core.Send{To: core.Everyone, Message: vote(prepared), Early: true})
				}
			},
		}
		left := make(chan wire.Seq, 1<<10)
		m.hub.tamper(func(_, _ wire.ReplicaID, frame []byte) [][]byte {
			v, err := wire.Decode(frame, &m.configs[0].Limits)
			if err != nil {
				t.Error(err)
				return nil
			}
			seq := v.(*wire.Prepare).Seq //nolint:errcheck,forcetypeassert // step sends nothing else
			if now := m.nodes[0].standing.Load().readAfter; now < seq {
				t.Errorf("the vote for %d leaves, and queries are answered after %d", seq, now)
			}
			left <- seq
			return nil
		})
		_, ended, cancel := runScripted(t, m, e)
		<-time.After(time.Second) // of virtual time: every vote was made
		if n := len(left); n != 3*50 {
			t.Errorf("%d votes left, want %d", n, 3*50)
		}
		cancel()
		endsCleanly(t, ended)
	})
}

// sluggish is a machine whose operations take a millisecond each to read, or panic.
type sluggish struct{}

func (sluggish) Execute(*app.Tx, []byte) []byte { return nil }

func (sluggish) Query(_ *app.Tx, op []byte) []byte {
	<-time.After(time.Millisecond)
	if len(op) == 0 {
		panic("nothing is asked") //nolint:forbidigo // it is what the test is about
	}
	return op
}

// readingFrom returns the apply goroutine's part of a node of a machine, and what queues
// queries of a connection.
func readingFrom(t *testing.T, machine app.StateMachine, resultBytesMax int) (*applying, func(conn uint64, after wire.Seq, ops ...[]byte) bool) {
	t.Helper()
	cfg := newMembers(t, 4).configs[0]
	cfg.Machine = machine
	if resultBytesMax > 0 {
		cfg.Limits.ResultBytesMax = resultBytesMax
	}
	n, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &applying{n: n, stuck: newStuck(n), applier: n.applier}, func(conn uint64, after wire.Seq, ops ...[]byte) bool {
		return n.work.query(&query{NewReading(&wire.Query{Nonce: 1, Ops: ops}), conn, time.Now(), after})
	}
}

// turn has a answer queries once, and returns how many operations.
func (a *applying) turn(t *testing.T) int64 {
	t.Helper()
	before := a.n.Executed().Queries
	worked, err := a.answerQueries()
	if err != nil {
		t.Fatal(err)
	}
	done := a.n.Executed().Queries - before
	if worked != (done > 0) {
		t.Errorf("%d operations were read, and it says that there was work: %t", done, worked)
	}
	return done
}

// TestQueriesNeverHoldUpTheOrder has more queries wait than may be answered between two
// batches: by number, by one query of too many operations, and by time.
func TestQueriesNeverHoldUpTheOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, ask := readingFrom(t, kv.Machine{}, 0)
		for range queryOpsMax {
			ask(1, 0, kv.Get("a"))
		}
		ask(1, 0, slices.Repeat([][]byte{kv.Get("a")}, 2*queryOpsMax)...)
		for range 3 {
			if n := a.turn(t); n != queryOpsMax {
				t.Errorf("%d operations were read between two batches, want %d", n, queryOpsMax)
			}
		}
		if n := a.turn(t); n != 0 {
			t.Errorf("%d operations were read of none", n)
		}
		said := a.n.cfg.Transport.(*port).answers(1) //nolint:errcheck,forcetypeassert // of newMembers
		if len(said) != queryOpsMax+1 {
			t.Errorf("%d queries have an answer, want %d", len(said), queryOpsMax+1)
		}

		a, ask = readingFrom(t, sluggish{}, 0)
		ask(1, 0, slices.Repeat([][]byte{[]byte("slow")}, 10)...)
		for range 10 / 2 {
			began := time.Now()
			if n := a.turn(t); n != 2 {
				t.Errorf("%d slow operations were read between two batches, want what takes %s", n, queryTimeMax)
			}
			if took := time.Since(began); took > queryTimeMax {
				t.Errorf("a batch waited %s for queries, want %s at most", took, queryTimeMax)
			}
		}
		if n := a.turn(t); n != 0 {
			t.Errorf("%d operations were read of none", n)
		}
	})
}

// TestQueriesThatWaitAreBounded has one connection ask for more than there is room for, in
// long operations and in many short ones, and others come later: they have their share, and
// their turn.
func TestQueriesThatWaitAreBounded(t *testing.T) {
	for name, ops := range map[string][][]byte{
		"long":  {make([]byte, 256<<10)},
		"short": slices.Repeat([][]byte{make([]byte, 1023)}, 64),
		"empty": make([][]byte, 64),
	} {
		t.Run(name, func(t *testing.T) {
			a, ask := readingFrom(t, kv.Machine{}, 0)
			bytes := 0
			for ask(1, 0, ops...) {
				for _, op := range ops {
					bytes += len(op)
				}
			}
			if bytes > queriesMax<<10 {
				t.Errorf("%d bytes of one connection wait, want %d at most", bytes, queriesMax<<10)
			}
			if !ask(2, 0, ops...) || !ask(3, 9, ops...) || !ask(4, 0, ops...) {
				t.Error("another connection has no share of the room")
			}
			var order []uint64
			for range 5 {
				q, ok := a.n.work.takeQuery(0, time.Time{})
				if !ok {
					t.Fatal("nothing waits")
				}
				order = append(order, q.conn)
			}
			if want := []uint64{1, 2, 4, 1, 1}; !slices.Equal(order, want) {
				t.Errorf("they are answered in the order %v, want %v: each in turn who can be answered", order, want)
			}
			a.n.clientGone(1)
			if q, ok := a.n.work.takeQuery(0, time.Time{}); ok {
				t.Errorf("a query of %d is answered, which is gone, or waits for batch 9", q.conn)
			}
			if q, ok := a.n.work.takeQuery(9, time.Time{}); !ok || q.conn != 3 {
				t.Errorf("got one of %d, %t, want the one that waited for batch 9", q.conn, ok)
			}
			if left := &a.n.work.mu.queries; left.all != 0 || len(left.of) != 0 || len(left.sharers) != 0 {
				t.Errorf("%d of %d are still counted, and nothing waits", left.all, len(left.of))
			}
		})
	}
}

// TestQueriesThatAreBegunAreBounded has more connections than there is room for, with long
// answers, begin queries that take several turns: who has no room for what was read so far is
// told so.
func TestQueriesThatAreBegunAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, ask := readingFrom(t, sluggish{}, app.ValueBytesMax)
		long := slices.Repeat([][]byte{make([]byte, 200<<10)}, 5)
		const conns = 3 * queriesMax >> 10
		accepted := 0
		for conn := range uint64(conns) {
			if ask(conn, 0, long...) {
				accepted++
			}
		}
		out := a.n.cfg.Transport.(*port) //nolint:errcheck,forcetypeassert // of newMembers
		answered := 0
		for a.turn(t) > 0 {
			held := 0
			for _, s := range a.n.work.mu.queries.sharers {
				for _, one := range s.items {
					held += one.item.bytes + 5*200<<10
				}
			}
			if held > queriesMax<<10 {
				t.Fatalf("%d bytes are held, want %d at most", held, queriesMax<<10)
			}
		}
		for conn := range uint64(conns) {
			answered += len(out.answers(conn))
		}
		none := a.n.responses.mu.waiting.all
		if answered == 0 || none == 0 || answered+none > accepted {
			t.Errorf("of %d queries %d were answered and %d have no room, want some of each", accepted, answered, none)
		}
	})
}

// TestQueriesThatNobodyWaitsForAreDropped lets queries wait longer than clients do.
func TestQueriesThatNobodyWaitsForAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, ask := readingFrom(t, kv.Machine{}, 0)
		ask(1, 0, kv.Get("a"))
		ask(2, 9, kv.Get("a"))
		<-time.After(a.n.patience)
		ask(3, 0, kv.Get("a"))
		<-time.After(time.Millisecond)
		if n := a.turn(t); n != 1 {
			t.Errorf("%d operations were read, want the one that came late enough", n)
		}
		if left := &a.n.work.mu.queries; left.all != 0 {
			t.Errorf("%d still wait", left.all)
		}
	})
}

// TestAQueryLeavesOthersTheirTurn has a query of many slow operations begun, when another
// connection asks for one.
func TestAQueryLeavesOthersTheirTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, ask := readingFrom(t, sluggish{}, 0)
		out := a.n.cfg.Transport.(*port) //nolint:errcheck,forcetypeassert // of newMembers
		for range 9 {
			ask(1, 0, slices.Repeat([][]byte{[]byte("slow")}, 512)...)
		}
		a.turn(t)
		ask(2, 0, []byte("short"))
		a.turn(t)
		a.turn(t)
		if len(out.answers(2)) != 1 {
			t.Error("the other connection is not answered in its turn")
		}
		began := time.Now()
		for a.turn(t) > 0 {
		}
		if took := time.Since(began); took > a.n.patience || len(out.answers(1)) != 0 {
			t.Errorf("queries were read for %s, %s is how long anyone waits", took, a.n.patience)
		}
		ask(1, 0, slices.Repeat([][]byte{[]byte("slow")}, 512)...)
		a.turn(t)
		a.n.clientGone(1)
		if n := a.turn(t); n != 0 {
			t.Errorf("%d operations were read for a connection that is gone", n)
		}
		ask(1, 0, []byte("slow"))
		ask(1, 0, []byte("slow"))
		out.mu.Lock()
		out.mu.closed[1] = true
		out.mu.Unlock()
		if first, then := a.turn(t), a.turn(t); first != 1 || then != 0 {
			t.Errorf("%d and %d operations were read for a connection that takes no answers", first, then)
		}
		if left := &a.n.work.mu.queries; left.all != 0 {
			t.Errorf("%d still wait", left.all)
		}
	})
}

// TestAReplicaThatFetchesAnswersNoQueries has the state wanted from others while queries wait.
func TestAReplicaThatFetchesAnswersNoQueries(t *testing.T) {
	a, ask := readingFrom(t, kv.Machine{}, 0)
	ask(1, 0, slices.Repeat([][]byte{kv.Get("a")}, queryOpsMax+1)...)
	ask(1, 9, kv.Get("a"))
	if n := a.turn(t); n != queryOpsMax {
		t.Fatalf("%d operations were read, want %d", n, queryOpsMax)
	}
	a.wanted, a.writing = new(core.Target), 1 // it begins once the snapshot is written
	if worked, err := a.work(t.Context(), time.Now()); worked || err != nil {
		t.Errorf("it works: %t, %v", worked, err)
	}
	a.wanted = nil
	if n := a.turn(t); n != 0 || a.n.work.mu.queries.all != 0 {
		t.Errorf("%d operations were read from the fetched state, and %d wait", n, a.n.work.mu.queries.all)
	}
}

// TestABrokenStateAnswersNoQueries has a transfer that failed in the middle.
func TestABrokenStateAnswersNoQueries(t *testing.T) {
	a, ask := readingFrom(t, kv.Machine{}, 0)
	a.applier.broken = errors.New("half of a state")
	ask(1, 0, kv.Get("a"))
	if worked, err := a.answerQueries(); !errors.Is(err, a.applier.broken) {
		t.Errorf("got %t, %v, want that the replica stops", worked, err)
	}
}

// TestAnswersToQueriesAreLegal has results that are longer than any may be, also those that
// say why there is none.
func TestAnswersToQueriesAreLegal(t *testing.T) {
	for most, want := range map[int][3]string{
		8:   {"the resu", "the oper", "fits"},
		100: {"the result has 101 bytes, at most 100 are possible", "the operation panicked and was rolled back", "fits"},
	} {
		a, _ := readingFrom(t, sluggish{}, most)
		r := NewReading(&wire.Query{Client: keyOf(t, 9).Public(), Nonce: 1, Ops: [][]byte{make([]byte, most+1), {}, []byte("fits")}})
		for more := true; more; {
			var err error
			if more, err = a.applier.Query(r); err != nil {
				t.Fatal(err)
			}
		}
		for i, got := range r.Results.Results {
			if string(got.Result) != want[i] {
				t.Errorf("of %d bytes: got %q, want %q", most, got.Result, want[i])
			}
		}
		if _, err := wire.Decode(wire.Encode(&r.Results), &a.n.cfg.Limits); err != nil || len(r.Results.Results) != 3 {
			t.Errorf("of %d bytes: %d answers, which a client decodes with %v", most, len(r.Results.Results), err)
		}
	}
}

// TestAnswersToQueriesFitIntoAMessage has several results that are long together.
func TestAnswersToQueriesFitIntoAMessage(t *testing.T) {
	for bytes, want := range map[int]int{wire.ResultsBytesMax / 5: 5, wire.ResultsBytesMax/5 + 1: 4} {
		a, _ := readingFrom(t, echo{}, app.ValueBytesMax)
		r := NewReading(&wire.Query{Client: keyOf(t, 9).Public(), Nonce: 1, Ops: slices.Repeat([][]byte{make([]byte, bytes)}, 7)})
		for more := true; more; {
			var err error
			if more, err = a.applier.Query(r); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := wire.Decode(wire.Encode(&r.Results), &a.n.cfg.Limits); err != nil || len(r.Results.Results) != want {
			t.Errorf("of %d bytes: %d answers, which a client decodes with %v; want %d", bytes, len(r.Results.Results), err, want)
		}
	}
}

// echo is a machine that answers reads with themselves.
type echo struct{}

func (echo) Execute(*app.Tx, []byte) []byte    { return nil }
func (echo) Query(_ *app.Tx, op []byte) []byte { return op }
