package scenario

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/quorate/quorate/app/kv"
	"github.com/quorate/quorate/pbft"
	"github.com/quorate/quorate/pbft/wire"
	"github.com/quorate/quorate/test/faultnet"
)

func realOneWayLinks(ctx context.Context, s *Stage) error {
	if err := s.beginOrdered(ctx); err != nil {
		return err
	}
	if err := s.order(ctx, 1, faultnet.Orders{Send: lose(peers(0))}); err != nil {
		return err
	}
	s.did("R1", "hears R0, and cannot send to it")
	s.see("progress while R0 does not hear R1", s.Load.Await(ctx, 300))
	if err := s.order(ctx, 1, faultnet.Orders{Hear: lose(peers(0))}); err != nil {
		return err
	}
	s.did("R1", "sends to R0, and cannot hear it")
	s.see("progress while R1 does not hear R0", s.Load.Await(ctx, 300))
	target, err := s.Cluster.Highest(ctx)
	if err != nil {
		return err
	}
	s.see("R1 has what the others have, from others", s.Cluster.Await(ctx, "R1 to follow", s.Cluster.Executed(target, 1)))
	if err := s.order(ctx, 1, faultnet.Orders{}); err != nil {
		return err
	}
	s.bit(1, "loses what goes to R0", lost(between(false, peers(0))))
	s.bit(1, "loses what comes from R0", lost(between(true, peers(0))))
	s.all(ctx, []want{served(), everyoneFollows("everyone")})
	return nil
}

const (
	slowRate = 1_000_000 / 8 // bytes a second
	// bulkClients write values of bulkBytes over bulkKeys keys, as fast as they can:
	// much more than slowRate, of a state that passes in seconds.
	bulkClients = 2
	bulkKeys    = 8
	bulkBytes   = 4 << 10
	// farWindows is how far R3 must fall behind to fetch the state, and no batches.
	farWindows = 6
)

func realSlowLink(ctx context.Context, s *Stage) error {
	const slow = 3
	if err := s.beginOrdered(ctx); err != nil {
		return err
	}
	link := []faultnet.Rule{{Rate: slowRate}}
	if err := s.order(ctx, slow, faultnet.Orders{Send: link, Hear: link}); err != nil {
		return err
	}
	s.did("R3", "is behind 1 Mbit/s, both ways")
	began, before := time.Now(), s.Load.Acknowledged()
	stop, err := s.bulk(ctx)
	if err != nil {
		return err
	}
	window := 4 * s.Cluster.Interval()
	s.see("R3 falls behind", s.Cluster.Await(ctx, "R3 to fall behind", func(status []pbft.ReplicaStatus) bool {
		fast, late := status[0].Report, status[slow].Report
		return fast != nil && late != nil && fast.Stable > late.Executed+farWindows*window
	}))
	s.all(ctx, []want{served()})
	rate := float64(s.Load.Acknowledged()-before) / time.Since(began).Seconds()
	s.did("", "answers of the others meanwhile, a second: %.0f", rate)
	s.see("the others stay in their view", s.inFirstView(ctx, 0, 1, 2))
	if err := stop(); err != nil {
		return err
	}
	s.all(ctx, []want{everyoneFollows("R3, over its slow link,")})
	s.bit(slow, "slows down frames", func(c faultnet.Count) uint64 { return c.Delayed })
	s.bit(slow, "brings pieces of the state", func(c faultnet.Count) uint64 {
		if !c.Heard || wire.Kind(c.Kind) != wire.KindPiece {
			return 0
		}
		return c.Frames - c.Overflowed
	})
	return s.order(ctx, slow, faultnet.Orders{})
}

// inFirstView requires that some replicas have not left view 0.
func (s *Stage) inFirstView(ctx context.Context, ids ...wire.ReplicaID) error {
	status, err := s.Cluster.Status(ctx)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if r := status[id].Report; r == nil || r.View > 0 {
			return fmt.Errorf("replica %d is not in view 0, or does not say so", id)
		}
	}
	return nil
}

// bulk lets clients write large values, beside the load, until stop is called.
func (s *Stage) bulk(ctx context.Context) (stop func() error, err error) {
	var clients []*pbft.Client
	for range bulkClients {
		client, err := s.Cluster.Client(ctx)
		if err != nil {
			return nil, err
		}
		clients = append(clients, client)
	}
	ended := make(chan struct{})
	errs := make([]error, len(clients))
	var writing sync.WaitGroup
	for i, client := range clients {
		writing.Go(func() { errs[i] = writeBulk(ctx, client, ended) })
	}
	return func() error {
		close(ended)
		writing.Wait()
		for _, client := range clients {
			errs = append(errs, client.Close())
		}
		return errors.Join(errs...)
	}, nil
}

// writeBulk writes until ended is closed.
func writeBulk(ctx context.Context, client *pbft.Client, ended <-chan struct{}) error {
	for i := 0; ; i++ {
		select {
		case <-ended:
			return nil
		default:
		}
		value := bytes.Repeat([]byte{byte(i)}, bulkBytes)
		if _, err := client.Submit(ctx, kv.Put(fmt.Sprintf("bulk/%d", i%bulkKeys), value)); err != nil {
			return err
		}
	}
}

// The rough network of real processes.
const (
	roughLoss    = 0.3
	roughDamage  = 0.01
	roughDelay   = 120 * time.Millisecond
	roughAnswers = 60
)

func realRoughNetwork(ctx context.Context, s *Stage) error {
	if err := s.beginOrdered(ctx); err != nil {
		return err
	}
	rough := faultnet.Rule{
		Drop: roughLoss, Duplicate: roughLoss, Damage: roughDamage, DelayMax: faultnet.Duration(roughDelay),
	}
	fromClients := rough
	fromClients.Peers = peers(faultnet.Clients)
	s.damaged = true
	orders := faultnet.Orders{Send: []faultnet.Rule{rough}, Hear: []faultnet.Rule{fromClients}}
	if err := s.orderAll(ctx, orders); err != nil {
		return err
	}
	s.did("", "all networks lose and repeat 30 %% of what is sent, damage 1 %%, and delay the rest by up to %s", roughDelay)
	s.see(fmt.Sprintf("%d operations are answered all the same", roughAnswers), s.Load.Await(ctx, roughAnswers))
	if err := s.orderAll(ctx, faultnet.Orders{}); err != nil {
		return err
	}
	s.did("", "the networks are good again")
	for id := range 4 {
		s.bit(id, "loses frames", func(c faultnet.Count) uint64 { return c.Dropped })
		s.bit(id, "repeats frames", func(c faultnet.Count) uint64 { return c.Duplicated })
		s.bit(id, "damages frames", func(c faultnet.Count) uint64 { return c.Damaged })
		s.bit(id, "delays frames", func(c faultnet.Count) uint64 { return c.Delayed })
		s.bit(id, "reorders frames", func(c faultnet.Count) uint64 { return c.Reordered })
	}
	s.all(ctx, []want{served(), everyoneFollows("everyone")})
	return nil
}

func realClockJumps(ctx context.Context, s *Stage) error {
	const off = 1
	if err := s.beginOrdered(ctx); err != nil {
		return err
	}
	for _, clock := range []time.Duration{-time.Hour, time.Hour} {
		if err := s.order(ctx, off, faultnet.Orders{Clock: faultnet.Duration(clock)}); err != nil {
			return err
		}
		s.did("R1", "its clock jumps, and is off by %s", clock)
		s.see(fmt.Sprintf("a backup's clock that is off by %s disturbs nobody", clock), s.Load.Await(ctx, 300))
		s.all(ctx, []want{sameView()})
	}
	if err := s.pausePrimary(ctx); err != nil {
		return err
	}
	s.all(ctx, []want{newView(2)})
	counts, err := s.counts(off, between(false, peers(0, 2, 3), wire.KindNewView, wire.KindPrePrepare))
	if err == nil && len(counts) == 0 {
		err = errors.New("it sent no new view, and no proposal")
	}
	s.see("R1 had led with its wrong time, and was replaced", err)
	if err := s.order(ctx, off, faultnet.Orders{Clock: faultnet.Duration(-time.Minute)}); err != nil {
		return err
	}
	s.did("R1", "its clock jumps again, and is off by %s", -time.Minute)
	s.all(ctx, []want{answersIn(2), served()})
	if err := s.order(ctx, off, faultnet.Orders{}); err != nil {
		return err
	}
	s.all(ctx, []want{everyoneFollows("everyone")})
	return nil
}
