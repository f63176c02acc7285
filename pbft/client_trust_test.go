package pbft

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quorate/quorate/pbft/wire"
)

// lies are what f replicas may say, at once or in turn.
func lies(f *fakeCluster, r *rand.Rand, from wire.ReplicaID, q *wire.Request) []wire.Message {
	var said []wire.Message
	for range r.IntN(6) {
		i := r.IntN(len(q.Ops))
		m := f.reply(from, q, i)
		switch r.IntN(10) {
		case 0:
			m.Answers[0].Result = []byte("stolen")
		case 1:
			m.Answers[0].Seq++
		case 2:
			m.Answers[0].Outcome = wire.Outcome(r.IntN(8)) //nolint:gosec // small
		case 3:
			m.View = wire.View(r.Uint64N(wire.NumberMax))
		case 4:
			m.Answers[0].Number += wire.Number(r.IntN(300))
		case 5:
			m.Sender = wire.ReplicaID(r.IntN(len(f.keys))) //nolint:gosec // small
			m.Answers[0].Result = []byte("stolen")
		case 6:
			m.Session++
		case 7:
			bad := wire.Seal(f.keys[from], f.domain, m).Frame()
			bad[len(bad)-1-r.IntN(64)] ^= 1
			said = append(said, rawFrame{m, bad})
			continue
		case 8:
			said = append(said, refusal(from, q, wire.RefusalReason(1+r.IntN(4)))) //nolint:gosec // small
			continue
		case 9:
			said = append(said, rawFrame{m, make([]byte, r.IntN(100))})
			continue
		}
		said = append(said, m)
	}
	return said
}

// TestLiarsNeverMakeAResult has f replicas lie in every way, quickly and often,
// while the correct ones answer late.
func TestLiarsNeverMakeAResult(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for _, n := range []int{4, 5, 7} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeCluster(t, n)
				liars := (n - 1) / 3
				f.answer = func(to wire.ReplicaID, m wire.Message) []wire.Message {
					q := m.(*wire.Request) //nolint:errcheck,forcetypeassert // nothing else is asked
					r := rand.New(rand.NewPCG(seed, uint64(to)<<32|uint64(q.Number)))
					if int(to) < liars {
						return lies(f, r, to, q)
					}
					<-time.After(time.Duration(r.IntN(1000)) * time.Millisecond)
					return f.honest(to, m)
				}
				c := f.client()
				defer closeClient(t, c)
				for i := range 40 {
					got, err := c.Submit(t.Context(), fmt.Append(nil, i))
					if want := fmt.Sprintf("did %d", i); err != nil || string(got.Value) != want {
						t.Fatalf("seed %d: submit %d = %q, %v, want %q", seed, i, got.Value, err, want)
					}
				}
			})
		})
	}
}

// TestFewerThanWeakQuorumIsNothing has f replicas agree on a lie, and repeat it
// without end.
func TestFewerThanWeakQuorumIsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t, 7)
		f.answer = func(to wire.ReplicaID, m wire.Message) []wire.Message {
			if to >= 2 {
				return nil
			}
			return append(f.honest(to, m), f.honest(to, m)...)
		}
		c := f.client()
		defer closeClient(t, c)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := c.Submit(ctx, []byte("x"))
		var unfinished *UnfinishedError
		if !errors.As(err, &unfinished) || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("error = %v, want an UnfinishedError of the deadline", err)
		}
		if unfinished.Replies != 2 || unfinished.Identity != (Identity{7, 1}) {
			t.Errorf("error has %d replies for %v, want 2 for 7/1", unfinished.Replies, unfinished.Identity)
		}
	})
}

func TestOutcomesAreErrorsWithProof(t *testing.T) {
	for outcome, want := range map[wire.Outcome]error{
		wire.OutcomePanicked: ErrPanicked, wire.OutcomeSessionOld: ErrSessionOld, wire.OutcomeNoRoom: ErrTableFull,
		wire.OutcomeForgotten: ErrForgotten, wire.OutcomeReadOnly: ErrReadOnly, wire.OutcomeTooLarge: ErrTooLarge,
	} {
		t.Run(want.Error(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeCluster(t, 4)
				f.answer = func(to wire.ReplicaID, m wire.Message) []wire.Message {
					r := f.honest(to, m)[0].(*wire.Replies) //nolint:errcheck,forcetypeassert // it is one
					r.Answers[0].Outcome, r.Answers[0].Result = outcome, []byte("because")
					return []wire.Message{r}
				}
				c := f.client()
				defer closeClient(t, c)
				_, err := c.Submit(t.Context(), []byte("x"))
				var agreed *OutcomeError
				if !errors.Is(err, want) || !errors.As(err, &agreed) {
					t.Fatalf("error = %v, want an OutcomeError that is %v", err, want)
				}
				if text := err.Error(); !strings.HasSuffix(text, want.Error()+`: "because"`) {
					t.Errorf("error %q does not say what replicas said", text)
				}
				proven, err := verifyCertificate(openerFor(f.domain, c.cfg.keys, f.limits), 2, agreed.Result.Certificate())
				if err != nil || proven.Outcome != outcome {
					t.Errorf("proof of outcome %d, %v, want %d", proven.Outcome, err, outcome)
				}
			})
		})
	}
}

// TestBeyondTheWindowIsNoAnswer has a lying primary order an operation of a session of the
// future before its time, and again when that has come: who had been told that it was not
// executed would have had another one executed in its place.
func TestBeyondTheWindowIsNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t, 4)
		come := time.Now().Add(3 * time.Second)
		f.answer = func(to wire.ReplicaID, m wire.Message) []wire.Message {
			r := f.honest(to, m)[0].(*wire.Replies) //nolint:errcheck,forcetypeassert // it is one
			if time.Now().Before(come) {
				r.Answers[0] = wire.Answer{Number: 1, Outcome: wire.OutcomeWindow}
			}
			return []wire.Message{r}
		}
		c := f.client()
		defer closeClient(t, c)
		got, err := c.Submit(t.Context(), []byte("x"))
		if err != nil || string(got.Value) != "did x" {
			t.Errorf("got %q, %v, want %q", got.Value, err, "did x")
		}
	})
}

func TestCertificateProvesNothingElse(t *testing.T) {
	f := newFakeCluster(t, 4)
	q := &wire.Request{Client: f.keys[0].Public(), Session: 1, Number: 1, Ops: [][]byte{[]byte("x")}}
	frame := func(id wire.ReplicaID, change func(*wire.Reply)) []byte {
		m := f.reply(id, q, 0).Reply(0)
		if change != nil {
			change(m)
		}
		return wire.Seal(f.keys[id], f.domain, m).Frame()
	}
	opener := openerFor(f.domain, f.config().keys, f.limits)
	good := Certificate{frame(3, nil), frame(1, func(m *wire.Reply) { m.View = 9 })}
	got, err := verifyCertificate(opener, 2, good)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got.Signers, []wire.ReplicaID{1, 3}); diff != "" || got.View != 3 || string(got.Value) != "did x" {
		t.Errorf("result = %+v, want signers 1 and 3, view 3 and the value", got)
	}
	flipped := append([]byte(nil), good[1]...)
	flipped[len(flipped)-1] ^= 1
	other := f.domain
	other.Epoch++
	report := wire.Seal(f.keys[2], f.domain, &wire.Report{Sender: 2}).Frame()
	for name, c := range map[string]Certificate{
		"none":           {},
		"one":            good[:1],
		"twice one":      {good[0], good[0]},
		"views of one":   {frame(1, nil), good[1]},
		"bad signature":  {good[0], flipped},
		"other result":   {good[0], frame(1, func(m *wire.Reply) { m.Result = []byte("y") })},
		"other number":   {good[0], frame(1, func(m *wire.Reply) { m.Number++ })},
		"other sequence": {good[0], frame(1, func(m *wire.Reply) { m.Seq++ })},
		"other cluster":  {good[0], wire.Seal(f.keys[1], other, f.reply(1, q, 0).Reply(0)).Frame()},
		"no reply":       {good[0], report},
		"replies":        {good[0], wire.Seal(f.keys[1], f.domain, f.reply(1, q, 0)).Frame()},
		"garbage":        {good[0], []byte("garbage")},
	} {
		if _, err := verifyCertificate(opener, 2, c); !errors.Is(err, ErrProof) {
			t.Errorf("%s: error = %v, want ErrProof", name, err)
		}
	}
}

func TestRefusalCountsFromWeakQuorum(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t, 4)
		var refusing atomic.Int32
		refusing.Store(1)
		f.answer = func(to wire.ReplicaID, m wire.Message) []wire.Message {
			q := m.(*wire.Request) //nolint:errcheck,forcetypeassert // nothing else is asked
			if int(to) < int(refusing.Load()) {
				return []wire.Message{refusal(to, q, wire.RefusalInvalid), refusal(to, q, wire.RefusalInvalid)}
			}
			<-time.After(time.Second)
			return f.honest(to, m)
		}
		c := f.client()
		defer closeClient(t, c)
		if _, err := c.Submit(t.Context(), []byte("x")); err != nil {
			t.Errorf("one replica alone refused: %v", err)
		}
		refusing.Store(2)
		_, err := c.Submit(t.Context(), []byte("x"))
		var refused *RefusedError
		if !errors.Is(err, ErrRefused) || !errors.As(err, &refused) {
			t.Fatalf("error = %v, want a RefusedError", err)
		}
		want := RefusedError{Identity{7, 2}, wire.RefusalInvalid, "because", []wire.ReplicaID{0, 1}}
		if diff := cmp.Diff(*refused, want); diff != "" {
			t.Errorf("refusal (-got +want):\n%s", diff)
		}
	})
}

// TestOverloadIsWaitedOut has all replicas refuse for a while.
func TestOverloadIsWaitedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t, 4)
		start := time.Now()
		f.answer = func(to wire.ReplicaID, m wire.Message) []wire.Message {
			if time.Since(start) < 20*time.Second {
				return []wire.Message{refusal(to, m.(*wire.Request), wire.RefusalOverload)} //nolint:errcheck,forcetypeassert // it is
			}
			return f.honest(to, m)
		}
		c := f.client()
		defer closeClient(t, c)
		if _, err := c.Submit(t.Context(), []byte("x")); err != nil {
			t.Fatal(err)
		}
		if got := f.received(); got[3] > 10 {
			t.Errorf("requests sent in 20 s of overload: %v, want a few", got)
		}
	})
}

// TestUnfinishedSaysWhyReplicasTookNothing has replicas refuse for now, as they do a client
// whose clock is ahead, until its time is over: of one alone, nothing is believed.
func TestUnfinishedSaysWhyReplicasTookNothing(t *testing.T) {
	for _, noWait := range []bool{false, true} {
		for refusing, want := range map[wire.ReplicaID]wire.RefusalReason{1: 0, 2: wire.RefusalOverload} {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeCluster(t, 4)
				f.noWait = noWait
				f.answer = func(to wire.ReplicaID, m wire.Message) []wire.Message {
					q := m.(*wire.Request) //nolint:errcheck,forcetypeassert // nothing else is asked
					if to >= refusing {
						return nil
					}
					return []wire.Message{refusal(to, q, wire.RefusalOverload)}
				}
				c := f.client()
				defer closeClient(t, c)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				_, err := c.Submit(ctx, []byte("x"))
				var u *UnfinishedError
				if !errors.As(err, &u) || u.Refused != want || strings.Contains(err.Error(), "clock") != (want != 0) {
					t.Errorf("refused by %d: got %v, want reason %d", refusing, err, want)
				}
			})
		}
	}
}

// TestOneInvalidOperationDoesNotSpoilItsCompany has an invalid operation share a
// request with others.
func TestOneInvalidOperationDoesNotSpoilItsCompany(t *testing.T) {
	for _, bad := range []int{0, 1, 2} {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeCluster(t, 4)
			f.answer = func(to wire.ReplicaID, m wire.Message) []wire.Message {
				q := m.(*wire.Request) //nolint:errcheck,forcetypeassert // nothing else is asked
				for _, op := range q.Ops {
					if string(op) == "bad" {
						<-time.After(time.Duration(to) * 100 * time.Millisecond)
						return []wire.Message{refusal(to, q, wire.RefusalInvalid)}
					}
				}
				return f.honest(to, m)
			}
			c := f.acquainted()
			defer closeClient(t, c)
			w := make([]*call, 3)
			l := &clientLoop{Client: c, window: newWindow(1), links: make([]link, 4), views: make([]wire.View, 4)}
			for i := range w {
				w[i] = &call{op: []byte("good"), done: make(chan answer, 1)}
			}
			w[bad].op = []byte("bad")
			var ops []*operation
			for _, one := range w {
				ops = append(ops, l.window.add(one))
			}
			l.sendNew(ops)
			q := &wire.Request{Client: c.Key(), Session: 7, Number: 1}
			for id := range wire.ReplicaID(4) { // the refusals of the whole: two split it, two come late
				l.onRefusal(refusal(id, q, wire.RefusalInvalid))
			}
			for i, one := range w {
				select {
				case a := <-one.done:
					t.Errorf("bad %d: operation %d ended early with %v", bad, i, a.err)
				default:
				}
			}
			q.Number = w[bad].number
			for range 2 { // those in flight for the whole are exhausted by the first round
				for id := range wire.ReplicaID(4) {
					l.onRefusal(refusal(id, q, wire.RefusalInvalid))
				}
			}
			select {
			case a := <-w[bad].done:
				if !errors.Is(a.err, ErrRefused) {
					t.Errorf("the bad operation ended with %v, want ErrRefused", a.err)
				}
			default:
				t.Error("the bad operation was not refused")
			}
		})
	}
}

// TestLateRefusalsDoNotCountAgainstARetry has a request refused for one of its operations,
// and split; the other one is answered, and retried. What is still under way of the
// refusals of the whole is not of the retry, whoever pretends to refuse others meanwhile.
func TestLateRefusalsDoNotCountAgainstARetry(t *testing.T) {
	l := idleLoop(t)
	defer l.deadline.Stop()
	good, bad := &call{op: []byte("good"), done: make(chan answer, 1)}, &call{op: []byte("bad"), done: make(chan answer, 1)}
	l.sendNew([]*operation{l.window.add(good), l.window.add(bad)})
	q := &wire.Request{Client: l.Key(), Session: 7, Number: 1}
	for id := range wire.ReplicaID(2) {
		l.onRefusal(refusal(id, q, wire.RefusalInvalid))
	}
	said := func(from wire.ReplicaID) {
		l.onReplies(&wire.Replies{
			Client: l.Key(), Session: 7, Sender: from, Answers: []wire.Answer{{Number: 1, Seq: 5, Result: []byte("done")}},
		})
	}
	for id := range wire.ReplicaID(2) {
		said(id)
	}
	if a := <-good.done; a.err != nil {
		t.Fatal(a.err)
	}
	again := &call{op: []byte("good"), number: 1, done: make(chan answer, 1)}
	l.onRetry(again)
	other := *q
	for other.Number = range wire.Number(2000) {
		l.onRefusal(refusal(3, &other, wire.RefusalInvalid))
	}
	for _, why := range []wire.RefusalReason{wire.RefusalOverload, wire.RefusalInvalid} { // the first are its own
		for _, id := range []wire.ReplicaID{2, 3} {
			l.onRefusal(refusal(id, q, why))
		}
	}
	select {
	case a := <-again.done:
		t.Fatalf("the retry ended with %v", a.err)
	default:
	}
	for _, id := range []wire.ReplicaID{2, 0} {
		said(id)
	}
	if a := <-again.done; a.err != nil || string(a.result.Value) != "done" {
		t.Errorf("got %q, %v", a.result.Value, a.err)
	}
}

// TestRetriedNumberBeginsOneRequest has an operation given up that is the first of a
// request with an invalid one, and retried: the refusals of the whole, which is sent again
// meanwhile, are not of the retry.
func TestRetriedNumberBeginsOneRequest(t *testing.T) {
	l := idleLoop(t)
	defer l.deadline.Stop()
	good, bad := &call{op: []byte("good"), done: make(chan answer, 1)}, &call{op: []byte("bad"), done: make(chan answer, 1)}
	l.sendNew([]*operation{l.window.add(good), l.window.add(bad)})
	whole := l.requests[0]
	l.window.drop(l.window.table[1])
	again := &call{op: []byte("good"), number: 1, done: make(chan answer, 1)}
	l.onRetry(again)
	for range 3 {
		if whole.open > 0 {
			whole.everyone = true
			l.sendRequest(whole)
		}
	}
	for id, sent := range l.underway.of(1, len(l.links)) {
		for range sent - 1 { // all but for what the retry was sent
			l.onRefusal(refusal(wire.ReplicaID(id), &wire.Request{Client: l.Key(), Session: 7, Number: 1}, wire.RefusalInvalid))
		}
	}
	select {
	case a := <-again.done:
		t.Errorf("the retry ended with %v", a.err)
	default:
	}
	if o := l.window.table[2]; o == nil || o.request.open != 1 || len(o.request.ops) != 1 {
		t.Error("the other operation has no request of its own")
	}
}
