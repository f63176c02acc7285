package network

import (
	"encoding/binary"
	"io"
	"math"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/quorate/quorate/network/networktest"
	"github.com/quorate/quorate/pbft/wire"
)

// opener opens a stream on which frames are taken: a member's, or a client's.
type opener struct {
	name     string
	outsider bool
	peer     wire.ReplicaID
	open     func(*testing.T, *siege) network.Stream
}

func openers() []opener {
	return []opener{
		{"member", false, 2, func(t *testing.T, s *siege) network.Stream {
			t.Helper()
			return s.member(t, 2).admitted(t, s, 2, wire.ClassVotes)
		}},
		{"client", true, 0, func(t *testing.T, s *siege) network.Stream {
			t.Helper()
			return s.stranger(t).admitted(t, s, outsider, wire.ClassClients)
		}},
	}
}

// TestHostileFrames sends what is no frame, as a member and as a client.
func TestHostileFrames(t *testing.T) {
	for _, row := range []struct {
		name   string
		fault  Fault
		attack func(*testing.T, *siege, network.Stream)
	}{
		{"LengthZero", FaultFrameSize, announce(0)},
		{"LengthOverTheLimit", FaultFrameSize, announce(networktest.FrameBytesMax + 1)},
		{"Length2To31", FaultFrameSize, announce(1 << 31)},
		{"Length2To32", FaultFrameSize, announce(math.MaxUint32)},
		{"LastByteNeverCame", FaultFrameSlow, func(t *testing.T, _ *siege, st network.Stream) {
			t.Helper()
			write(t, st, framed(make([]byte, 1000))[:1003])
		}},
		{"HalfALength", FaultFrameSlow, func(t *testing.T, _ *siege, st network.Stream) {
			t.Helper()
			write(t, st, []byte{0, 0})
		}},
		{"ByteByByte", FaultFrameSlow, byteByByte},
	} {
		for _, who := range openers() {
			t.Run(row.name+"/"+who.name, func(t *testing.T) {
				s := besiege(t, haste{frame: 300 * time.Millisecond})
				t.Run("attack", func(t *testing.T) {
					st := who.open(t, s)
					write(t, st, framed(networktest.Frame(wire.KindRequest, 1, 100))) // a good one first
					row.attack(t, s, st)
					closed(t, st)
					s.awaitFault(t, who.outsider, who.peer, row.fault)
					s.flows(t)
				})
				s.calms(t)
				s.flows(t)
			})
		}
	}
}

func write(t *testing.T, st network.Stream, b []byte) {
	t.Helper()
	if _, err := st.Write(b); err != nil {
		t.Fatal(err)
	}
}

func announce(length uint32) func(*testing.T, *siege, network.Stream) {
	return func(t *testing.T, _ *siege, st network.Stream) {
		t.Helper()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		write(t, st, append(binary.BigEndian.AppendUint32(nil, length), make([]byte, 1000)...))
		closed(t, st)
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 64<<20 {
			t.Errorf("%d bytes were allocated for a frame of length %d, want none for it", grown, length)
		}
	}
}

// byteByByte sends a frame so slowly that each byte comes well within the
// deadline, and the frame does not.
func byteByByte(t *testing.T, s *siege, st network.Stream) {
	t.Helper()
	tick := time.NewTicker(s.haste.frame / 20)
	defer tick.Stop()
	frame := framed(make([]byte, 1000))
	for i := range frame {
		if _, err := st.Write(frame[i : i+1]); err != nil {
			return // the victim has had enough
		}
		<-tick.C
	}
	t.Error("a frame that took very long was taken, want the stream reset")
}

// TestAFloodOfTinyFramesHarmsOnlyItsSender sends tiny frames to a receiver that
// takes them slower than they come: the sender is stopped, nothing piles up, and
// the honest talk on.
func TestAFloodOfTinyFramesHarmsOnlyItsSender(t *testing.T) {
	s := besiege(t, haste{})
	s.victim.Stop(t)
	block := make(chan struct{})
	victim := networktest.StartHolding(t, 0, s.Transport(t, 0), func(from wire.ReplicaID, _ []byte) {
		if from == 2 {
			<-block
		}
	})
	s.victim = victim
	t.Cleanup(func() { close(block) })
	s.honest.AwaitLink(t, 0, true)
	victim.AwaitLink(t, 1, true)
	st := s.member(t, 2).admitted(t, s, 2, wire.ClassVotes)
	_ = st.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
	flood := repeated(framed([]byte{1, 3}), 1000)
	sent := 0
	for sent < 1_000_000 {
		if _, err := st.Write(flood); err != nil {
			break
		}
		sent += 1000
	}
	if sent >= 1_000_000 {
		t.Error("a million frames that nobody took were accepted, want the sender stopped")
	}
	s.flows(t)
}

func TestAMillionTinyFramesAreTaken(t *testing.T) {
	s := besiege(t, haste{})
	var count atomic.Int64
	var last int
	done := make(chan struct{})
	s.victim.Stop(t)
	victim := networktest.StartHolding(t, 0, s.Transport(t, 0), func(from wire.ReplicaID, f []byte) {
		if from != 2 {
			return
		}
		if count.Add(1) == 1_000_000 {
			last = len(f)
			close(done)
		}
	})
	s.victim = victim
	s.honest.AwaitLink(t, 0, true)
	victim.AwaitLink(t, 1, true)
	st := s.member(t, 2).admitted(t, s, 2, wire.ClassVotes)
	flood := repeated(framed([]byte{3}), 10_000)
	for range 100 {
		_ = st.SetDeadline(time.Now().Add(patience)) // for each part: all may take long
		write(t, st, flood)
	}
	s.flows(t)
	awaitProgress(t, done, &count)
	if last != 1 {
		t.Errorf("the last frame has %d bytes, want 1", last)
	}
}

// awaitProgress waits for done, as long as count goes on.
func awaitProgress(t *testing.T, done <-chan struct{}, count *atomic.Int64) {
	t.Helper()
	for before := int64(-1); ; {
		select {
		case <-done:
			return
		case <-time.After(patience):
		}
		now := count.Load()
		if now == before {
			t.Fatalf("got %d and no more for %s", now, patience)
		}
		before = now
	}
}

// TestHellosThatDiffer says hello from another version, cluster, epoch and
// member, and reads the verdict.
func TestHellosThatDiffer(t *testing.T) {
	s := besiege(t, haste{})
	good := hello{version: protocolVersion, cluster: s.genesis, sender: 2, class: wire.ClassVotes}
	for _, row := range []struct {
		name  string
		with  func(hello) hello
		want  verdict
		fault Fault
	}{
		{"version", func(h hello) hello { h.version = 9; return h }, verdictVersion, FaultVersion},
		{"genesis", func(h hello) hello { h.cluster[5] ^= 1; return h }, verdictGenesis, FaultGenesis},
		{"epoch", func(h hello) hello { h.epoch = 3; return h }, verdictEpoch, FaultEpoch},
		{"another member", func(h hello) hello { h.sender = 1; return h }, verdictImpostor, FaultImpostor},
		{"no member", func(h hello) hello { h.sender = 4; return h }, verdictImpostor, FaultImpostor},
		{"another class", func(h hello) hello { h.class = 7; return h }, verdictImpostor, FaultImpostor},
	} {
		a := s.member(t, 2)
		st, err := a.open(t, protocolOf(wire.ClassVotes))
		if err != nil {
			t.Fatal(err)
		}
		got := a.say(t, st, row.with(good))
		if want := (answer{row.want, protocolVersion, s.genesis, 0}); got != want {
			t.Errorf("%s: answer %+v, want %+v", row.name, got, want)
		}
		if _, err := st.Read(make([]byte, 1)); err != io.EOF { //nolint:errorlint // exactly io.EOF
			t.Errorf("%s: after the answer %v, want the end of the stream", row.name, err)
		}
		s.awaitFault(t, false, 2, row.fault)
		_ = a.Close()
	}
	s.flows(t)
	s.calms(t)
}
