package memory_test

import (
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/quorate/quorate/network/memory"
	"github.com/quorate/quorate/network/networktest"
	"github.com/quorate/quorate/pbft/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type cluster struct{ *memory.Network }

func (c cluster) Transport(t *testing.T, id wire.ReplicaID) networktest.Transport {
	t.Helper()
	return c.Network.Transport(id)
}

func (c cluster) Clients(t *testing.T) networktest.Clients {
	t.Helper()
	return c.Network.Clients()
}

func newCluster(n int) cluster {
	w := memory.NewNetwork(n)
	w.SetFrameBytesMax(networktest.FrameBytesMax)
	return cluster{w}
}

func TestMemoryKeepsTheContract(t *testing.T) {
	networktest.Run(t, func(t *testing.T, n int) networktest.Cluster {
		t.Helper()
		return newCluster(n)
	})
}

func TestMemoryKeepsTheContractWhereFramesTakeTime(t *testing.T) {
	networktest.Run(t, func(t *testing.T, n int) networktest.Cluster {
		t.Helper()
		c := newCluster(n)
		c.SetDelay(time.Millisecond)
		return c
	})
}

// TestFramesTakeTheirTime sends some at once, and one more while they are under way: each
// takes as long as it has to, between replicas and to and from clients.
func TestFramesTakeTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const delay, later = 50 * time.Millisecond, 20 * time.Millisecond
		c := newCluster(2)
		c.SetDelay(delay)
		a, b := networktest.Start(t, 0, c.Transport(t, 0)), networktest.Start(t, 1, c.Transport(t, 1))
		a.AwaitLink(t, 1, true)
		client := networktest.StartClients(t, c.Clients(t))
		client.AwaitLink(t, 1, true)
		began := time.Now()
		after := func(want time.Duration, what string) {
			if got := time.Since(began); got != want {
				t.Errorf("%s after %v, want %v", what, got, want)
			}
		}
		for i := range uint64(10) {
			a.Send(1, networktest.Frame(wire.KindPrepare, i, 0))
		}
		client.Send(1, networktest.Frame(wire.KindRequest, 1, 0))
		<-time.After(later)
		a.Send(1, networktest.Frame(wire.KindPrepare, 10, 0))
		b.AwaitNumber(t, 0, 9)
		after(delay, "the frames that were sent first came")
		asked := b.AwaitClients(t, 1)
		after(delay, "the client's frame came")
		b.Answer(asked[0].Conn, networktest.Frame(wire.KindReplies, 1, 0))
		b.AwaitNumber(t, 0, 10)
		after(delay+later, "the frame that was sent later came")
		client.AwaitFrames(t, 1)
		after(2*delay, "the answer came")
	})
}

func TestCutLinkCarriesNothingUntilHealed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(3)
		var nodes []*networktest.Node
		for id := range wire.ReplicaID(3) {
			nodes = append(nodes, networktest.Start(t, id, c.Transport(t, id)))
		}
		synctest.Wait()
		c.Cut(0, 1)
		nodes[0].AwaitLink(t, 1, false)
		nodes[0].Send(1, networktest.Frame(wire.KindPrepare, 1, 0))
		nodes[0].Send(2, networktest.Frame(wire.KindPrepare, 2, 0))
		nodes[2].AwaitNumber(t, 0, 2)
		synctest.Wait()
		if got := nodes[1].AwaitFrames(t, 0); len(got) != 0 {
			t.Errorf("got %d frames over a cut link, want none", len(got))
		}
		c.Heal()
		nodes[1].AwaitNumber(t, 0, 1)
	})
}

func TestIsolatedReplicaIsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(4)
		var nodes []*networktest.Node
		for id := range wire.ReplicaID(4) {
			nodes = append(nodes, networktest.Start(t, id, c.Transport(t, id)))
		}
		client := networktest.StartClients(t, c.Clients(t))
		client.AwaitLink(t, 2, true)
		synctest.Wait()
		c.Isolate(2)
		for _, id := range []wire.ReplicaID{0, 1, 3} {
			nodes[id].AwaitLink(t, 2, false)
			nodes[2].AwaitLink(t, id, false)
		}
		client.AwaitLink(t, 2, false)
		c.Heal()
		nodes[2].AwaitLink(t, 0, true)
		client.AwaitLink(t, 2, true)
	})
}

func TestShortBreakIsToldEvenIfOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(2)
		a := networktest.Start(t, 0, c.Transport(t, 0))
		networktest.Start(t, 1, c.Transport(t, 1))
		a.AwaitLink(t, 1, true)
		for range 3 {
			c.Cut(1, 0)
			c.Heal()
		}
		a.AwaitLinks(t, 1, 2)
	})
}

func TestOneReplicaRunsOnceAtATime(t *testing.T) {
	c := newCluster(1)
	tr := c.Network.Transport(0)
	networktest.Start(t, 0, tr)
	client := networktest.StartClients(t, c.Clients(t))
	client.AwaitLink(t, 0, true) // so it runs
	if err := tr.Run(t.Context(), memory.Inbound{}); err == nil {
		t.Error("a second Run = nil, want an error")
	}
	if got := c.Network.Transport(1); got != nil {
		t.Errorf("Transport(1) of one = %v, want nil", got)
	}
}
