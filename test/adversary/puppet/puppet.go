package puppet

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/node"
	"github.com/quorate/quorate/pbft/wire"
	"github.com/quorate/quorate/test/adversary"
)

const (
	// timersMax bounds what a strategy has put off; more is forgotten.
	timersMax = 1 << 16
	// openedMax is how many opened frames are remembered: a broadcast sends one
	// frame to each peer, a few goroutines at once.
	openedMax = 16
)

// Options are what a puppet needs beside the configuration of its node.
type Options struct {
	// Seed is that of the strategy's random choices.
	Seed uint64
	// Colluders are other replicas whose keys the adversary has.
	Colluders map[wire.ReplicaID]crypto.Signer
	// Note, if set, takes what the strategy tells people. One goroutine at a time
	// calls it.
	Note func(text string)
}

// Puppet is the transport of a replica that plays a strategy. Frames that it
// cannot open pass unchanged. What the strategy lets the replica hear is verified
// by the node like everything else: it can deafen the replica, not deceive it.
type Puppet struct {
	cfg     node.Config
	options Options
	opener  *wire.Opener
	began   time.Time

	mu struct {
		sync.Mutex

		strategy adversary.Strategy
		rng      *rand.Rand
		opened   [openedMax]openedFrame
		turn     int
		timers   map[*time.Timer]bool
		ended    bool
	}
	running sync.WaitGroup // ticks and timers
}

// openedFrame is one frame of the node and what it holds.
type openedFrame struct {
	frame  []byte
	sealed *wire.Sealed
}

// New returns a transport that plays s for the node of cfg, in place of
// cfg.Transport, on which it builds. It is for one Run.
func New(cfg node.Config, s adversary.Strategy, o Options) *Puppet {
	p := &Puppet{cfg: cfg, options: o, opener: wire.NewOpener(cfg.Domain, cfg.Keys, cfg.Limits, cfg.Verifier), began: time.Now()}
	p.mu.strategy = s
	p.mu.rng = rand.New(rand.NewPCG(o.Seed, uint64(cfg.Core.ID)))
	p.mu.timers = map[*time.Timer]bool{}
	return p
}

// Run serves until ctx is done. The strategy's ticks come from it, and nothing of
// the strategy happens after it.
func (p *Puppet) Run(ctx context.Context, in node.Inbound) error {
	ticking, stop := context.WithCancel(ctx)
	p.running.Go(func() { p.tick(ticking) })
	wrapped := in
	if in.Peer != nil {
		wrapped.Peer = func(from wire.ReplicaID, frame []byte) {
			for _, heard := range p.hear(from, frame) {
				in.Peer(from, heard)
			}
		}
	}
	err := p.cfg.Transport.Run(ctx, wrapped)
	stop()
	p.end()
	p.running.Wait()
	return err
}

// tick calls the strategy every hundredth of the request timeout.
func (p *Puppet) tick(ctx context.Context) {
	ticker := time.NewTicker(max(p.timeout()/100, time.Microsecond))
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			p.act(func(s adversary.Strategy) { s.Tick(env{p}) })
		case <-ctx.Done():
			return
		}
	}
}

// act lets the strategy do something, and returns false once all is over.
func (p *Puppet) act(do func(adversary.Strategy)) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.ended {
		return false
	}
	do(p.mu.strategy)
	return true
}

// end stops what the strategy has put off.
func (p *Puppet) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.ended = true
	for t := range p.mu.timers {
		if t.Stop() {
			p.running.Done()
		}
	}
	clear(p.mu.timers)
}

// Send queues what the strategy says in place of frame. It returns false if some
// of that found no room.
func (p *Puppet) Send(to wire.ReplicaID, frame []byte) bool {
	sealed := p.open(frame)
	if sealed == nil {
		return p.cfg.Transport.Send(to, frame)
	}
	sent := true
	return p.act(func(s adversary.Strategy) {
		for _, m := range s.Say(env{p}, to, sealed) {
			sent = p.cfg.Transport.Send(to, m.Frame()) && sent
		}
	}) && sent
}

// Answer queues what the strategy answers in place of frame.
func (p *Puppet) Answer(conn uint64, frame []byte) bool {
	kind, err := wire.FrameKind(frame)
	if err != nil || kind != wire.KindReplies && kind != wire.KindRefusal && kind != wire.KindResults {
		return p.cfg.Transport.Answer(conn, frame)
	}
	sealed := p.open(frame)
	if sealed == nil {
		return p.cfg.Transport.Answer(conn, frame)
	}
	sent := true
	return p.act(func(s adversary.Strategy) {
		for _, m := range s.Answer(env{p}, sealed) {
			sent = p.cfg.Transport.Answer(conn, m.Frame()) && sent
		}
	}) && sent
}

// hear returns the frames that the node gets in place of frame.
func (p *Puppet) hear(from wire.ReplicaID, frame []byte) [][]byte {
	sealed, err := p.opener.OpenOne(frame)
	if err != nil {
		return [][]byte{frame}
	}
	var out [][]byte
	p.act(func(s adversary.Strategy) {
		for _, m := range s.Hear(env{p}, from, sealed) {
			out = append(out, m.Frame())
		}
	})
	return out
}

// open opens a frame of the node's own, once for all whom it is sent to: the same
// frame gives the same Sealed. It returns nil for what cannot be opened.
func (p *Puppet) open(frame []byte) *wire.Sealed {
	if sealed := p.known(frame); sealed != nil {
		return sealed
	}
	sealed, err := p.opener.OpenOne(frame)
	if err != nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.opened[p.mu.turn%openedMax] = openedFrame{frame, sealed}
	p.mu.turn++
	return sealed
}

// known returns what was opened before of the same memory.
func (p *Puppet) known(frame []byte) *wire.Sealed {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, o := range p.mu.opened {
		if len(frame) > 0 && len(o.frame) == len(frame) && &o.frame[0] == &frame[0] {
			return o.sealed
		}
	}
	return nil
}

// timeout returns T.
func (p *Puppet) timeout() time.Duration {
	tick := p.cfg.Tick
	if tick == 0 {
		tick = node.TickDefault
	}
	return tick * time.Duration(p.cfg.Core.RequestTicks)
}

// note tells people.
func (p *Puppet) note(format string, args ...any) {
	if p.options.Note != nil {
		p.options.Note(fmt.Sprintf(format, args...))
	}
}
