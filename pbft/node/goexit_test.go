package node

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/app"
	"github.com/quorate/quorate/pbft/core"
)

// quitter leaves its goroutine where it is told to, as t.Fatal does.
type quitter struct {
	thermometer

	validate func(op []byte) error
	execute  func()
}

func (q *quitter) Validate(op []byte) error { return q.validate(op) }

func (q *quitter) Execute(tx *app.Tx, op []byte) []byte {
	tx.Put("a", op)
	tx.Emit(op)
	q.execute()
	return nil
}

// TestGoexitInTheApplicationEndsTheReplica has a replica lose a goroutine wherever the
// application, or its embedder, is called.
func TestGoexitInTheApplicationEndsTheReplica(t *testing.T) {
	for where, c := range map[string]struct {
		at   int // which replica
		quit func(c *Config, q *quitter)
	}{
		"Execute":      {1, func(_ *Config, q *quitter) { q.execute = runtime.Goexit }},
		"Validate":     {1, func(_ *Config, q *quitter) { q.validate = func([]byte) error { runtime.Goexit(); return nil } }},
		"ProposeInput": {0, func(_ *Config, q *quitter) { q.propose = func() ([]byte, error) { runtime.Goexit(); return nil, nil } }},
		"CheckInput":   {1, func(_ *Config, q *quitter) { q.check = func([]byte) error { runtime.Goexit(); return nil } }},
		"Output":       {1, func(c *Config, _ *quitter) { c.Output = func(Output) { runtime.Goexit() } }},
		"Observe":      {1, func(c *Config, _ *quitter) { c.Observe = func(core.Observation) { runtime.Goexit() } }},
	} {
		t.Run(where, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMembers(t, 4)
				for i := range m.configs {
					q := &quitter{thermometer{reads("cold"), accepts}, func([]byte) error { return nil }, func() {}}
					if m.configs[i].Machine = q; i == c.at {
						c.quit(&m.configs[i], q)
					}
				}
				ended := m.startOne(c.at)
				m.startOthers(c.at)
				defer m.stopAll()
				frame := m.caller(1).request("op")
				for _, port := range m.hub.ports {
					port.clients <- clientFrame{1, frame}
				}
				select {
				case err := <-ended:
					if !errors.Is(err, errGoexit) {
						t.Errorf("the replica ended with %v, want %v", err, errGoexit)
					}
				case <-time.After(time.Minute):
					t.Error("the replica goes on without one of its stages")
				}
			})
		})
	}
}

// startOne runs node i, and returns what Run returns.
func (m *members) startOne(i int) <-chan error {
	m.t.Helper()
	node, err := New(m.configs[i])
	if err != nil {
		m.t.Fatal(err)
	}
	m.nodes[i] = node
	ctx, cancel := context.WithCancel(m.t.Context())
	ended, over := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(over)
		ended <- node.Run(ctx)
	}()
	m.stop[i] = func() error {
		cancel()
		<-over
		m.states[i].background.Wait()
		return nil
	}
	return ended
}

func (m *members) startOthers(than int) {
	m.t.Helper()
	for i := range m.configs {
		if i != than {
			m.start(i)
		}
	}
}
