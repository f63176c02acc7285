package network

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/libp2p/go-libp2p/core/network"
	mstream "github.com/multiformats/go-multistream"

	"github.com/quorate/quorate/network/networktest"
	"github.com/quorate/quorate/pbft/wire"
)

const benchFrameBytes = 128

// benchPair runs two replicas on loopback; the functions are their Peer.
func benchPair(b *testing.B, atA, atB func([]byte)) (x, y *Transport) {
	b.Helper()
	members, made := make([]Member, 2), make([]*Transport, 2)
	cfgs := make([]Config, 2)
	for i := range members {
		key := newKey(b)
		members[i] = Member{Key: key.Public(), Addrs: []string{"/ip4/127.0.0.1/tcp/0"}}
		cfgs[i] = Config{Self: wire.ReplicaID(i), Key: key}
	}
	for i := range made {
		cfgs[i].Members = members
		tr, err := New(cfgs[i])
		if err != nil {
			b.Fatal(err)
		}
		made[i] = tr
	}
	ctx, cancel := context.WithCancel(context.Background())
	up, done := make(chan struct{}, 64), make(chan error, 2)
	for i, tr := range made {
		other := wire.ReplicaID(1 - i)
		if err := tr.SetMemberAddrs(other, made[other].Addrs()); err != nil {
			b.Fatal(err)
		}
		take := []func([]byte){atA, atB}[i]
		go func() {
			done <- tr.Run(ctx, Inbound{
				Peer: func(_ wire.ReplicaID, f []byte) { take(f) },
				Link: func(wire.ReplicaID, bool) { up <- struct{}{} },
			})
		}()
	}
	b.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, <-done); err != nil {
			b.Error(err)
		}
	})
	<-up
	<-up
	return made[0], made[1]
}

// BenchmarkBuffered sends votes as fast as they are taken.
func BenchmarkBuffered(b *testing.B) {
	room := make(chan struct{}, 4096) // what is on its way, so that the queue drops none
	taken, last := 0, make(chan struct{})
	x, _ := benchPair(b, func([]byte) {}, func([]byte) {
		<-room
		if taken++; taken == b.N {
			close(last)
		}
	})
	frame := networktest.Frame(wire.KindPrepare, 1, benchFrameBytes)
	b.SetBytes(benchFrameBytes)
	b.ResetTimer()
	for range b.N {
		room <- struct{}{}
		if !x.Send(1, frame) {
			b.Fatal("Send = false")
		}
	}
	<-last
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "frames/s")
}

// BenchmarkRoundTrip sends one vote at a time, and waits for it to come back.
func BenchmarkRoundTrip(b *testing.B) {
	back := make(chan struct{}, 1)
	var y *Transport
	ready := make(chan struct{})
	x, other := benchPair(b, func([]byte) { back <- struct{}{} }, func(f []byte) { <-ready; y.Send(0, f) })
	y = other
	close(ready)
	frame := networktest.Frame(wire.KindPrepare, 1, benchFrameBytes)
	b.ResetTimer()
	for range b.N {
		x.Send(1, frame)
		<-back
	}
}

// BenchmarkStreamPerMessage is what we do not do: a stream for every message, on
// the same connection.
func BenchmarkStreamPerMessage(b *testing.B) {
	x, y := benchPair(b, func([]byte) {}, func([]byte) {})
	const id = "/bench/1"
	got := make(chan struct{}, 1)
	y.host.SetStreamHandler(id, func(s network.Stream) {
		_, _ = io.ReadAll(s)
		_ = s.Close()
		got <- struct{}{}
	})
	frame := networktest.Frame(wire.KindPrepare, 1, benchFrameBytes)
	peer := y.host.ID()
	b.ResetTimer()
	for range b.N {
		s, err := x.host.Network().NewStream(context.Background(), peer)
		if err != nil {
			b.Fatal(err)
		}
		if err := mstream.SelectProtoOrFail(id, s); err != nil {
			b.Fatal(err)
		}
		if _, err := s.Write(frame); err != nil {
			b.Fatal(err)
		}
		_ = s.Close()
		<-got
	}
}
