package pbft

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quorate/quorate/pbft/wire"
)

func TestStatusReportsWhoAnswersAndWhyOthersDoNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t, 4)
		f.answer = func(to wire.ReplicaID, m wire.Message) []wire.Message {
			nonce := m.(*wire.Ask).Nonce //nolint:errcheck,forcetypeassert // it is
			switch to {
			case 1:
				return []wire.Message{&wire.Report{Nonce: nonce + 1, Sender: 1}} // of another question
			case 3:
				return []wire.Message{&wire.Report{Nonce: nonce, Sender: 0}} // not its own
			default:
				return []wire.Message{&wire.Report{Nonce: nonce, Sender: to, Executed: 5}}
			}
		}
		c := f.client()
		defer closeClient(t, c)
		f.setDown(2, true)
		start := time.Now()
		got, err := c.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took < testRetransmit || took > 5*time.Second {
			t.Errorf("it took %v, want the patience for silent replicas", took)
		}
		if got[0].Report == nil || got[0].Report.Executed != 5 || got[0].Err != nil {
			t.Errorf("replica 0: %+v, want its report", got[0])
		}
		for id, want := range map[int]error{1: errNoAnswer, 2: errTestRefused, 3: errNoAnswer} {
			if got[id].Report != nil || !errors.Is(got[id].Err, want) {
				t.Errorf("replica %d: %+v, want %v", id, got[id], want)
			}
		}
	})
}

func TestStatusEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t, 4)
		f.answer = silent
		c := f.client()
		defer closeClient(t, c)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		start := time.Now()
		got, err := c.Status(ctx)
		if err != nil || len(got) != 4 || !errors.Is(got[3].Err, errNoAnswer) {
			t.Errorf("status = %v, %v, want four silent replicas", got, err)
		}
		if took := time.Since(start); took != 10*time.Millisecond {
			t.Errorf("it took %v", took)
		}
	})
}

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
