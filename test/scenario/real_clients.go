package scenario

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quorate/quorate/app/kv"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/network"
	"github.com/quorate/quorate/pbft"
	"github.com/quorate/quorate/pbft/wire"
)

// stranger is a client that sends what it wants.
type stranger struct {
	net    *network.Clients
	key    crypto.PrivateKey
	domain crypto.Domain
	up     chan wire.ReplicaID
	frames atomic.Int64 // that came back
	ended  sync.WaitGroup
	stop   context.CancelFunc
}

// stranger connects to all replicas.
func (s *Stage) stranger(ctx context.Context) (*stranger, error) {
	genesis := s.Cluster.Genesis()
	var members []network.Member
	for _, r := range genesis.Members {
		members = append(members, network.Member{Key: r.Key, Addrs: r.Addrs})
	}
	key, err := crypto.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	domain := genesis.Domain()
	net, err := network.NewClients(network.ClientConfig{Cluster: domain.Cluster, Epoch: domain.Epoch, Replicas: members})
	if err != nil {
		return nil, err
	}
	running, stop := context.WithCancel(ctx)
	one := &stranger{net: net, key: key, domain: domain, up: make(chan wire.ReplicaID, 64), stop: stop}
	one.ended.Go(func() {
		_ = net.Run(running, // it ends when the stranger does
			func(wire.ReplicaID, []byte) error {
				one.frames.Add(1)
				return nil
			},
			func(peer wire.ReplicaID, up bool, _ error) {
				if up {
					select {
					case one.up <- peer:
					default:
					}
				}
			})
	})
	for range genesis.Replicas() {
		select {
		case <-one.up:
		case <-ctx.Done():
			one.close()
			return nil, fmt.Errorf("a stranger connects: %w", ctx.Err())
		}
	}
	return one, nil
}

func (c *stranger) close() {
	c.stop()
	c.ended.Wait()
}

// request returns a signed request.
func (c *stranger) request(number wire.Number, op []byte) []byte {
	session := wire.Session(time.Now().UnixNano()) //nolint:gosec // after 1970
	m := &wire.Request{Client: c.key.Public(), Session: session, Number: number, Ops: [][]byte{op}}
	return wire.Seal(c.key, c.domain, m).Frame()
}

// toAll sends a frame to all replicas.
func (c *stranger) toAll(frame []byte, n int) {
	for id := range n {
		c.net.Send(wire.ReplicaID(id), frame) //nolint:gosec // id < n
	}
}

// value reads a key, through the order.
func value(ctx context.Context, client *pbft.Client, key string) (string, bool, error) {
	got, err := client.Read(ctx, kv.Get(key))
	if err != nil {
		return "", false, err
	}
	result, err := kv.ParseResult(got.Value)
	return string(result.Value), result.Status == kv.StatusFound, err
}

// withStranger begins a cluster under load, and lets a stranger and a client
// loose on it.
func withStranger(do func(context.Context, *Stage, *stranger, *pbft.Client) error) play {
	return func(ctx context.Context, s *Stage) error {
		if err := s.begin(ctx); err != nil {
			return err
		}
		one, err := s.stranger(ctx)
		if err != nil {
			return err
		}
		defer one.close()
		client, err := s.Cluster.Client(ctx)
		if err != nil {
			return err
		}
		return errors.Join(do(ctx, s, one, client), client.Close())
	}
}

func realPartialClient(ctx context.Context, s *Stage) error {
	return withStranger(func(ctx context.Context, s *Stage, one *stranger, client *pbft.Client) error {
		one.net.Send(2, one.request(1, kv.Put("partial", []byte("there"))))
		s.did("", "a client sends to R2 only")
		s.see("its operation is executed", s.until(ctx, func() (bool, error) {
			_, found, err := value(ctx, client, "partial")
			return found, err
		}))
		s.all(ctx, []want{sameView()})
		return nil
	})(ctx, s)
}

// until asks until it is so. What it asks goes through the cluster, which paces
// it.
func (s *Stage) until(ctx context.Context, is func() (bool, error)) error {
	for {
		done, err := is()
		if done || err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

func realWeakKeys(ctx context.Context, s *Stage) error {
	return withStranger(func(ctx context.Context, s *Stage, one *stranger, client *pbft.Client) error {
		for _, frame := range weakRequests() {
			one.toAll(frame, 4)
		}
		s.did("", "requests of %d weak keys, with signatures that fulfil the equation", len(weakKeys()))
		s.all(ctx, []want{served()})
		_, found, err := value(ctx, client, "weak")
		if found {
			err = errors.New("a weak key's write is there")
		}
		s.see("none executes", err)
		return nil
	})(ctx, s)
}

// realReplays repeats one request: at once, after it is garbage, and after a
// restart of everybody. It is not idempotent: it writes what others overwrite.
func realReplays(ctx context.Context, s *Stage) error {
	return withStranger(func(ctx context.Context, s *Stage, one *stranger, client *pbft.Client) error {
		frame := one.request(1, kv.Put("replayed", []byte("old")))
		one.toAll(frame, 4)
		if err := s.until(ctx, func() (bool, error) {
			_, found, err := value(ctx, client, "replayed")
			return found, err
		}); err != nil {
			return err
		}
		if _, err := client.Submit(ctx, kv.Put("replayed", []byte("new"))); err != nil {
			return err
		}
		again := func() error { return s.replay(ctx, one, client, frame) }
		s.see("it does not execute again", again())
		s.see("nor after garbage collection", errors.Join(s.collected(ctx), again()))
		for i := range 4 {
			if err := errors.Join(s.Cluster.Kill(i), s.Cluster.Restart(i)); err != nil {
				return err
			}
		}
		s.did("", "all replicas restart, one after the other")
		s.see("nor after restarts", errors.Join(
			s.Cluster.Await(ctx, "all to be back", s.Cluster.Reporting(0, 1, 2, 3)), again()))
		return nil
	})(ctx, s)
}

// replay sends a captured request again, and requires that it changes nothing.
func (s *Stage) replay(ctx context.Context, one *stranger, client *pbft.Client, frame []byte) error {
	one.toAll(frame, 4)
	s.did("", "a captured request comes again")
	if err := s.Load.Await(ctx, 150); err != nil {
		return err
	}
	got, _, err := value(ctx, client, "replayed")
	if err == nil && got != "new" {
		err = fmt.Errorf("it executed again: the key has the value %q", got)
	}
	return err
}

// collected waits until all that is executed now is below a stable checkpoint.
func (s *Stage) collected(ctx context.Context) error {
	highest, err := s.Cluster.Highest(ctx)
	if err != nil {
		return err
	}
	return s.Cluster.Await(ctx, "garbage to be collected", func(status []pbft.ReplicaStatus) bool {
		r := status[0].Report
		return r != nil && r.Stable > highest+s.Cluster.Interval()
	})
}

// The flood of a real greedy client.
const (
	realFloodRequests = 3000
	realFloodBytes    = 64 << 10
	realFloodWait     = 15 * realTimeout
)

func realGreedy(ctx context.Context, s *Stage) error {
	return withStranger(func(ctx context.Context, s *Stage, one *stranger, _ *pbft.Client) error {
		session := wire.Session(time.Now().UnixNano()) //nolint:gosec // after 1970
		op := kv.Put("greed", bytes.Repeat([]byte{'g'}, realFloodBytes))
		sent := 0
		for i := range realFloodRequests {
			m := &wire.Request{
				Client: one.key.Public(), Session: session, Number: wire.Number(i%200 + 1), Ops: [][]byte{op}, //nolint:gosec // small
			}
			frame := wire.Seal(one.key, one.domain, m).Frame()
			if one.net.Send(wire.ReplicaID(i%4), frame) { //nolint:gosec // small
				sent++
			}
		}
		s.did("", "floods %d requests of %d KiB, of which %d fit into its own queues", realFloodRequests, realFloodBytes>>10, sent)
		if sent == 0 {
			return errors.New("nothing was sent")
		}
		s.all(ctx, []want{served()})
		s.stop(ctx)
		var err error
		if gap := longestGap(*s.history); gap > realFloodWait {
			err = fmt.Errorf("an operation waited %s", gap)
		}
		s.see(fmt.Sprintf("nobody else waits longer than %s", realFloodWait), err)
		return nil
	})(ctx, s)
}

func realMutatingRead(ctx context.Context, s *Stage) error {
	return withStranger(func(ctx context.Context, s *Stage, _ *stranger, client *pbft.Client) error {
		_, err := client.Read(ctx, kv.Put("mutated", []byte("changed")))
		s.did("", "a write flagged as a read: %v", err)
		if err == nil {
			s.see("it is refused", errors.New("it has a result"))
			return nil
		}
		s.see("it is refused", nil)
		_, found, err := value(ctx, client, "mutated")
		if found {
			err = errors.New("it took effect")
		}
		s.see("the state is unchanged", err)
		return nil
	})(ctx, s)
}
