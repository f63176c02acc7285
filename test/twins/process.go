package twins

import (
	"bytes"
	"maps"
	"slices"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// process runs one replica, or one copy of it, and carries out its effects.
type process struct {
	index   int
	id      wire.ReplicaID
	replica *core.Replica
	view    wire.View

	events  []core.Event  // all that it took in since its last start: they make it what it is
	journal []core.Record // all that is durable, if the scenario has crashes
	kept    core.Snapshot // the newest snapshot

	state    core.Snapshot // after the last execution
	clients  map[wire.ClientID]core.ClientState
	answered bool // has executed the last request, or has a state in which it is

	fresh  *wire.Status // what it last said of itself
	target *core.Target // the state that it waits for
}

// applied is the application: its state is the history of its batches. A
// snapshot is durable at once.
func (p *process) applied(ex *core.Execution) {
	p.state.Seq, p.state.History, p.state.Time, p.state.Floor = ex.Seq, ex.History, ex.Time, ex.Floor
	for _, c := range ex.Clients {
		p.clients[c.Client] = c
	}
	p.state.State = crypto.Sum([]byte("state"), ex.History[:])
	if ex.Checkpoint {
		p.kept = p.state
		p.kept.Clients = slices.SortedFunc(maps.Values(p.clients), func(a, b core.ClientState) int {
			return bytes.Compare(a.Client[:], b.Client[:])
		})
	}
}

// installed puts a snapshot in the place of the state.
func (p *process) installed(s *core.Snapshot) {
	p.state, p.kept, p.target = *s, *s, nil
	p.clients = map[wire.ClientID]core.ClientState{}
	for _, c := range s.Clients {
		p.clients[c.Client] = c
		p.answered = p.answered || hasLast(&c)
	}
}

// hasLast tells whether the last request was executed.
func hasLast(c *core.ClientState) bool {
	const last = wire.Number(roundsMax + 1)
	return c.Low >= last || c.Done[(last-c.Low-1)/64]>>((last-c.Low-1)%64)&1 == 1
}

// again makes a process that has gone through the same as p. A replica is a
// function of its events: this is how it is copied.
func (p *process) again(cfg core.Config, fx *core.Effects) (*process, error) {
	twin := *p
	twin.clients = maps.Clone(p.clients)
	twin.events = slices.Clip(p.events)
	twin.journal = slices.Clip(p.journal)
	var err error
	if twin.replica, err = core.New(cfg, core.Restored{}); err != nil {
		return nil, err
	}
	for _, ev := range p.events {
		twin.replica.Step(ev, fx)
		twin.replica.Step(core.TurnEnded{}, fx)
		fx.Reset()
	}
	return &twin, nil
}
