package node

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// TestAFloodOfQuestionsAboutOutputsIsBounded has one connection ask for many or long
// outputs, faster than they may be told, and another one ask now and then.
func TestAFloodOfQuestionsAboutOutputsIsBounded(t *testing.T) {
	for name, c := range map[string]struct{ outputs, bytes int }{
		"many": {1 << 10, 1}, "long": {4, wire.OutputBytesMax}, "none": {0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { floodOfAsks(t, c.outputs, c.bytes) })
		})
	}
}

func floodOfAsks(t *testing.T, outputs, bytes int) {
	t.Helper()
	m := newMembers(t, 4)
	n, err := New(m.configs[0])
	if err != nil {
		t.Fatal(err)
	}
	r := running{Applier: n.applier, ex: &core.Execution{Seq: 1}}
	for range outputs {
		if err := r.emit(make([]byte, bytes)); err != nil {
			t.Fatal(err)
		}
	}
	n.applier.meta.outputs = r.next.outputs
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.apply(ctx) }()
	const seconds, after, each = 1, 5, 10 * time.Millisecond
	asked := 0
	for round := range seconds * int(time.Second/each) {
		for range outputAsksMax {
			n.work.askOutputs(1, 1)
		}
		if round%20 == 0 {
			n.work.askOutputs(2, 1)
			asked++
		}
		<-time.After(each)
	}
	<-time.After(after * time.Second) // what waits is told
	if got := len(m.hub.ports[0].answers(2)); got != asked {
		t.Errorf("who asked %d times was answered %d times", asked, got)
	}
	answers := m.hub.ports[0].answers(1)
	read, sent := 0, 0
	for _, frame := range answers {
		read, sent = read+min(outputs, wire.OutputsMax), sent+len(frame)
	}
	const most = outputsBurst + (seconds+after)*outputsPerSecond
	if len(answers) > most || read > most*outputsRead || sent > most*outputsReadBytes {
		t.Errorf("%d answers with %d outputs, %d bytes: that is too much for %d s", len(answers), read, sent, seconds+after)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
