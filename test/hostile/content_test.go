package hostile

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/quorate/quorate/checkpoint"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

func contentRows() []row {
	return []row{
		{
			23, "another's name", "messages of the liar that say they are another member's",
			"dropped for their signature, counted; blames nobody else", anothersName, false,
		},
		{24, "no such member", "senders and signers that are no members", "dropped, counted", noSuchMember, false},
		{
			25, "another domain", "genuine signatures for another cluster, epoch, type or protocol version",
			"dropped, counted", anotherDomain, false,
		},
		{26, "not the primary", "a proposal by a backup", "dropped, counted", notThePrimary, false},
		{
			27, "numbers", "sequence numbers 0, the stable one, one above the window, 2^64 − 1",
			"dropped and counted where no message has them; else no effect", strangeNumbers, false,
		},
		{28, "views", "views 0, the last, the next, 2^64 − 1", "as the row before", strangeViews, false},
		{
			29, "digest and batch differ", "a proposal whose batch is not the one it names",
			"dropped, counted", otherBatch, false,
		},
		{
			30, "bad batches", "a primary's batches with an invalid client signature, a request twice, an executed " +
				"request, none, too many, too many bytes, a strange time",
			"dropped and counted, or refused; what was executed executes no more; the view changes", badBatches, false,
		},
		{31, "primary prepares", "a Prepare of the primary", "dropped, counted", primaryPrepares, false},
		{
			32, "changed votes", "a vote again, and another one for the same place",
			"the first counts, the second is proof of a lie", changedVotes, false,
		},
		{33, "early commits", "commits before the proposal", "kept, and of no effect alone", earlyCommits, false},
		{
			34, "votes for a million digests", "votes for ever other digests at one number",
			"one is kept; proofs of the lie are bounded", manyDigests, false,
		},
		{
			35, "checkpoints", "checkpoints with wrong digests, for numbers that have none, far ahead",
			"proof, refused, ignored; the honest ones become stable", wrongCheckpoints, false,
		},
	}
}

func anothersName(t *testing.T, s *siege) {
	t.Helper()
	as := func(id wire.ReplicaID) wire.Vote {
		v := s.liarsVote()
		v.Sender = id
		return v
	}
	s.drops(t,
		s.puppetFrame(&wire.Commit{Vote: as(1)}),
		s.puppetFrame(&wire.Prepare{Vote: as(2)}),
		s.puppetFrame(&wire.PrePrepare{Vote: wire.Vote{Seq: 1, Digest: wire.NullDigest()}, Batch: wire.NullBatch()}),
		s.puppetFrame(&wire.Checkpoint{Seq: 128, Sender: 1}),
		s.puppetFrame(&wire.ViewChange{View: 1, Stable: s.zero(), Sender: 2}),
		s.puppetFrame(&wire.Status{Sender: 0}),
		s.puppetFrame(&wire.FetchPieces{Seq: 1, Digests: []crypto.Digest{{2}}, Sender: 1}))
}

// zero returns the certificate of number 0.
func (c *cluster) zero() wire.CheckpointCert {
	return wire.CheckpointCert{State: checkpoint.EmptyRoot()}
}

func noSuchMember(t *testing.T, s *siege) {
	t.Helper()
	strange := s.liarsVote()
	strange.Sender = replicas
	largest := s.liarsVote()
	largest.Sender = ^wire.ReplicaID(0)
	cert := wire.CheckpointCert{Seq: 128, Signers: []wire.Signed{{Sender: 0}, {Sender: 1}, {Sender: replicas}}}
	s.drops(t,
		s.puppetFrame(&wire.Commit{Vote: strange}), s.puppetFrame(&wire.Prepare{Vote: largest}),
		s.puppetFrame(&wire.StableProof{Cert: cert}), s.puppetFrame(&wire.Status{Sender: replicas}),
		s.puppetFrame(&wire.Status{ViewChanges: []wire.ReplicaID{9}, Sender: s.liar}))
}

func anotherDomain(t *testing.T, s *siege) {
	t.Helper()
	key, ours := s.keys[s.liar], s.genesis.Domain()
	theirs, later := ours, ours
	theirs.Cluster[0] ^= 1
	later.Epoch++
	vote := s.liarsVote()
	prepare, ok := wire.Seal(key, ours, &wire.Prepare{Vote: vote}).Message().(*wire.Prepare)
	if !ok {
		t.Fatal("no prepare")
	}
	version := s.puppetFrame(&wire.Commit{Vote: vote})
	version[0]++
	s.drops(t,
		wire.Seal(key, theirs, &wire.Commit{Vote: vote}).Frame(),
		wire.Seal(key, later, &wire.Commit{Vote: vote}).Frame(),
		wire.Encode(&wire.Commit{Vote: prepare.Vote}), // a prepare's signature
		version)
}

func notThePrimary(t *testing.T, s *siege) {
	t.Helper()
	batch := wire.NullBatch()
	s.drops(t, s.puppetFrame(&wire.PrePrepare{
		Vote: wire.Vote{Seq: 1, Digest: batch.Digest(), Sender: s.liar}, Batch: batch,
	}))
}

// stands returns where replica 0 stands.
func (c *cluster) stands() wire.Report {
	for _, r := range c.replicas {
		if r != nil {
			return r.Report()
		}
	}
	return wire.Report{}
}

func strangeNumbers(t *testing.T, s *siege) {
	t.Helper()
	p := s.puppet(t)
	await(t, "a checkpoint is stable", func() bool {
		s.serves(t, 1)
		return s.stands().Stable > 0
	})
	at := s.stands()
	window := wire.Seq(s.genesis.Limits.Window)
	b := s.book()
	for _, seq := range []wire.Seq{1, at.Stable, at.Stable + window + 1, wire.NumberMax} {
		p.sends(t, p.sign(&wire.Commit{Vote: p.vote(at.View, seq)}), p.sign(&wire.Prepare{Vote: p.vote(at.View, seq)}))
	}
	p.fence(t)
	b.scored(t, 0)
	for _, seq := range []wire.Seq{0, ^wire.Seq(0), wire.NumberMax + 1} {
		p.sends(t, p.sign(&wire.Commit{Vote: p.vote(at.View, seq)}))
	}
	b.scored(t, 3)
	b.none(t, "a change of view, or proof", func(o core.Observation) bool {
		_, proof := o.(core.Misbehaved)
		return proof || changes(o)
	})
}

// strangeViews attacks a cluster that has left view 0.
func strangeViews(t *testing.T, _ *siege) {
	t.Helper()
	c := newCluster(t, options{liar: 0, timeout: hastyTimeout})
	c.startHonest(t)
	c.serves(t, 1) // the liar does not lead: the view changes
	p := c.puppet(t)
	at := c.stands()
	if at.View == 0 {
		t.Fatal("view 0 serves without its primary")
	}
	b := c.book()
	for _, view := range []wire.View{0, at.View - 1, at.View + 1, at.View + 1000, wire.NumberMax} {
		p.sends(t, p.sign(&wire.Commit{Vote: p.vote(view, at.Executed+1)}))
	}
	p.sends(t, p.sign(&wire.Commit{Vote: p.vote(^wire.View(0), 1)}))
	b.scored(t, 1)
	p.fence(t)
	c.serves(t, 3)
}

func otherBatch(t *testing.T, s *siege) {
	t.Helper()
	client := newKey(t)
	batch := s.batchOf(t, s.signed(t, client, 1))
	s.drops(t, s.puppetFrame(&wire.PrePrepare{
		Vote: wire.Vote{View: 3, Seq: unreached, Digest: crypto.Sum([]byte("another")), Sender: s.liar}, Batch: batch,
	}), s.puppetFrame(&wire.PrePrepare{ // signed by the primary that there will be, for a batch without its time
		Vote: wire.Vote{View: 3, Seq: unreached, Digest: wire.NullDigest(), Sender: s.liar}, Batch: batch,
	}))
	if n := s.executed(t, client.Public()); n != 0 {
		t.Errorf("%d operations of the batch were executed", n)
	}
}

// signed returns a request of client.
func (c *cluster) signed(tb testing.TB, client crypto.PrivateKey, number wire.Number) *wire.Request {
	tb.Helper()
	q, ok := wire.Seal(client, c.genesis.Domain(), &wire.Request{
		Client: client.Public(), Session: 1, Number: number, Ops: [][]byte{[]byte("count")},
	}).Message().(*wire.Request)
	if !ok {
		tb.Fatal("no request")
	}
	return q
}

// batchOf returns a batch of now.
func (c *cluster) batchOf(tb testing.TB, requests ...*wire.Request) *wire.Batch {
	tb.Helper()
	return &wire.Batch{Time: now(), Requests: requests}
}

// now is the wall clock, which replicas compare the time of a batch with.
func now() wire.Time { return wire.Time(time.Now().UnixNano()) }

func primaryPrepares(t *testing.T, s *siege) {
	t.Helper()
	s.drops(t, s.puppetFrame(&wire.Prepare{Vote: wire.Vote{View: 3, Seq: 1, Digest: crypto.Digest{1}, Sender: s.liar}}))
}

func changedVotes(t *testing.T, s *siege) {
	t.Helper()
	p := s.puppet(t)
	at := s.stands()
	b := s.book()
	first := p.sign(&wire.Prepare{Vote: p.vote(at.View, at.Executed+9)})
	p.sends(t, first, first, first)
	p.fence(t)
	b.none(t, "a proof of a lie", func(o core.Observation) bool { _, lie := o.(core.Misbehaved); return lie })
	p.sends(t, p.sign(&wire.Prepare{Vote: p.voteFor(at.View, at.Executed+9, "another")}))
	b.convicted(t, wire.EvidencePrepares)
	p.sends(t,
		p.sign(&wire.Commit{Vote: p.vote(at.View, at.Executed+9)}),
		p.sign(&wire.Commit{Vote: p.voteFor(at.View, at.Executed+9, "another")}))
	b.convicted(t, wire.EvidenceCommits)
	b.scored(t, 0)
}

func earlyCommits(t *testing.T, s *siege) {
	t.Helper()
	p := s.puppet(t)
	b := s.book()
	var votes [][]byte
	for i := range wire.Seq(8) {
		votes = append(votes, p.sign(&wire.Commit{Vote: p.vote(0, s.stands().Executed+1+i)}))
	}
	at := s.stands().Executed
	p.sends(t, votes...)
	p.fence(t)
	for _, i := range s.running() {
		if got := s.replicas[i].Report().Executed; got != at {
			t.Errorf("replica %d executed up to %d, want %d: commits alone move nothing", i, got, at)
		}
	}
	s.serves(t, 10) // over the numbers that the liar has voted on
	b.scored(t, 0)
}

// manyDigests sends 1,500 votes where a million would do no more: of the second
// on, each could cost a proof, and each a place if they were kept.
func manyDigests(t *testing.T, s *siege) {
	t.Helper()
	const votes = 1500
	p := s.puppet(t)
	at := s.stands()
	b := s.book()
	var all [][]byte
	for i := range votes {
		all = append(all, p.sign(&wire.Prepare{Vote: p.voteFor(at.View, at.Executed+7, "digest "+strconv.Itoa(i))}))
	}
	p.sends(t, all...)
	p.fence(t)
	b.convicted(t, wire.EvidencePrepares)
	s.serves(t, 10)
	for i, from := range b.seen {
		lies := 0
		for _, o := range s.seen[i].since(from) {
			if _, lie := o.(core.Misbehaved); lie {
				lies++
			}
		}
		if lies > votes/2 {
			t.Errorf("replica %d reported %d proofs for %d votes at one number, want a bound", i, lies, votes)
		}
	}
}

func wrongCheckpoints(t *testing.T, s *siege) {
	t.Helper()
	p := s.puppet(t)
	interval := wire.Seq(s.genesis.Limits.CheckpointInterval)
	next := s.stands().Stable + interval
	b := s.book()
	say := func(seq wire.Seq, what string) []byte {
		return p.sign(&wire.Checkpoint{Seq: seq, State: crypto.Sum([]byte(what)), Sender: p.liar})
	}
	p.sends(t, say(next, "wrong"), say(next+1, "wrong"), say(wire.NumberMax-wire.NumberMax%interval, "far"))
	b.refused(t, wire.KindCheckpoint, "multiple")
	p.sends(t, say(next, "wrong in another way"))
	b.convicted(t, wire.EvidenceCheckpoints)
	b.scored(t, 0)
	s.serves(t, int(next-s.stands().Executed)) //nolint:gosec // an interval
	await(t, "the honest checkpoint is stable", func() bool {
		return !slices.ContainsFunc(s.running(), func(i int) bool { return s.replicas[i].Report().Stable < next })
	})
}
