package sim

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/quorate/quorate/app"
	"github.com/quorate/quorate/app/kv"
)

// Options describe one run. FromSeed draws them; every field may be set.
type Options struct {
	Seed     uint64
	Replicas int
	// Faults is f; the default is the most that Replicas tolerate.
	Faults int

	// Clients run Operations operations each, Outstanding at once.
	Clients, Operations, Outstanding int
	// Machine returns the application of one replica; Operation the i-th
	// operation of a client. The default is the key-value store.
	Machine   func() app.StateMachine
	Operation func(rng *rand.Rand, client, i int) []byte

	// Interval is the checkpoint interval K; the window is twice that.
	Interval int
	InFlight int

	// Probabilities of loss and duplication of one message, and the bounds of
	// its delay. Equal bounds keep the order; a wide range reorders.
	Loss, Duplication  float64
	DelayMin, DelayMax time.Duration
	// FlushMax bounds the time of one flush, SnapshotMax that of one snapshot.
	FlushMax, SnapshotMax time.Duration
	// Crashes is the number of crashes, each with loss of what was not flushed;
	// AllCrash lets some of them hit every replica at once.
	Crashes  int
	AllCrash bool
	// Partitions is the number of times that the network splits, Mutes the
	// number of times that one replica's sending, or receiving, stops.
	Partitions, Mutes int
	// Losses is the number of times that a replica loses all its data and
	// rejoins; at most Faults replicas do.
	Losses int
	// Turbulence is how long faults happen; afterwards the network is timely and
	// everyone is up.
	Turbulence time.Duration
	// Patience is how long, after that, until all must be done.
	Patience time.Duration
	// RealSignatures uses ed25519 instead of the stub scheme; Reencode sends
	// every message through its encoding.
	RealSignatures, Reencode bool
	// Trace, if set, gets a line for every event.
	Trace func(at time.Duration, line string)
}

// FromSeed draws the options of a run from a seed: which classes of faults
// happen, how bad, and in which cluster (swarm testing).
func FromSeed(seed uint64) Options {
	rng := rand.New(rand.NewPCG(seed, 0x5eed))
	o := Options{
		Seed:        seed,
		Replicas:    []int{4, 4, 4, 4, 5, 6, 7}[rng.IntN(7)],
		Clients:     1 + rng.IntN(3),
		Operations:  10 + rng.IntN(20),
		Outstanding: 1 + rng.IntN(4),
		Interval:    2 + rng.IntN(6),
		InFlight:    1 + rng.IntN(4),
		DelayMin:    time.Millisecond, DelayMax: time.Duration(1+rng.IntN(20)) * time.Millisecond,
		FlushMax:    time.Duration(1+rng.IntN(10)) * time.Millisecond,
		SnapshotMax: time.Duration(1+rng.IntN(60)) * time.Millisecond,
		Turbulence:  time.Duration(1+rng.IntN(6)) * time.Second,
		Reencode:    seed%8 == 0, RealSignatures: seed%512 == 0,
	}
	on := func() bool { return rng.IntN(2) == 0 }
	if on() {
		o.Loss = []float64{0.01, 0.05, 0.2, 0.3}[rng.IntN(4)]
	}
	if on() {
		o.Duplication = 0.1
	}
	if on() {
		o.DelayMax = time.Duration(rng.IntN(300)) * time.Millisecond
	}
	if on() {
		o.Crashes, o.AllCrash = 1+rng.IntN(6), on()
	}
	if on() {
		o.Partitions = 1 + rng.IntN(3)
	}
	if on() {
		o.Mutes = 1 + rng.IntN(3)
	}
	if rng.IntN(6) == 0 {
		o.Losses = 1
	}
	return o.withDefaults()
}

func (o Options) withDefaults() Options {
	if o.Replicas == 0 {
		o.Replicas = 4
	}
	if o.Faults == 0 {
		o.Faults = (o.Replicas - 1) / 3
	}
	if o.Machine == nil {
		o.Machine = func() app.StateMachine { return kv.Machine{} }
	}
	if o.Operation == nil {
		o.Operation = kvOperation
	}
	o.Clients = max(1, o.Clients)
	o.Outstanding = max(1, o.Outstanding)
	o.Interval = max(2, o.Interval)
	o.InFlight = max(1, o.InFlight)
	o.DelayMin = max(time.Microsecond, o.DelayMin)
	o.DelayMax = max(o.DelayMin, o.DelayMax)
	o.FlushMax = max(time.Microsecond, o.FlushMax)
	o.SnapshotMax = max(time.Microsecond, o.SnapshotMax)
	if o.Patience == 0 {
		o.Patience = 60 * time.Second
	}
	return o
}

// String names what sets the run apart.
func (o Options) String() string {
	return fmt.Sprintf("seed %d: n=%d f=%d clients=%d×%d loss=%.2f dup=%.2f delay≤%s crashes=%d(all %v) "+
		"partitions=%d mutes=%d losses=%d K=%d W=%d", o.Seed, o.Replicas, o.Faults, o.Clients, o.Operations,
		o.Loss, o.Duplication, o.DelayMax, o.Crashes, o.AllCrash, o.Partitions, o.Mutes, o.Losses, o.Interval, o.InFlight)
}

// kvOperation draws operations on few keys, so that clients collide.
func kvOperation(rng *rand.Rand, client, i int) []byte {
	key := "k" + strconv.Itoa(rng.IntN(4))
	value := []byte(fmt.Sprintf("%d.%d", client, i))
	switch rng.IntN(4) {
	case 0:
		return kv.Get(key)
	case 1:
		return kv.Delete(key)
	default:
		return kv.Put(key, value)
	}
}
