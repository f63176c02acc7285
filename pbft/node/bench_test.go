package node

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// BenchmarkFourNodes has four replicas and their clients on the processors of
// this machine, without sockets and disks but with every signature, and counts
// an operation when all four have answered it.
func BenchmarkFourNodes(b *testing.B) {
	for _, ops := range []int{1, 10} {
		b.Run(fmt.Sprintf("ops=%d", ops), func(b *testing.B) { benchmarkNodes(b, ops) })
	}
}

func benchmarkNodes(b *testing.B, ops int) {
	b.Helper()
	m := newMembers(b, 4)
	for i := range m.configs {
		m.configs[i].Core.Interval, m.configs[i].Core.Window = 128, 256
		m.configs[i].Verifier = crypto.NewVerifier(4096)
		m.configs[i].Observe = nil
	}
	const clients = 64
	var waiting atomic.Int64
	round := make(chan struct{}, 1)
	for _, p := range m.hub.ports {
		p.answered = func(_ uint64, frame []byte) {
			head, _ := wire.PeekReplies(frame)
			n := int64(head.Len())
			if left := waiting.Add(-n); left <= 0 && left+n > 0 { // a kept result may come again
				token(round)
			}
		}
	}
	m.startAll()
	defer m.stopAll()
	callers := make([]*caller, clients)
	for i := range callers {
		callers[i] = m.caller(uint64(i))
	}
	operation := make([]string, ops)
	for i := range operation {
		operation[i] = string(make([]byte, 128))
	}
	for b.Loop() {
		waiting.Store(int64(clients * ops * 4))
		for _, c := range callers {
			frame := c.request(operation...)
			for id := range 4 {
				c.send(id, frame)
			}
		}
		<-round
	}
	b.ReportMetric(float64(b.N*clients*ops)/b.Elapsed().Seconds(), "ops/s")
}
