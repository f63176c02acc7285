package hostile

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	lib "github.com/libp2p/go-libp2p/core/network"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/network"
	"github.com/quorate/quorate/pbft/wire"
)

func frameRows() []row {
	return []row{
		{11, "length zero", "a frame of length 0", "the stream ends; counted", lengths(0), false},
		{
			12, "length beyond", "lengths above the limit, of 2^31 and 2^32 − 1",
			"the stream ends before anything is allocated; counted", lengths(16<<20, 1<<31, math.MaxUint32), false,
		},
		{
			13, "last byte never comes", "a frame announced, one byte of it missing, and silence",
			"the stream ends at the deadline of a frame; counted", lastByte, true,
		},
		{14, "a byte a second", "a frame that comes byte by byte", "as the row before", byteByByte, true},
		{
			15, "tiny frames", "tiny frames as fast as they go",
			"looked at no faster than bad frames may come: the sender is stopped", tinyFrames, false,
		},
		{16, "unknown type", "unknown types, and a version to come", "dropped, counted", unknownTypes, false},
		{17, "trailing bytes", "a message with bytes behind its end", "dropped, counted", trailing, false},
		{18, "non-canonical", "a value that is encoded otherwise than it must be", "dropped, counted", nonCanonical, false},
		{
			19, "huge count", "a count of 2^31 in a short body",
			"dropped before anything is allocated, counted", hugeCounts, false,
		},
		{
			20, "flipped bits", "messages with one bit flipped, of all kinds",
			"dropped, counted, or a message that says nothing new; never believed", flippedBits, false,
		},
		{21, "truncations", "messages cut short, of all kinds", "dropped, counted", truncations, false},
		{
			22, "nonsensical order", "genuine messages of everyone, again and in any order",
			"nothing happens, and nobody is blamed", replayed, false,
		},
	}
}

// openers returns how to open a stream on which frames are taken: as a member,
// and as a client.
func (s *siege) openers(t *testing.T) map[bool]func(i int) lib.Stream {
	t.Helper()
	return map[bool]func(int) lib.Stream{
		false: func(i int) lib.Stream { return s.admitted(t, s.member(t), i, wire.ClassVotes) },
		true:  func(i int) lib.Stream { return s.admitted(t, stranger(t), i, wire.ClassClients) },
	}
}

// lengths announces frames of lengths that are not allowed.
func lengths(all ...uint32) func(*testing.T, *siege) {
	return func(t *testing.T, s *siege) {
		t.Helper()
		for outsider, open := range s.openers(t) {
			for _, length := range all {
				counted := s.more(t, 0, outsider, network.FaultFrameSize)
				st := open(0)
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				write(t, st, append(binary.BigEndian.AppendUint32(nil, length), make([]byte, 1000)...))
				closed(t, st)
				counted()
				runtime.ReadMemStats(&after)
				if length > 64<<20 && after.TotalAlloc-before.TotalAlloc > 64<<20 {
					t.Errorf("%d bytes were allocated for a frame of length %d", after.TotalAlloc-before.TotalAlloc, length)
				}
			}
		}
	}
}

func lastByte(t *testing.T, s *siege) {
	t.Helper()
	streams, counts := []lib.Stream{}, []func(){}
	for outsider, open := range s.openers(t) {
		counts = append(counts, s.more(t, 1, outsider, network.FaultFrameSlow))
		st := open(1)
		write(t, st, framed(make([]byte, 1000))[:1003])
		streams = append(streams, st)
	}
	for i, st := range streams {
		closed(t, st)
		counts[i]()
	}
}

// byteByByte sends a frame of so many bytes that the deadline of a frame passes
// well before its end; each byte comes well within it.
func byteByByte(t *testing.T, s *siege) {
	t.Helper()
	counted := s.more(t, 2, false, network.FaultFrameSlow)
	st := s.admitted(t, s.member(t), 2, wire.ClassVotes)
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for _, b := range framed(make([]byte, 240)) {
		if _, err := st.Write([]byte{b}); err != nil {
			counted()
			return
		}
		<-tick.C
	}
	t.Error("a frame that took two minutes was taken, want the stream ended")
}

// tinyFrames sends frames of two bytes as fast as they are taken: a million, if
// nobody stops it. A million are six megabytes, more than may be on the way.
//
// The cluster is its own: whoever does that is read slowly for a while, and the
// other rows have the same liar.
func tinyFrames(t *testing.T, _ *siege) {
	t.Helper()
	const most = 1_000_000
	s := newCluster(t, options{liar: 3, timeout: calmTimeout})
	s.startHonest(t)
	st := s.admitted(t, s.member(t), 0, wire.ClassVotes)
	before := s.replicas[0].BadFrames().Peers[s.liar]
	_ = st.SetWriteDeadline(time.Now().Add(time.Second))
	flood := bytes.Repeat(framed([]byte{1, byte(wire.KindPrepare)}), 1000)
	sent := uint64(0)
	for sent < most {
		if _, err := st.Write(flood); err != nil {
			break
		}
		sent += 1000
	}
	looked := s.replicas[0].BadFrames().Peers[s.liar] - before
	t.Logf("%d frames sent, %d looked at", sent, looked)
	if sent >= most || looked > sent/4 {
		t.Errorf("%d of %d tiny frames were looked at, want the sender stopped", looked, sent)
	}
	s.serves(t, 5)
	_ = st.Reset()
}

// drops sends each bad frame to each replica, and demands that each is counted.
func (s *siege) drops(t *testing.T, frames ...[]byte) {
	t.Helper()
	p := s.puppet(t)
	b := s.book()
	p.sends(t, frames...)
	b.scored(t, len(frames))
}

func unknownTypes(t *testing.T, s *siege) {
	t.Helper()
	good := s.puppetFrame(&wire.Commit{Vote: s.liarsVote()})
	future, kind, none := bytes.Clone(good), bytes.Clone(good), bytes.Clone(good)
	future[0], kind[1], none[1] = 2, 99, 0
	s.drops(t, future, kind, none, s.puppetFrame(&wire.Report{Sender: s.liar}), s.puppetFrame(&wire.Ask{}),
		s.puppetFrame(&wire.Outputs{From: 1, Kept: 1, Next: 1, Sender: s.liar}), s.puppetFrame(&wire.AskOutputs{From: 1}))
}

// puppetFrame returns a message with the liar's signature.
func (c *cluster) puppetFrame(m wire.Message) []byte {
	return wire.Seal(c.keys[c.liar], c.genesis.Domain(), m).Frame()
}

// liarsVote returns a vote that is well-formed and means nothing.
func (c *cluster) liarsVote() wire.Vote {
	return wire.Vote{Seq: 1, Digest: crypto.Sum([]byte("nothing")), Sender: c.liar}
}

func trailing(t *testing.T, s *siege) {
	t.Helper()
	s.drops(t,
		append(s.puppetFrame(&wire.Commit{Vote: s.liarsVote()}), 0),
		append(s.puppetFrame(&wire.Status{Sender: s.liar}), 1, 2, 3),
		append(s.puppetFrame(&wire.FetchCommitted{First: 1, Last: 2, Sender: s.liar}), 0))
}

func nonCanonical(t *testing.T, s *siege) {
	t.Helper()
	flag := s.puppetFrame(&wire.Status{Active: true, Sender: s.liar})
	flag[2+8] = 2 // true, in other words
	order := s.puppetFrame(&wire.Status{ViewChanges: []wire.ReplicaID{2, 1}, Sender: s.liar})
	twice := s.puppetFrame(&wire.Status{ViewChanges: []wire.ReplicaID{1, 1}, Sender: s.liar})
	batch := s.puppetFrame(&wire.BatchBody{Batch: &wire.Batch{Time: 7}}) // an empty batch has no time
	s.drops(t, flag, order, twice, batch)
}

func hugeCounts(t *testing.T, s *siege) {
	t.Helper()
	huge := binary.BigEndian.AppendUint32(nil, 1<<31)
	fetch := s.puppetFrame(&wire.FetchBatches{Digests: []crypto.Digest{{1}}, Sender: s.liar})
	copy(fetch[2:], huge)
	body := s.puppetFrame(&wire.BatchBody{Batch: wire.NullBatch()})
	copy(body[len(body)-4:], huge)
	piece := s.puppetFrame(&wire.Piece{Root: crypto.Digest{1}, Data: []byte("short")})
	copy(piece[2+crypto.DigestSize+8:], huge) // behind the root and the life
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	s.drops(t, fetch, body, piece)
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 256<<20 {
		t.Errorf("%d bytes were allocated for counts of 2^31", grown)
	}
}

// flippedBits flips bits of messages of all kinds. Of what clients send every bit
// is flipped: a client that was found out connects anew. A member's bad frames
// are looked at slowly, whatever its connections, so of theirs a sample is sent,
// another one in each run; package wire flips them all.
func flippedBits(t *testing.T, s *siege) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(*seed, 20)) //nolint:gosec // a test
	t.Logf("-seed=%d", *seed)
	request := s.request(t, newKey(t), 1, []byte("count"))
	every := 1
	if testing.Short() {
		every = 16
	}
	var flipped [][]byte
	for bit := rnd.IntN(every); bit < 8*len(request); bit += every {
		flipped = append(flipped, flip(request, bit))
	}
	s.clientDrops(t, flipped)
	p := s.puppet(t)
	var sample [][]byte
	for _, f := range s.samples(t) {
		for range 2 {
			from := 0
			if wire.Kind(f[1]) == wire.KindBatchBody {
				from = 10 // with another time it is another batch, which proves itself as well
			}
			sample = append(sample, flip(f, 8*from+rnd.IntN(8*(len(f)-from))))
		}
	}
	before := s.book()
	p.spreads(t, sample)
	p.fence(t)
	before.scoredInAll(t, len(sample))
	before.none(t, "a change of view", changes)
}

func flip(frame []byte, bit int) []byte {
	out := bytes.Clone(frame)
	out[bit/8] ^= 1 << (bit % 8)
	return out
}

func truncations(t *testing.T, s *siege) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(*seed, 21)) //nolint:gosec // a test
	t.Logf("-seed=%d", *seed)
	request := s.request(t, newKey(t), 1, []byte("count"))
	var cut [][]byte
	for n := 1; n < len(request); n++ {
		cut = append(cut, request[:n])
	}
	s.clientDrops(t, cut)
	var sample [][]byte
	for _, f := range s.samples(t) {
		for range 2 {
			sample = append(sample, f[:2+rnd.IntN(len(f)-2)])
		}
	}
	before := s.book()
	s.puppet(t).spreads(t, sample)
	before.scoredInAll(t, len(sample))
}

// replayed says again, to everyone and in a random order, what all said before.
func replayed(t *testing.T, s *siege) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(*seed, 22)) //nolint:gosec // a test
	t.Logf("-seed=%d", *seed)
	p := s.puppet(t)
	s.serves(t, 5)
	await(t, "the liar hears what the others say", func() bool { return len(p.of(wire.KindCommit)) > 0 })
	p.heard.Lock()
	said := append([][]byte(nil), p.heard.frames...)
	p.heard.Unlock()
	own := [][]byte{
		p.sign(&wire.Commit{Vote: p.vote(0, 1)}),
		p.sign(&wire.NewView{View: 3, ViewChanges: refs(0, 1, 2), Sender: p.liar}),
		p.sign(&wire.FetchViewChange{View: 9, Refs: refs(0, 1, 2), Sender: p.liar}),
		p.sign(&wire.Piece{Root: crypto.Digest{1}, Data: []byte("unasked")}),
	}
	said = append(said, own...)
	rnd.Shuffle(len(said), func(i, j int) { said[i], said[j] = said[j], said[i] })
	b := s.book()
	p.sends(t, said[:min(len(said), 600)]...)
	p.fence(t)
	b.scored(t, 0)
	b.none(t, "a change of view", changes)
}

func refs(ids ...wire.ReplicaID) []wire.ViewChangeRef {
	var out []wire.ViewChangeRef
	for _, id := range ids {
		out = append(out, wire.ViewChangeRef{Sender: id, Digest: crypto.Sum([]byte("no such view change"))})
	}
	return out
}
