package roofline

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/quorate/quorate/checkpoint/journal"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/network"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

const (
	flushesRound = 12
	roundTrips   = 300
	// framesMade are sent in one stream; framesUnderWay bounds what is sent and not
	// yet received, so that no queue drops any.
	framesMade     = 4000
	framesUnderWay = 1024
	shortFrame     = 128
	longFrame      = 8 << 10
	// patience is how long the transport may take for all of it: a second or two, and many
	// times that beside other work. It only ends what hangs.
	patience = 2 * time.Minute
)

// flushes measures the journal in a directory of its own below dir.
func (m *Meter) flushes(dir string) (err error) {
	own, err := os.MkdirTemp(dir, "quorate-roofline-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(own)) }()
	j, err := journal.Create(filepath.Join(own, "journal"), journal.Identity{}, journal.Options{Limits: wire.DefaultLimits(4)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	batch := &wire.Batch{Requests: []*wire.Request{{Ops: [][]byte{make([]byte, 64)}}}}
	records := []core.Record{core.AcceptedRecord{PrePrepare: &wire.PrePrepare{
		Vote: wire.Vote{Seq: 1, Digest: batch.Digest()}, Batch: batch,
	}}}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var elapsed, busy []time.Duration
	for range rounds * flushesRound {
		start, began := time.Now(), threadTime()
		if err := errors.Join(j.Append(records), j.Flush()); err != nil {
			return err
		}
		elapsed = append(elapsed, time.Since(start))
		busy = append(busy, threadTime()-began)
	}
	m.base.FlushWall, m.base.Flush = flushCosts(elapsed, busy)
	return nil
}

// flushCosts returns how long a flush takes, which is the median, and the processor time
// that it needs: the least of several rounds, as of every part.
func flushCosts(elapsed, busy []time.Duration) (wall, processor float64) {
	processor = math.Inf(1)
	for round := range slices.Chunk(busy, flushesRound) {
		sum := time.Duration(0)
		for _, one := range round {
			sum += one
		}
		processor = min(processor, float64(sum)/float64(len(round)))
	}
	return middle(elapsed), processor
}

// pair is two replicas that are connected over loopback.
type pair struct {
	a, b     *network.Transport
	got      chan struct{}    // a got a frame back, or b got one that it keeps
	linked   chan struct{}    // one for each end
	finished [2]chan struct{} // closed when Run returned, after err is set
	err      [2]error
}

// frames measures our transport: round trips, and streams of short and of long
// frames.
func (m *Meter) frames(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	p, err := m.connect(ctx)
	if err != nil {
		cancel()
		return err
	}
	err = m.measure(ctx, p)
	cancel()
	for i := range p.finished {
		<-p.finished[i]
		err = errors.Join(err, p.err[i])
	}
	return err
}

func (m *Meter) measure(ctx context.Context, p *pair) error {
	for range 2 {
		if err := receive(ctx, p.linked); err != nil {
			return err
		}
	}
	var elapsed []time.Duration
	for range roundTrips {
		start := time.Now()
		p.a.Send(1, echoFrame())
		if err := receive(ctx, p.got); err != nil {
			return err
		}
		elapsed = append(elapsed, time.Since(start))
	}
	m.base.RoundTrip = middle(elapsed)
	short, shortErr := p.cheapest(ctx, shortFrame)
	long, longErr := p.cheapest(ctx, longFrame)
	m.base.FrameByte = max(0, (long-short)/(longFrame-shortFrame))
	m.base.Frame = max(0, short-shortFrame*m.base.FrameByte)
	return errors.Join(shortErr, longErr)
}

// cheapest is the least of several streams.
func (p *pair) cheapest(ctx context.Context, bytes int) (float64, error) {
	best, err := p.stream(ctx, bytes)
	for range rounds - 1 {
		cost, again := p.stream(ctx, bytes)
		best, err = min(best, cost), errors.Join(err, again)
	}
	return best, err
}

// stream returns the processor time of one frame of so many bytes, at both ends.
func (p *pair) stream(ctx context.Context, bytes int) (float64, error) {
	frame := keptFrame(bytes)
	began := processTime()
	for i := range framesMade + framesUnderWay {
		if i >= framesUnderWay {
			if err := receive(ctx, p.got); err != nil {
				return 0, err
			}
		}
		if i < framesMade && !p.a.Send(1, frame) {
			return 0, errors.New("the transport took no more frames")
		}
	}
	return float64(processTime()-began) / framesMade, nil
}

// The frames have the header of a prepare; the third byte tells what to do.
func echoFrame() []byte { return header(shortFrame, 1) }

func keptFrame(bytes int) []byte { return header(bytes, 0) }

func header(bytes int, echo byte) []byte {
	f := make([]byte, bytes)
	f[0], f[1], f[2] = wire.Encode(&wire.Prepare{})[0], byte(wire.KindPrepare), echo
	return f
}

// connect starts two transports.
func (m *Meter) connect(ctx context.Context) (*pair, error) {
	p := &pair{got: make(chan struct{}, framesUnderWay), linked: make(chan struct{}, 16)}
	members := make([]network.Member, 2)
	for i := range members {
		members[i] = network.Member{Key: m.keys[i].Public(), Addrs: []string{"/ip4/127.0.0.1/tcp/0"}}
	}
	var made []*network.Transport
	for i := range members {
		t, err := network.New(network.Config{
			Self: wire.ReplicaID(i), Key: m.keys[i], Cluster: crypto.Sum([]byte("roofline")), Members: members, //nolint:gosec // 0 or 1
		})
		if err != nil {
			return nil, errors.Join(err, closeAll(made))
		}
		made = append(made, t)
	}
	for i, t := range made {
		if err := t.SetMemberAddrs(wire.ReplicaID(1-i), made[1-i].Addrs()); err != nil { //nolint:gosec // 0 or 1
			return nil, errors.Join(err, closeAll(made))
		}
	}
	p.a, p.b = made[0], made[1]
	take := []func(wire.ReplicaID, []byte){p.atA, p.atB}
	for i, t := range made {
		p.finished[i] = make(chan struct{})
		go func() {
			defer close(p.finished[i])
			p.err[i] = t.Run(ctx, network.Inbound{Peer: take[i], Link: p.link})
		}()
	}
	return p, nil
}

func (p *pair) atA(wire.ReplicaID, []byte) { p.token() }

func (p *pair) atB(_ wire.ReplicaID, frame []byte) {
	if frame[2] == 1 {
		p.b.Send(0, frame)
		return
	}
	p.token()
}

func (p *pair) token() {
	select {
	case p.got <- struct{}{}:
	default: // more than were sent: nobody waits for them
	}
}

func (p *pair) link(_ wire.ReplicaID, up bool) {
	if !up {
		return
	}
	select {
	case p.linked <- struct{}{}:
	default:
	}
}

func receive(ctx context.Context, from <-chan struct{}) error {
	select {
	case <-from:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("two replicas on loopback: %w", ctx.Err())
	}
}

func closeAll(transports []*network.Transport) error {
	var errs []error
	for _, t := range transports {
		errs = append(errs, t.Close())
	}
	return errors.Join(errs...)
}
