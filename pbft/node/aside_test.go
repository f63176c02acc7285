package node

import (
	"slices"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// TestVotesBeyondTheQuorumAreSetAside lets late votes come for number 3 of view 1,
// for which a quorum has prepared a batch, and tells what is verified, in which order.
func TestVotesBeyondTheQuorumAreSetAside(t *testing.T) {
	lim := wire.DefaultLimits(4)
	key := func(id wire.ReplicaID) crypto.PrivateKey { return keyOf(t, uint64(id)) }
	d, other := crypto.Sum([]byte("d")), crypto.Sum([]byte("other"))
	vote := func(by wire.ReplicaID, v wire.View, seq wire.Seq, digest crypto.Digest) wire.Vote {
		return wire.Vote{View: v, Seq: seq, Digest: digest, Sender: by}
	}
	seal := func(by wire.ReplicaID, m wire.Message) []byte { return wire.Seal(key(by), testDomain(), m).Frame() }
	prepare := func(v wire.Vote) []byte { return seal(v.Sender, &wire.Prepare{Vote: v}) }
	commit := func(v wire.Vote) []byte { return seal(v.Sender, &wire.Commit{Vote: v}) }
	late := prepare(vote(2, 1, 3, d))
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
		"released only once":        {[]wire.ReplicaID{2, 3, 3}, [][]byte{late, proof, proof}, []int{0, 1, 1}},
	} {
		a := newAside(8)
		a.observe([]core.Observation{core.BecamePrepared{View: 1, Seq: 3, Digest: d}})
		b := &frames{}
		for i, f := range test.in {
			b.frames, b.from = append(b.frames, f), append(b.from, peerSource(test.from[i]))
		}
		a.sort(b, &lim, 1, 0)
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
	a := newAside(window)
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
