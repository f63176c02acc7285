package sim

import (
	"fmt"
	"slices"

	"github.com/quorate/quorate/app"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// capturedMax is how many requests an outsider remembers.
const capturedMax = 4096

// diverging is the fault of a replica that runs another application.
const diverging = "diverging"

// Reach lets a client send to these replicas alone; with none, to all again.
func (c *Control) Reach(client int, to ...wire.ReplicaID) { c.w.clients[client].reach = to }

// reachable returns the processes that a client sends to.
func (c *client) reachable() []*node {
	if len(c.reach) == 0 {
		return c.w.nodes
	}
	var to []*node
	for _, id := range c.reach {
		to = append(to, c.w.byID[id]...)
	}
	return to
}

// Captured returns the frames of the requests that clients have sent, the oldest
// first: what an outsider on the network can repeat.
func (c *Control) Captured() [][]byte { return slices.Clone(c.w.captured) }

// capture remembers a request, where a script may ask for it.
func (w *world) capture(sealed *wire.Sealed) {
	if w.o.Script != nil && len(w.captured) < capturedMax {
		w.captured = append(w.captured, sealed.Frame())
	}
}

// Submit brings a frame to a replica as a client would, now. It returns why the
// replica refuses to read it; what the core thinks of it is another matter.
func (c *Control) Submit(to wire.ReplicaID, frame []byte) error {
	sealed, err := c.w.opener.OpenOne(frame)
	if err != nil {
		return err
	}
	if _, ok := sealed.Message().(*wire.Request); !ok {
		return fmt.Errorf("sim: clients submit requests, not %s", sealed.Message().Kind())
	}
	n := c.w.nodes[to]
	if n.down || n.paused {
		return nil
	}
	n.w.note(markSubmit, n.id, foulKeys, tag(sealed))
	n.step(core.Submitted{Request: sealed})
	return nil
}

// Inject brings a frame to replica to as if from had sent it, now. It returns why
// the replica refuses to read it.
func (c *Control) Inject(from, to wire.ReplicaID, frame []byte) error {
	sealed, err := c.w.opener.OpenOne(frame)
	if err != nil {
		return err
	}
	n := c.w.nodes[to]
	n.receive(n.life, from, 0, sealed)
	return nil
}

// Domain is where the replicas' signatures are valid.
func (c *Control) Domain() crypto.Domain { return c.w.domain }

// Forge returns a frame with m, signed with the key of replica id, which must be
// faulty, in any domain.
func (c *Control) Forge(id wire.ReplicaID, domain crypto.Domain, m wire.Message) []byte {
	n := c.w.nodes[id]
	if n.fault == "" {
		c.Fail("R%d is correct: nobody has its key", id)
	}
	return wire.Seal(n.signer, domain, m).Frame()
}

// Request returns a frame with m, signed by one of the adversary's own clients;
// it sets m.Client.
func (c *Control) Request(client int, m *wire.Request) []byte {
	signer := c.w.signer(foulKeys + client)
	m.Client = signer.Public()
	return wire.Seal(signer, c.w.domain, m).Frame()
}

// Twins returns the replicas that run twice.
func (c *Control) Twins() []wire.ReplicaID {
	var ids []wire.ReplicaID
	for _, n := range c.w.nodes[c.w.o.Replicas:] {
		ids = append(ids, n.id)
	}
	return ids
}

// Divert lets a replica run another application from its next start on. It is
// faulty then.
func (c *Control) Divert(id wire.ReplicaID, machine func() app.StateMachine) {
	c.Faulty(id, diverging)
	n := c.w.nodes[id]
	n.byzantine, n.machine = true, machine
}

// application returns what a replica runs.
func (n *node) application() app.StateMachine {
	if n.machine != nil {
		return n.machine()
	}
	return n.w.o.Machine()
}

// Calm ends the turbulence before its time: the network is timely from now on,
// and everyone is up.
func (c *Control) Calm() {
	if !c.w.calm {
		c.w.becomeCalm()
	}
}
