package outbox_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/quorate/quorate/network/internal/outbox"
)

// model is the queue as one would write it without a thought for speed.
type model struct {
	limits  outbox.Limits
	frames  [][]byte
	dropped uint64
}

func (m *model) bytes() (n int) {
	for _, f := range m.frames {
		n += len(f)
	}
	return n
}

func (m *model) push(f []byte) bool {
	full := func() bool { return len(m.frames) >= m.limits.Frames || m.bytes()+len(f) > m.limits.Bytes }
	if len(f) > m.limits.Bytes || m.limits.Frames == 0 || m.limits.Rule == outbox.RefuseNewest && full() {
		m.dropped++
		return false
	}
	for full() {
		m.frames = m.frames[1:]
		m.dropped++
	}
	m.frames = append(m.frames, f)
	return true
}

func TestQueueIsBoundedAndInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limits := outbox.Limits{
			Frames: rapid.IntRange(0, 12).Draw(t, "frames"),
			Bytes:  rapid.IntRange(1, 64).Draw(t, "bytes"),
			Rule:   outbox.Rule(rapid.IntRange(0, 1).Draw(t, "rule")), //nolint:gosec // 0 or 1
		}
		q, m := outbox.New(limits), model{limits: limits}
		for i := range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 5).Draw(t, "step") {
			case 0, 1, 2:
				f := make([]byte, rapid.IntRange(1, 70).Draw(t, "size"))
				f[0] = byte(i)
				if got, want := q.Push(f), m.push(f); got != want {
					t.Fatalf("Push(%d bytes) = %t, want %t", len(f), got, want)
				}
			case 3, 4:
				got, ok := q.Pop()
				if ok != (len(m.frames) > 0) {
					t.Fatalf("Pop = %t with %d frames", ok, len(m.frames))
				}
				if !ok {
					continue
				}
				if diff := cmp.Diff(got, m.frames[0]); diff != "" {
					t.Fatalf("Pop: got, want: %s", diff)
				}
				m.frames = m.frames[1:]
			default:
				if rapid.IntRange(0, 9).Draw(t, "clear") == 0 {
					q.Clear()
					m.frames = nil
				}
			}
			frames, bytes := q.Len()
			if frames != len(m.frames) || bytes != m.bytes() || q.Dropped() != m.dropped {
				t.Fatalf("got %d frames, %d bytes, %d dropped, want %d, %d, %d",
					frames, bytes, q.Dropped(), len(m.frames), m.bytes(), m.dropped)
			}
		}
	})
}

// TestPoolIsSharedAndNeverFull pushes to, pops from and closes queues of one pool: no more is
// ever taken of it than it has, what each has of its own is never refused, and a queue that
// asks for no more than the pool leaves it gets that.
func TestPoolIsSharedAndNeverFull(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const bytes = 200
		pool := outbox.NewPool(bytes)
		own := rapid.IntRange(0, 20).Draw(t, "own")
		type held struct {
			*outbox.Queue
			inHand int // what the reader has popped last
			closed bool
		}
		beyond := func(n int) int { return max(0, n-own) }
		var queues []*held
		for range rapid.IntRange(1, 6).Draw(t, "queues") {
			queues = append(queues, &held{Queue: outbox.New(outbox.Limits{Frames: 1000, Bytes: 1000, Pool: pool, Own: own})})
		}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			q := rapid.SampledFrom(queues).Draw(t, "queue")
			_, waiting := q.Len()
			has := beyond(waiting + q.inHand)
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0, 1, 2, 3, 4, 5:
				f := make([]byte, rapid.IntRange(1, 60).Draw(t, "size"))
				wants := beyond(waiting + q.inHand + len(f))
				fits := !q.closed && (wants == has || wants <= bytes-(pool.Used()+wants-has))
				if got := q.Push(f); got != fits {
					t.Fatalf("Push(%d bytes) = %t, want %t: %d wait, %d in hand, %d used", len(f), got, fits, waiting, q.inHand, pool.Used())
				}
			case 6, 7, 8:
				f, _ := q.Pop()
				q.inHand = len(f)
			default:
				if rapid.Bool().Draw(t, "close") {
					q.Close()
					q.closed, q.inHand = true, 0
				}
			}
			want := 0
			for _, q := range queues {
				_, waiting := q.Len()
				want += beyond(waiting + q.inHand)
			}
			if used := pool.Used(); used != want || used > bytes {
				t.Fatalf("%d of %d bytes are used, want %d", used, bytes, want)
			}
		}
		for _, q := range queues {
			q.Close()
		}
		if pool.Used() != 0 {
			t.Fatalf("%d bytes are used by queues that are closed", pool.Used())
		}
	})
}

// TestOneQueueLeavesHalfOfThePool that nobody empties, and the next one half of that.
func TestOneQueueLeavesHalfOfThePool(t *testing.T) {
	const bytes = 1000
	pool := outbox.NewPool(bytes)
	limits := outbox.Limits{Frames: bytes, Bytes: bytes, Pool: pool, Own: 10}
	for _, want := range []int{510, 260, 135} {
		q, room := outbox.New(limits), 0
		for q.Push([]byte{1}) {
			room++
		}
		if room != want {
			t.Errorf("%d bytes fit, want %d", room, want)
		}
	}
}

func TestReadyIsSignalledAfterAPush(t *testing.T) {
	q := outbox.New(outbox.Limits{Frames: 2, Bytes: 10})
	select {
	case <-q.Ready():
		t.Fatal("Ready before any Push")
	default:
	}
	q.Push([]byte{1})
	q.Push([]byte{2})
	select {
	case <-q.Ready():
	default:
		t.Fatal("not Ready after two pushes")
	}
	select {
	case <-q.Ready():
		t.Fatal("Ready twice")
	default:
	}
}
