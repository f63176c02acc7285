package checkpoint

import (
	"encoding/binary"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/pbft/wire"
)

// BenchmarkCheckpoint writes a checkpoint of 1,000 changed keys, spread over
// states of different sizes: its cost must follow the changes, not the state.
func BenchmarkCheckpoint(b *testing.B) {
	for _, keys := range []int{10_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprintf("memory/%d", keys), func(b *testing.B) { benchmarkCheckpoint(b, OpenMemory(), keys) })
	}
	for _, keys := range []int{10_000, 100_000} {
		b.Run(fmt.Sprintf("disk/%d", keys), func(b *testing.B) {
			s := open(b, filepath.Join(b.TempDir(), "state"), Options{})
			defer closed(b, s)
			benchmarkCheckpoint(b, s, keys)
		})
	}
}

func benchmarkCheckpoint(b *testing.B, s *Store, keys int) {
	b.Helper()
	fill(b, s, 0, keys, "x")
	checkpointed(b, s, 1)
	before, rounds := s.PagesWritten(), 0
	b.ResetTimer()
	for seq := wire.Seq(2); b.Loop(); seq++ {
		for i := range 1000 {
			fill(b, s, i*(keys/1000), i*(keys/1000)+1, fmt.Sprint(seq))
		}
		checkpointed(b, s, seq)
		s.Collect(seq)
		rounds++
	}
	b.ReportMetric(float64(s.PagesWritten()-before)/float64(rounds), "pages/op")
}

// largeGiB is how large a state BenchmarkLargeState makes: `go test -bench LargeState
// -benchtime 100x -timeout 0 -gib 10`. It takes about three times that of the disk.
var largeGiB = flag.Int64("gib", 0, "size of the state of BenchmarkLargeState, in GiB; 0 for none")

// BenchmarkLargeState writes checkpoints of 100 changed values of 32 KiB in a state of
// some gigabytes on disk, and reads others in between: both must cost what they do in
// a small one.
func BenchmarkLargeState(b *testing.B) {
	const valueBytes, batch, changed = 32 << 10, 2048, 100
	values := max(batch, int(*largeGiB<<30/valueBytes))
	s := open(b, filepath.Join(b.TempDir(), "state"), Options{CloseTimeout: time.Hour})
	rng := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // not for secrets
	put := func(i int) {
		value := make([]byte, valueBytes)
		for at := 0; at < len(value); at += 8 {
			binary.LittleEndian.PutUint64(value[at:], rng.Uint64())
		}
		if err := s.Put(fmt.Appendf(nil, "large/%09d", i), value); err != nil {
			b.Fatal(err)
		}
	}
	seq, began := wire.Seq(0), time.Now()
	for i := range values {
		put(i)
		if (i+1)%batch == 0 {
			seq++
			checkpointed(b, s, seq)
			s.Collect(seq)
		}
	}
	built := time.Since(began)
	before, rounds, longest, wrote := s.PagesWritten(), 0, time.Duration(0), bytesWritten()
	b.ResetTimer()
	for b.Loop() {
		for range changed {
			put(rng.IntN(values))
		}
		for range changed {
			if _, ok, err := s.Get(fmt.Appendf(nil, "large/%09d", rng.IntN(values))); !ok || err != nil {
				b.Fatal(ok, err)
			}
		}
		seq++
		frozen := time.Now()
		checkpointed(b, s, seq)
		longest = max(longest, time.Since(frozen))
		s.Collect(seq)
		rounds++
	}
	b.StopTimer()
	b.ReportMetric(float64(s.PagesWritten()-before)/float64(rounds), "pages/op")
	b.ReportMetric(built.Seconds(), "s-to-build")
	b.ReportMetric(longest.Seconds()*1e3, "longest-ms")
	if now := bytesWritten(); now > 0 {
		b.ReportMetric(float64(now-wrote)/float64(rounds)/1e6, "MB-written/op")
	}
	closing := time.Now()
	closed(b, s)
	b.ReportMetric(time.Since(closing).Seconds(), "s-to-close")
}

// BenchmarkTransfer fetches a whole state of values of 32 KiB from a store in memory into
// one on disk, as a replica does that lost its data: 64 MiB, or as many GiB as -gib says.
func BenchmarkTransfer(b *testing.B) {
	const valueBytes = 32 << 10
	source, rng := OpenMemory(), rand.New(rand.NewPCG(1, 2)) //nolint:gosec // not for secrets
	values := max(2048, int(*largeGiB<<30/valueBytes))
	for i := range values {
		value := make([]byte, valueBytes)
		for at := 0; at < len(value); at += 8 {
			binary.LittleEndian.PutUint64(value[at:], rng.Uint64())
		}
		if err := source.Put(fmt.Appendf(nil, "large/%09d", i), value); err != nil {
			b.Fatal(err)
		}
	}
	checkpointed(b, source, 1)
	seq, root := source.Last()
	b.SetBytes(int64(values) * valueBytes)
	for b.Loop() {
		s := open(b, filepath.Join(b.TempDir(), "state"), Options{CloseTimeout: time.Hour})
		if err := s.BeginTransfer(seq, root); err != nil {
			b.Fatal(err)
		}
		fetch(b, s, source, math.MaxInt)
		if err := s.FinishTransfer(); err != nil {
			b.Fatal(err)
		}
		closed(b, s)
	}
}

// bytesWritten returns how much the process has made the kernel write to disk, or 0
// where that is not told.
func bytesWritten() (n int64) {
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), "\nwrite_bytes: ")
	n, err = strconv.ParseInt(strings.Split(rest, "\n")[0], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// BenchmarkGet reads keys of a snapshot, most of which are in the page cache.
func BenchmarkGet(b *testing.B) {
	s := OpenMemory()
	fill(b, s, 0, 100_000, "x")
	checkpointed(b, s, 1)
	for i := 0; b.Loop(); i++ {
		key := fmt.Appendf(nil, "account/%08x", i%100_000*2654435761%(1<<32))
		if _, ok, err := s.Get(key); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}
