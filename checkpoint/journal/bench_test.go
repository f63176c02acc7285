package journal

import (
	"fmt"
	"testing"

	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// BenchmarkAppendFlush is one turn of the driver on the file system of the
// temporary directory: append, write, sync.
func BenchmarkAppendFlush(b *testing.B) {
	for _, records := range []int{1, 64} {
		b.Run(fmt.Sprintf("records=%d", records), func(b *testing.B) {
			j, err := Create(b.TempDir(), testID, Options{Limits: wire.DefaultLimits(4)})
			if err != nil {
				b.Fatal(err)
			}
			turn := make([]core.Record, records)
			for i := range turn {
				turn[i] = accepted(1, 20) // 200 bytes of payload, more or less
			}
			payload, err := encodeRecord(nil, turn[0])
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(records * len(payload)))
			b.ReportAllocs()
			for b.Loop() {
				if err := j.Append(turn); err != nil {
					b.Fatal(err)
				}
				if err := j.Flush(); err != nil {
					b.Fatal(err)
				}
			}
			if err := j.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}
