package pbft

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// told is what replica from tells the fake cluster's client about numbers from first
// on, beside answers to others.
func (f *fakeCluster) told(client wire.ClientID, first wire.Number, results ...string) []wire.Told {
	told := []wire.Told{{Client: f.keys[0].Public(), Session: 9, Answer: wire.Answer{Number: 1}}}
	for i, r := range results {
		told = append(told, wire.Told{
			Client: client, Session: 7, Answer: wire.Answer{Number: first + wire.Number(i), Seq: 5, Result: []byte(r)},
		})
	}
	return told
}

// TestDoorRefusesRepliesThatProveNothing changes replies of replica 1 in every way
// that somebody else could, and lets it lie in every way that a frame shows.
func TestDoorRefusesRepliesThatProveNothing(t *testing.T) {
	f := newFakeCluster(t, 4)
	cfg := f.config()
	door := newClientDoor(cfg, newSettledThings(4))
	good := wire.SealReplies(f.keys[1], f.domain, 3, 1, f.told(cfg.signer.Public(), 1, "a", "b", "c"))[1]
	if a, ok, _ := door.open(1, good.Frame()); !ok || len(a.replies.Answers) != 3 {
		t.Fatalf("good replies: got %+v, %t", a, ok)
	}
	if _, ok, _ := door.open(2, good.Frame()); ok {
		t.Error("replies of another replica than they come from are let in")
	}
	m := good.Message().(*wire.Replies) //nolint:errcheck,forcetypeassert // it is
	alone := wire.Place{Leaves: 1}
	for name, c := range map[string]struct {
		change func(*wire.Replies)
		signed bool // by replica 1; or the signature stays as it was
	}{
		"another client":          {func(m *wire.Replies) { m.Client, m.Outer = f.keys[0].Public(), alone }, true},
		"another session":         {func(m *wire.Replies) { m.Session, m.Outer = 8, alone }, true},
		"another sender":          {func(m *wire.Replies) { m.Sender, m.Outer = 2, alone }, true},
		"no answer":               {func(m *wire.Replies) { m.Answers = nil }, true},
		"an answer twice":         {func(m *wire.Replies) { m.Answers = append(m.Answers, m.Answers[2]) }, true},
		"a number twice":          {func(m *wire.Replies) { m.Answers[1].Number = 1 }, true},
		"numbers that go back":    {func(m *wire.Replies) { slices.Reverse(m.Answers) }, true},
		"no such place":           {func(m *wire.Replies) { m.Outer.Index = 2 }, true},
		"a path that is too long": {func(m *wire.Replies) { m.Outer.Path = append(m.Outer.Path, crypto.Digest{}) }, true},
		"another place":           {func(m *wire.Replies) { m.Outer.Index = 0 }, false},
		"another path":            {func(m *wire.Replies) { m.Outer.Path = []crypto.Digest{{1}} }, false},
		"a tree of its own":       {func(m *wire.Replies) { m.Outer = alone }, false},
		"another view":            {func(m *wire.Replies) { m.View++ }, false},
		"another number":          {func(m *wire.Replies) { m.Answers[2].Number++ }, false},
		"another result":          {func(m *wire.Replies) { m.Answers[0].Result = []byte("x") }, false},
		"bytes of one result in the next": {func(m *wire.Replies) {
			m.Answers[0].Result, m.Answers[1].Result = []byte("ab"), nil
		}, false},
		"an answer less": {func(m *wire.Replies) { m.Answers = m.Answers[:2] }, false},
		"an answer more": {func(m *wire.Replies) { m.Answers = append(m.Answers, wire.Answer{Number: 9}) }, false},
	} {
		lie := *m
		lie.Answers, lie.Outer.Path = slices.Clone(m.Answers), slices.Clone(m.Outer.Path)
		c.change(&lie)
		frame := wire.Encode(&lie)
		if c.signed {
			frame = wire.Seal(f.keys[1], f.domain, &lie).Frame()
		}
		door := newClientDoor(cfg, newSettledThings(4)) // which has seen nothing bad yet
		if _, ok, _ := door.open(1, frame); ok {
			t.Errorf("replies with %s are let in", name)
		}
	}
	if _, ok, _ := door.open(1, wire.Encode(m.Reply(0))); ok {
		t.Error("a single reply, which is a part of certificates, is let in")
	}
}

// TestRubbishIsNotLookedAtForEver has a replica send what no correct one does, as fast
// as it is taken. What costs the client is bounded, and so is how long that counts.
func TestRubbishIsNotLookedAtForEver(t *testing.T) {
	f := newFakeCluster(t, 4)
	cfg := f.config()
	good := func(from wire.ReplicaID) []byte {
		return wire.SealReplies(f.keys[from], f.domain, 3, from, f.told(cfg.signer.Public(), 1, "a"))[1].Frame()
	}
	flipped := good(1)
	flipped[len(flipped)-1] ^= 1
	for name, c := range map[string]struct {
		frame  []byte
		checks int // for one
	}{
		"a bad signature":           {flipped, 1},
		"nothing":                   {nil, 0},
		"a frame that is cut short": {good(1)[:30], 0},
		"what is for replicas":      {wire.Seal(f.keys[1], f.domain, &wire.Status{Sender: 1}).Frame(), 0},
		"what another one said":     {good(2), 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			door := newClientDoor(cfg, newSettledThings(4))
			verifier := &countingVerifier{Verifier: crypto.NewVerifier(4)}
			door.opener = wire.NewOpener(cfg.domain, cfg.keys, cfg.limits, verifier)
			refused := 0
			for range 1000 {
				if _, ok, err := door.open(1, c.frame); ok {
					t.Fatalf("%s is let in", name)
				} else if err != nil {
					refused++
				}
			}
			if verifier.checks != rubbishMax*c.checks || refused != 1000-rubbishMax {
				t.Errorf("%s: %d signatures of 1000 frames were verified and %d refused unread, want %d and %d",
					name, verifier.checks, refused, rubbishMax*c.checks, 1000-rubbishMax)
			}
			if _, ok, err := door.open(3, good(3)); !ok || err != nil {
				t.Errorf("%s: another replica's replies: %t, %v", name, ok, err)
			}
			if _, ok, err := door.open(1, good(1)); ok || err == nil {
				t.Errorf("%s: a liar is read before it is forgiven: %t, %v", name, ok, err)
			}
			<-time.After(rubbishTime)
			if _, ok, err := door.open(1, good(1)); !ok || err != nil {
				t.Errorf("%s: good replies after a time: %t, %v", name, ok, err)
			}
		})
	}
}

// countingVerifier counts the signatures that it verifies.
type countingVerifier struct {
	crypto.Verifier

	checks int
}

func (c *countingVerifier) Verify(checks []crypto.Check, ok []bool) bool {
	c.checks += len(checks)
	return c.Verifier.Verify(checks, ok)
}

// TestOnlyNewsIsVerified: a frame is passed over when all that it answers has its
// result, and its sender is in no later view than it was.
func TestOnlyNewsIsVerified(t *testing.T) {
	f := newFakeCluster(t, 4)
	settled := newSettledThings(4)
	frame := func(view wire.View, first wire.Number, results ...string) []byte {
		told := f.told(f.config().signer.Public(), first, results...)
		return wire.SealReplies(f.keys[1], f.domain, view, 1, told)[1].Frame()
	}
	settled.enter(1, 3)
	for n := range wire.Number(4) {
		settled.add(n + 1)
	}
	settled.forget(3)
	for name, c := range map[string]struct {
		from  wire.ReplicaID
		frame []byte
		want  bool
	}{
		"all settled":    {1, frame(3, 1, "a", "b"), true},
		"an old view":    {1, frame(2, 4, "d"), true},
		"a new view":     {1, frame(4, 1, "a", "b"), false},
		"one forgotten":  {1, frame(3, 1, "a", "b", "c", "d"), false},
		"one never seen": {1, frame(3, 4, "d", "e"), false},
		"of nobody":      {4, frame(0, 1, "a"), false},
		"no replies":     {1, wire.Seal(f.keys[1], f.domain, &wire.Report{Sender: 1}).Frame(), false},
		"cut":            {1, frame(3, 1, "a", "b")[:60], false},
	} {
		if got := settled.covers(c.from, c.frame); got != c.want {
			t.Errorf("%s: got %t, want %t", name, got, c.want)
		}
	}
}

// TestOneReplicaHasOneVoteOnEachOperation has one replica of four say the same lie
// in many frames, alone and among others, and one that nobody asked for.
func TestOneReplicaHasOneVoteOnEachOperation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t, 4)
		f.answer = func(to wire.ReplicaID, m wire.Message) []wire.Message {
			q := m.(*wire.Request) //nolint:errcheck,forcetypeassert // nothing else is asked
			if to != 1 {
				return nil
			}
			var said []wire.Message
			for i := range 5 {
				var told []wire.Told
				for number := q.Number; number < q.Number+wire.Number(1+i); number++ {
					told = append(told, wire.Told{Client: q.Client, Session: q.Session, Answer: wire.Answer{Number: number}})
				}
				told = append(told, told[0]) // twice in a batch: in a frame of its own
				for _, s := range wire.SealReplies(f.keys[1], f.domain, wire.View(i), 1, told) {
					said = append(said, rawFrame{q, s.Frame()})
				}
			}
			return said
		}
		c := f.client()
		defer closeClient(t, c)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var unfinished *UnfinishedError
		if _, err := c.Submit(ctx, []byte("x")); !errors.As(err, &unfinished) || unfinished.Replies != 1 {
			t.Errorf("got %v, want no result of one replica", err)
		}
	})
}

// TestOperationsOfOneFrameHaveTheirOwnProofs has every replica answer all operations
// of a request, and numbers that were never asked, in one frame among those of
// others; and counts what comes.
func TestOperationsOfOneFrameHaveTheirOwnProofs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t, 4)
		f.answer = func(to wire.ReplicaID, m wire.Message) []wire.Message {
			q := m.(*wire.Request) //nolint:errcheck,forcetypeassert // nothing else is asked
			var results []string
			for i := range q.Ops {
				results = append(results, string(q.Ops[i]))
			}
			strange := f.told(q.Client, q.Number+1000, "never asked", "nor that")[1:]
			told := append(f.told(q.Client, q.Number, results...), strange...)
			return []wire.Message{rawFrame{q, wire.SealReplies(f.keys[to], f.domain, wire.View(to), to, told)[1].Frame()}}
		}
		c := f.client()
		defer closeClient(t, c)
		var wg sync.WaitGroup
		for i := range 40 {
			wg.Go(func() {
				got, err := c.Submit(t.Context(), fmt.Append(nil, i))
				if err != nil || string(got.Value) != fmt.Sprint(i) {
					t.Errorf("submit %d = %q, %v", i, got.Value, err)
					return
				}
				clear(got.Value) // it is ours
				cert := got.Certificate()
				proven, err := verifyCertificate(openerFor(f.domain, c.cfg.keys, f.limits), 2, cert)
				if err != nil {
					t.Errorf("certificate of %d: %v", i, err)
					return
				}
				got.Value = fmt.Append(nil, i)
				if diff := cmp.Diff(got, proven, cmpopts.IgnoreUnexported(Result{})); diff != "" {
					t.Errorf("result of %d (-got +proven):\n%s", i, diff)
				}
				if !slices.EqualFunc(cert, got.Certificate(), bytes.Equal) {
					t.Errorf("the certificate of %d is another one the second time", i)
				}
			})
		}
		wg.Wait()
		if cert := (Result{}).Certificate(); len(cert) != 0 {
			t.Errorf("no result has the certificate %x", cert)
		}
	})
}

// TestOnlyWhatIsMissingIsAskedAgain: a connection has room for so many long answers at
// once. Whoever asks for all of them again is told the first of them again.
func TestOnlyWhatIsMissingIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t, 4)
		c := f.acquainted()
		defer closeClient(t, c)
		const operations, room = 20, 3
		f.setAnswer(func(to wire.ReplicaID, m wire.Message) []wire.Message {
			all := f.honest(to, m)
			r := all[0].(*wire.Replies) //nolint:errcheck,forcetypeassert // it is one
			r.Answers = r.Answers[:min(len(r.Answers), room)]
			return all
		})
		began := time.Now()
		var wg sync.WaitGroup
		for i := range operations {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				got, err := c.Submit(ctx, fmt.Append(nil, i))
				if want := fmt.Sprint("did ", i); err != nil || string(got.Value) != want {
					t.Errorf("got %q, %v, want %q", got.Value, err, want)
				}
			})
		}
		wg.Wait()
		if took, most := time.Since(began), (operations/room+1)*testRetransmit*3/2; took > most {
			t.Errorf("it took %v, want each retransmission to bring the next %d: at most %v", took, room, most)
		}
	})
}
