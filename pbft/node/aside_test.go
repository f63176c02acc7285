package node

import (
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// quorumOf returns the quorums of n replicas.
func quorumOf(t *testing.T, n int) core.Quorum {
	t.Helper()
	q, err := core.NewQuorum(n)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// TestVotesBeyondTheQuorumAreSetAside lets late votes come for number 3 of view 1,
// for which a quorum has prepared a batch, and tells what is verified, in which order.
func TestVotesBeyondTheQuorumAreSetAside(t *testing.T) {
	lim := wire.DefaultLimits(4)
	key := func(id wire.ReplicaID) crypto.PrivateKey { return keyOf(t, uint64(id)) }
	request := &wire.Request{Client: key(100).Public(), Session: 1, Number: 1, Ops: [][]byte{{1}}}
	batch, others := wire.NullBatch(), &wire.Batch{Time: 1, Requests: []*wire.Request{request}}
	d, other := wire.NullDigest(), others.Digest()
	vote := func(by wire.ReplicaID, v wire.View, seq wire.Seq, digest crypto.Digest) wire.Vote {
		return wire.Vote{View: v, Seq: seq, Digest: digest, Sender: by}
	}
	seal := func(by wire.ReplicaID, m wire.Message) []byte { return wire.Seal(key(by), testDomain(), m).Frame() }
	prepare := func(v wire.Vote) []byte { return seal(v.Sender, &wire.Prepare{Vote: v}) }
	commit := func(v wire.Vote) []byte { return seal(v.Sender, &wire.Commit{Vote: v}) }
	late := prepare(vote(2, 1, 3, d))
	stable := wire.Encode(&wire.StableProof{Cert: wire.CheckpointCert{Seq: 2}})
	committed := func(v wire.View, batch *wire.Batch) []byte {
		return wire.Encode(&wire.Committed{Cert: wire.CommitCert{View: v, Seq: 3, Digest: batch.Digest()}, Batch: batch})
	}
	proof := wire.Encode(&wire.CommitProof{Cert: wire.CommitCert{View: 1, Seq: 3, Digest: other}})
	for name, test := range map[string]struct {
		from []wire.ReplicaID
		in   [][]byte
		want []int // of in, by where it is first, in this order
	}{
		"the same vote":             {[]wire.ReplicaID{2}, [][]byte{late}, nil},
		"twice":                     {[]wire.ReplicaID{2, 2}, [][]byte{late, late}, nil},
		"relayed by another":        {[]wire.ReplicaID{3}, [][]byte{late}, []int{0}},
		"for another batch":         {[]wire.ReplicaID{2}, [][]byte{prepare(vote(2, 1, 3, other))}, []int{0}},
		"of another view":           {[]wire.ReplicaID{2}, [][]byte{prepare(vote(2, 2, 3, d))}, []int{0}},
		"for another number":        {[]wire.ReplicaID{2}, [][]byte{prepare(vote(2, 1, 4, d))}, []int{0}},
		"a commit":                  {[]wire.ReplicaID{2}, [][]byte{commit(vote(2, 1, 3, d))}, []int{0}},
		"cut short":                 {[]wire.ReplicaID{2}, [][]byte{late[:len(late)-1]}, []int{0}},
		"then another of it":        {[]wire.ReplicaID{2, 2}, [][]byte{late, prepare(vote(2, 1, 3, other))}, []int{0, 1}},
		"then a commit against it":  {[]wire.ReplicaID{2, 2}, [][]byte{late, commit(vote(2, 1, 3, other))}, []int{0, 1}},
		"after another of it":       {[]wire.ReplicaID{2, 2}, [][]byte{prepare(vote(2, 1, 3, other)), late}, []int{0, 1}},
		"then another's other vote": {[]wire.ReplicaID{2, 3}, [][]byte{late, prepare(vote(3, 1, 3, other))}, []int{1}},
		"then a certificate":        {[]wire.ReplicaID{2, 3}, [][]byte{late, proof}, []int{0, 1}},
		"then a stable checkpoint":  {[]wire.ReplicaID{2, 3}, [][]byte{late, stable}, []int{1}},
		"then its batch":            {[]wire.ReplicaID{2, 3}, [][]byte{late, committed(1, batch)}, []int{1}},
		"then another batch":        {[]wire.ReplicaID{2, 3}, [][]byte{late, committed(1, others)}, []int{0, 1}},
		"then one of another view":  {[]wire.ReplicaID{2, 3}, [][]byte{late, committed(0, others)}, []int{1}},
		"released only once":        {[]wire.ReplicaID{2, 3, 3}, [][]byte{late, proof, proof}, []int{0, 1, 1}},
	} {
		a := newAside(0, 8, quorumOf(t, 4))
		a.observe([]core.Observation{core.BecamePrepared{View: 1, Seq: 3, Digest: d}})
		b := &frames{}
		for i, f := range test.in {
			b.frames, b.from = append(b.frames, f), append(b.from, peerSource(test.from[i]))
		}
		a.sort(b, &lim, &standing{view: 1, active: true})
		var got []int
		for _, f := range b.frames {
			got = append(got, slices.IndexFunc(test.in, func(in []byte) bool { return &in[0] == &f[0] }))
		}
		if diff := cmp.Diff(got, test.want); diff != "" || len(b.from) != len(b.frames) {
			t.Errorf("%s: verified (-got +want):\n%s", name, diff)
		}
	}
}

// TestVotesSetAsideAreBounded: what is held for a number goes when its place stands
// for a later one, and an earlier number cannot take the place back.
func TestVotesSetAsideAreBounded(t *testing.T) {
	const window = 4
	lim, d := wire.DefaultLimits(4), crypto.Sum([]byte("d"))
	a := newAside(0, window, quorumOf(t, 4))
	for seq := wire.Seq(1); seq <= 10*window; seq++ {
		a.settle(asideCommits, 0, seq, d)
		a.settle(asideCommits, 0, max(seq, window)-window, d)
		for id := range wire.ReplicaID(4) {
			v := wire.Vote{Seq: seq, Digest: d, Sender: id}
			if !a.take(id, wire.Seal(keyOf(t, uint64(id)), testDomain(), &wire.Commit{Vote: v}).Frame(), &lim) {
				t.Fatalf("the commit of %d for %d is not taken", id, seq)
			}
		}
	}
	if got := len(a.releaseAll()); got != 4*window || a.mu.held != 0 {
		t.Errorf("%d votes were held, and then %d, want %d and none", got, a.mu.held, 4*window)
	}
}

// TestVoteSetAsideConvicts has replica 3 get the commits of 2 late, and then other
// commits of everybody: whichever was set aside, all are convicted.
func TestVoteSetAsideConvicts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMembers(t, 4)
		var late [][]byte
		m.hub.tamper(func(from, to wire.ReplicaID, frame []byte) [][]byte {
			if from == 2 && to == 3 && kindOf(frame) == wire.KindCommit {
				late = append(late, frame)
				return nil
			}
			return [][]byte{frame}
		})
		m.startAll()
		defer m.stopAll()
		if got := m.caller(1).call([]int{0, 1, 2, 3}, 4, "op"); got != "0 1" {
			t.Fatalf("got %q", got)
		}
		synctest.Wait()
		m.hub.tamper(func(_, _ wire.ReplicaID, frame []byte) [][]byte { return [][]byte{frame} })
		if len(late) == 0 || !m.hub.ports[2].Send(3, late[0]) {
			t.Fatal("replica 2 sent no commit")
		}
		synctest.Wait()
		of2 := func(f asideFrame) bool { return f.from == 2 }
		if held := m.nodes[3].aside.mu.slots[1].votes[asideCommits].held; !slices.ContainsFunc(held, of2) {
			t.Errorf("%d commits are set aside, want that of 2 among them", len(held))
		}
		for id := range wire.ReplicaID(3) {
			v := wire.Vote{Seq: 1, Digest: crypto.Sum([]byte("another batch")), Sender: id}
			m.hub.ports[id].Send(3, wire.Seal(m.keys[id], testDomain(), &wire.Commit{Vote: v}).Frame())
		}
		synctest.Wait()
		convicted := map[wire.ReplicaID]bool{}
		m.seen[3].mu.Lock()
		defer m.seen[3].mu.Unlock()
		for _, o := range m.seen[3].all {
			if c, ok := o.(core.Misbehaved); ok {
				convicted[c.Evidence.Culprit] = true
			}
		}
		if len(convicted) != 3 {
			t.Errorf("convicted %v, want 0, 1 and 2", convicted)
		}
	})
}

// voting makes the votes that a replica of seven, in view 1, may get for number 3.
type voting struct {
	m        *members
	d, other crypto.Digest
}

// got is a frame, and who sent it.
type got struct {
	from  wire.ReplicaID
	frame []byte
}

// frame seals the vote of a replica of a kind, with the key of another.
func (v voting) frame(kind wire.Kind, by, key wire.ReplicaID, digest crypto.Digest) []byte {
	vote := wire.Vote{View: 1, Seq: 3, Digest: digest, Sender: by}
	if kind == wire.KindPrepare {
		return wire.Seal(v.m.keys[key], testDomain(), &wire.Prepare{Vote: vote}).Frame()
	}
	return wire.Seal(v.m.keys[key], testDomain(), &wire.Commit{Vote: vote}).Frame()
}

// all is what some replicas themselves send.
func (v voting) all(kind wire.Kind, digest crypto.Digest, ids ...wire.ReplicaID) (all []got) {
	for _, id := range ids {
		all = append(all, got{id, v.frame(kind, id, id, digest)})
	}
	return all
}

// TestNoVoteBeyondTheQuorumIsVerified lets votes come before the core has seen any, one at
// a time and more at once: of seven replicas five are a quorum, whose proposer sends no prepare.
func TestNoVoteBeyondTheQuorumIsVerified(t *testing.T) {
	v := voting{newMembers(t, 7), crypto.Sum([]byte("d")), crypto.Sum([]byte("other"))}
	prepares := func(ids ...wire.ReplicaID) []got { return v.all(wire.KindPrepare, v.d, ids...) }
	commits := func(ids ...wire.ReplicaID) []got { return v.all(wire.KindCommit, v.d, ids...) }
	others := func(ids ...wire.ReplicaID) []got { return v.all(wire.KindCommit, v.other, ids...) }
	bad := func(by wire.ReplicaID) []got { return []got{{by, v.frame(wire.KindCommit, by, 0, v.d)}} }
	relayed := func(by wire.ReplicaID, digest crypto.Digest) []got {
		return []got{{5, v.frame(wire.KindCommit, by, by, digest)}}
	}
	ownPrepare := &wire.Prepare{Vote: wire.Vote{View: 1, Seq: 3, Digest: v.d}}
	ownCommit := &wire.Commit{Vote: wire.Vote{View: 1, Seq: 3, Digest: v.d}}
	for name, test := range map[string]struct {
		own            wire.Message
		in             [][]got
		checks, events int
	}{
		"commits":                     {nil, [][]got{commits(1, 2, 3, 4, 5, 6)}, 5, 5},
		"commits after the own":       {ownCommit, [][]got{commits(1, 2, 3, 4, 5, 6)}, 4, 4},
		"prepares":                    {nil, [][]got{prepares(2, 3, 4, 5, 6)}, 4, 4},
		"prepares after the own":      {ownPrepare, [][]got{prepares(2, 3, 4, 5, 6)}, 3, 3},
		"the primary's is none":       {ownPrepare, [][]got{prepares(1, 2, 3, 4, 5, 6)}, 3, 3},
		"the last again":              {nil, [][]got{commits(1, 2, 3, 4, 5, 6, 6)}, 6, 6},
		"the last twice more":         {nil, [][]got{commits(1, 2, 3, 4, 5, 6, 6, 6)}, 7, 7},
		"two batches":                 {nil, [][]got{others(1, 2), commits(3, 4, 5, 6)}, 6, 6},
		"a bad one":                   {nil, [][]got{commits(1, 2), bad(3), commits(4, 5, 6)}, 6, 5},
		"a bad one, and then it":      {nil, [][]got{bad(3), commits(1, 2, 4, 5, 6, 3)}, 7, 6},
		"twice the same":              {nil, [][]got{commits(1, 1, 2, 3, 4, 5, 6)}, 6, 6},
		"two of one":                  {nil, [][]got{commits(1, 2, 3, 4), others(4), commits(5, 6)}, 7, 7},
		"two of one, later":           {nil, [][]got{commits(1, 2, 3, 4, 5, 6), others(4)}, 7, 7},
		"two of the last":             {nil, [][]got{commits(1, 2, 3, 4, 5, 6), others(6)}, 7, 7},
		"its other one, relayed":      {nil, [][]got{relayed(6, v.other), commits(1, 2, 3, 4, 5, 6)}, 7, 7},
		"then its other one, relayed": {nil, [][]got{commits(1, 2, 3, 4, 5, 6), relayed(6, v.other)}, 7, 7},
		"one of them relayed":         {nil, [][]got{relayed(1, v.d), commits(2, 3, 4, 5, 6)}, 5, 5},
	} {
		frames := slices.Concat(test.in...)
		for _, together := range []int{1, 2, len(frames)} {
			node, verifier := newCounting(t, v.m)
			node.standing.Store(&standing{view: 1, active: true})
			if test.own != nil {
				node.aside.cast(test.own)
			}
			events := 0
			for some := range slices.Chunk(frames, together) {
				for _, one := range some {
					node.fromPeer(t.Context(), one.from, one.frame)
				}
				events += len(verifyAll(node))
			}
			// What comes again later was verified before.
			if events != test.events || verifier.checks > test.checks || together == len(frames) && verifier.checks < test.checks {
				t.Errorf("%s, %d at once: %d signatures verified and %d events, want %d and %d",
					name, together, verifier.checks, events, test.checks, test.events)
			}
		}
	}
}

// TestVotesThatAreNoneHoldNobodyUp has two replicas of seven damage their votes: those of
// others take their place at once, not when they are sent again.
func TestVotesThatAreNoneHoldNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMembers(t, 7)
		var damaged atomic.Int64
		m.hub.tamper(func(from, _ wire.ReplicaID, frame []byte) [][]byte {
			if k := kindOf(frame); (from == 1 || from == 2) && (k == wire.KindPrepare || k == wire.KindCommit) {
				frame = slices.Clone(frame)
				frame[len(frame)-1] ^= 1
				damaged.Add(1)
			}
			return [][]byte{frame}
		})
		m.startAll()
		defer m.stopAll()
		caller := m.caller(1)
		began := time.Now()
		for i := range 10 {
			if got := caller.call([]int{0, 1, 2, 3, 4, 5, 6}, 5, "op"); got == "" {
				t.Fatalf("operation %d has no answer", i)
			}
		}
		again := time.Duration(m.configs[0].Core.StatusTicks) * TickDefault
		if took := time.Since(began); took >= again || damaged.Load() == 0 {
			t.Errorf("10 operations took %v with %d damaged votes, want less than the %v after which votes are sent again",
				took, damaged.Load(), again)
		}
	})
}

// TestWhoVotedEarlyIsNotCounted has one of seven vote for another batch before the core can
// count that, which it may have kept, and then like everybody: nobody is set aside for its vote.
func TestWhoVotedEarlyIsNotCounted(t *testing.T) {
	const early = 6
	m := newMembers(t, 7)
	window := m.configs[0].Core.Window
	d, other := crypto.Sum([]byte("d")), crypto.Sum([]byte("other"))
	commit := func(by wire.ReplicaID, v wire.View, seq wire.Seq, digest crypto.Digest) []byte {
		return wire.Seal(m.keys[by], testDomain(), &wire.Commit{Vote: wire.Vote{View: v, Seq: seq, Digest: digest, Sender: by}}).Frame()
	}
	for name, test := range map[string]struct {
		was, is standing
		from    wire.ReplicaID
		view    wire.View
		seq     wire.Seq
		want    int
	}{
		"beyond the window":        {standing{view: 1, active: true}, standing{view: 1, active: true, stable: 8}, early, 1, window + 1, 6},
		"and another one beyond":   {standing{view: 1, active: true}, standing{view: 1, active: true, stable: 8}, early, 1, window + 5, 6},
		"in a later view":          {standing{view: 1, active: true}, standing{view: 2, active: true, stable: 8}, early, 2, window + 1, 6},
		"between views":            {standing{view: 2}, standing{view: 2, active: true, stable: 8}, early, 2, window + 1, 6},
		"for a number before":      {standing{view: 1, active: true}, standing{view: 2, active: true, stable: 8}, early, 2, window, 5},
		"of another view":          {standing{view: 1, active: true}, standing{view: 2, active: true, stable: 8}, early, 1, window + 1, 5},
		"relayed, which none keep": {standing{view: 1, active: true}, standing{view: 1, active: true, stable: 8}, 5, 1, window + 1, 5},
	} {
		node, _ := newCounting(t, m)
		node.standing.Store(&test.was)
		node.fromPeer(t.Context(), test.from, commit(early, test.view, test.seq, other))
		if got := len(verifyAll(node)); got != 1 {
			t.Errorf("%s: %d events of the early vote, want 1", name, got)
		}
		node.standing.Store(&test.is)
		for _, by := range []wire.ReplicaID{early, 1, 2, 3, 4, 5} {
			node.fromPeer(t.Context(), by, commit(by, test.is.view, window+1, d))
		}
		if got := len(verifyAll(node)); got != test.want {
			t.Errorf("%s: %d of six votes are passed on, want %d", name, got, test.want)
		}
	}
}
