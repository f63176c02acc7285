package checkpoint

import (
	"fmt"
	"path/filepath"
	"testing"

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
