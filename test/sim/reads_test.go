package sim

import (
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/app/kv"
	"github.com/quorate/quorate/pbft/wire"
	"github.com/quorate/quorate/test/adversary"
)

// reads returns options with a client that writes and one that reads, beside it.
func reads(seed uint64) Options {
	o := steady()
	o.Seed, o.Clients, o.Operations, o.Outstanding, o.FastReads, o.History = seed, 3, 60, 1, 0.6, true
	return o
}

// TestFastReadsSucceed asks whether they are worth anything: in a cluster where nothing is
// wrong nearly all do.
func TestFastReadsSucceed(t *testing.T) {
	var c Counters
	for seed := range uint64(10) {
		c.Add(mustHold(t, reads(seed)).Counters)
	}
	if c.FastReads < 500 || c.FallenBack > c.FastReads/5 || c.HeldQueries == 0 || c.Unread > 0 {
		t.Errorf("%d reads were fast, %d fell back, %d queries waited, %d were not answered",
			c.FastReads, c.FallenBack, c.HeldQueries, c.Unread)
	}
}

// TestFastReadsWaitWhereReplicasAreBehind has one liar answer with what was, beside a
// replica that executes nothing for a while: a quorum would agree on that if the one
// behind did not wait.
func TestFastReadsWaitWhereReplicasAreBehind(t *testing.T) {
	var c Counters
	for seed := range uint64(20) {
		o := reads(seed)
		o.Byzantine = map[wire.ReplicaID]func() adversary.Strategy{3: adversary.StaleReads}
		o.Script = func(ctl *Control) {
			for at := 100 * time.Millisecond; at < 2*time.Second; at += 200 * time.Millisecond {
				ctl.At(at, func() { ctl.Block(2, wire.KindCommit, wire.KindCommitted) })
				ctl.At(at+100*time.Millisecond, ctl.Heal)
			}
		}
		res := mustHold(t, o)
		if len(res.Notes) == 0 {
			t.Errorf("seed %d: the liar told of no lie", seed)
		}
		c.Add(res.Counters)
	}
	if c.FastReads == 0 || c.FallenBack == 0 || c.HeldQueries == 0 {
		t.Errorf("%d reads were fast, %d fell back, %d queries waited", c.FastReads, c.FallenBack, c.HeldQueries)
	}
}

// TestStaleReadIsFound is the test of the oracle.
func TestStaleReadIsFound(t *testing.T) {
	o := Options{Clients: 1, FastReads: 0.5, History: true}.withDefaults()
	w := &world{o: o}
	w.oracle = newOracle(w)
	ref := &w.oracle.reference
	for _, value := range []string{"a", "b", "c"} {
		if err := ref.store.Put([]byte("k"), []byte(value)); err != nil {
			t.Fatal(err)
		}
		ref.past, ref.seq = append(ref.past, past{store: ref.store.Clone()}), ref.seq+1
	}
	c, get := &client{}, kv.Get("k")
	found := func(value string) wire.QueryResult {
		return wire.QueryResult{Result: kv.Result{Status: kv.StatusFound, Value: []byte(value)}.Encode()}
	}
	w.oracle.hasRead(c, &question{op: get, place: w.oracle.history.called(1, 0, get)}, found("b"))
	if w.violation != nil || w.oracle.answered != 2 {
		t.Fatalf("%v, and what is read later is not before %d, want 2", w.violation, w.oracle.answered)
	}
	w.oracle.hasRead(c, &question{op: get, floor: 2, place: w.oracle.history.called(2, 0, get)}, found("a"))
	if w.violation == nil || !strings.Contains(w.violation.Error(), "after no batch from 2") {
		t.Errorf("got %v, want a stale read", w.violation)
	}
}
