package pbft

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quorate/quorate/pbft/wire"
)

// postbox is a transport that takes everything, and counts it by replica.
type postbox struct {
	sink
	sent []int
}

func (p *postbox) Send(to wire.ReplicaID, _ []byte) bool {
	p.sent[to]++
	return true
}

// TestStatusLeavesNothingForWhoCannotBeReached: questions that wait for a replica until it
// is back would all be asked then, ahead of requests, and nobody waits for the answers.
func TestStatusLeavesNothingForWhoCannotBeReached(t *testing.T) {
	l := idleLoop(t)
	defer l.deadline.Stop()
	box := &postbox{sent: make([]int, len(l.links))}
	l.transport = box
	for id := range wire.ReplicaID(3) {
		l.onLink(id, link{state: linkUp})
	}
	l.onLink(3, link{state: linkDown, err: errTestRefused})
	for range 10 {
		a := &asking{done: make(chan []ReplicaStatus, 1), reports: make([]*wire.Report, len(l.links))}
		l.onAsk(a)
		l.onAskDeadline(time.Now().Add(l.cfg.retransmit))
		l.finishAsk(a)
	}
	if diff := cmp.Diff(box.sent, []int{20, 20, 20, 0}); diff != "" {
		t.Errorf("questions sent (-got +want):\n%s", diff)
	}
	l.onAsk(&asking{done: make(chan []ReplicaStatus, 1), reports: make([]*wire.Report, len(l.links))})
	l.onLink(3, link{state: linkUp})
	if diff := cmp.Diff(box.sent, []int{21, 21, 21, 1}); diff != "" {
		t.Errorf("questions sent once it is back (-got +want):\n%s", diff)
	}
}
