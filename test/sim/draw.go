package sim

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/quorate/quorate/app/kv"
)

// FromSeed draws the options of a run from a seed: which classes of faults
// happen, how bad, and in which cluster (swarm testing: Groce et al., ISSTA
// 2012). What a seed draws may change from version to version; Options.String
// is what to keep of a run.
func FromSeed(seed uint64) Options {
	d := drawing{rand.New(rand.NewPCG(seed, 0x5eed))}
	o := Options{
		Seed: seed, RealStorage: seed%4 == 0, Reencode: seed%8 == 1, RealSignatures: seed%512 == 0,
		Inputs:     seed%4 == 2 || seed%16 == 4,
		FastReads:  fastReads(seed),
		Strains:    strains(seed),
		Replicas:   []int{4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 5, 5, 6, 6, 7, 7, 7, 10}[d.IntN(20)],
		Turbulence: time.Duration(1+d.IntN(6)) * time.Second,
	}
	d.load(&o)
	d.bounds(&o)
	d.network(&o)
	d.faults(&o)
	d.weather(&o)
	d.mishaps(&o)
	d.pace(&o)
	if d.oneIn(4) {
		d.duel(&o)
	}
	d.results(&o)
	if d.oneIn(3) {
		o.Backlog = pick(d, 1, 8, 64, 512)
	}
	o.History, o.Audit = seed%4 == 1, seed%4 == 3
	return o.withDefaults().withoutFunctions()
}

// fastReads returns the share of fast reads in the run of a seed: none in two of three.
// It draws nothing, so that what else a seed means does not depend on it.
func fastReads(seed uint64) float64 {
	if seed%3 != 1 {
		return 0
	}
	return []float64{0.3, 0.7}[seed/3%2]
}

// strains returns how often processors are busy in the run of a seed: in one of five. It
// draws nothing, as fastReads.
func strains(seed uint64) int {
	if seed%5 != 2 {
		return 0
	}
	return 1 + int(seed/5%8) //nolint:gosec // below 8
}

// withoutFunctions takes back what withDefaults gave, so that whoever sets a
// Machine gets no operations of another one.
func (o Options) withoutFunctions() Options {
	o.Machine, o.Operation, o.Query = nil, nil, nil
	return o
}

type drawing struct{ *rand.Rand }

// oneIn is true once in n draws.
func (d drawing) oneIn(n int) bool { return d.IntN(n) == 0 }

func pick[T any](d drawing, values ...T) T { return values[d.IntN(len(values))] }

// load draws what the clients do. Many short runs meet more than few long ones, but
// some things need time.
func (d drawing) load(o *Options) {
	o.Clients, o.Operations, o.Outstanding = 1+d.IntN(3), 3+d.IntN(8), 1+d.IntN(4)
	if d.oneIn(2) {
		o.Operations = 10 + d.IntN(20)
	}
	if d.oneIn(3) {
		o.OpsMax, o.Outstanding = 2+d.IntN(4), 2+d.IntN(8)
	}
	if o.Clients > 1 && d.oneIn(6) {
		o.Restless = 1 + d.IntN(o.Clients-1)
	}
	if d.oneIn(6) {
		o.Sessions = 1 + d.IntN(3)
	}
	if d.oneIn(3) {
		o.Reads = 0.3
	}
	if o.RealStorage || d.oneIn(8) {
		o.ValueBytes = pick(d, 0, 200, 2000)
	}
	if o.Clients > 1 && d.oneIn(8) {
		o.ClientsMax = o.Clients - 1
	}
}

// bounds draws the cluster's bounds: the smaller, the more happens at them.
func (d drawing) bounds(o *Options) {
	o.Faults = (o.Replicas - 1) / 3
	if o.Faults > 1 && d.oneIn(3) {
		o.Faults = 1 + d.IntN(o.Faults)
	}
	o.Interval = pick(d, 1, 2, 2, 3, 4, 5, 6, 7, 20, 50) // with the last nothing becomes stable
	o.Window = o.Interval * pick(d, 2, 2, 2, 3, 4)
	o.InFlight = pick(d, 1, 2, 3, 4, 8)
	o.BatchRequests, o.BatchBytes = pick(d, 1, 2, 8, 8, 8), pick(d, 16<<10, 1<<20)
	if d.oneIn(8) {
		o.QueueRequests = 1 + d.IntN(2)
	}
	o.ArchiveBytes = pick(d, 1, 1<<10, 32<<20)
	o.SegmentBytes = pick(d, 4<<10, 8<<10, 16<<10, 32<<10)
}

func (d drawing) network(o *Options) {
	o.DelayMax = time.Duration(1+d.IntN(20)) * time.Millisecond
	o.FlushMax = time.Duration(1+d.IntN(10)) * time.Millisecond
	o.SnapshotMax = time.Duration(1+d.IntN(60)) * time.Millisecond
	if d.oneIn(2) {
		o.Loss = pick(d, 0.01, 0.05, 0.2, 0.3)
	}
	if d.oneIn(2) {
		o.Duplication = 0.1
	}
	if d.oneIn(2) {
		o.DelayMax = time.Duration(d.IntN(300)) * time.Millisecond
	}
	if d.oneIn(2) {
		o.Partitions = 1 + d.IntN(3)
	}
	if d.oneIn(2) {
		o.Mutes = 1 + d.IntN(3)
	}
	o.OutageMax = time.Duration(1+d.IntN(6)) * time.Second
}

// weather draws what else the network does.
func (d drawing) weather(o *Options) {
	if d.oneIn(3) {
		o.Replay = pick(d, 0.01, 0.05, 0.2)
	}
	if d.oneIn(4) {
		o.Corruption = pick(d, 0.01, 0.05, 0.2)
	}
	if d.oneIn(4) {
		o.LinkMax = pick(d, 2, 4, 8, 32)
	}
	if d.oneIn(3) {
		o.Clogs = 1 + d.IntN(6)
	}
	if d.oneIn(3) {
		o.Cuts = 1 + d.IntN(6)
	}
	if d.oneIn(4) {
		o.Shuns = 1 + d.IntN(8)
	}
	o.Breaks = pick(d, 0, 0.5, 1, 1)
	if d.oneIn(3) {
		o.Flaps = 1 + d.IntN(8)
	}
}

// mishaps draws what happens to processes and clocks.
func (d drawing) mishaps(o *Options) {
	if d.oneIn(3) {
		o.Pauses = 1 + d.IntN(4)
	}
	if d.oneIn(4) {
		o.Jumps = 1 + d.IntN(6)
	}
	if d.oneIn(4) {
		o.Bursts = 1 + d.IntN(6)
	}
	if d.oneIn(4) {
		o.FlushFailures = 1 + d.IntN(4)
	}
	if d.oneIn(6) {
		o.FullDisks = 1 + d.IntN(3)
	}
	if d.oneIn(4) {
		o.Drift = pick(d, 0.02, 0.1, 0.3)
	}
}

// faults draws crashes, and at most Faults faulty replicas.
func (d drawing) faults(o *Options) {
	if d.oneIn(2) {
		o.Crashes, o.AllCrash = 1+d.IntN(6), d.oneIn(2)
	}
	if d.oneIn(3) {
		o.Snipes = 1 + d.IntN(6)
	}
	if d.oneIn(3) {
		o.Scrambles, o.Turbulence = 10+d.IntN(40), o.Turbulence+4*time.Second
	}
	if d.oneIn(3) {
		o.Ambushes, o.Turbulence = 1+d.IntN(6), o.Turbulence+2*time.Second
	}
	if d.oneIn(8) {
		o.SnapshotMax = time.Second // a slow disk
	}
	kinds := []*int{
		&o.Losses, &o.Losses, &o.Rots, &o.Skews, &o.Liars, &o.Liars, &o.Liars, &o.BadDisks, &o.Backups, &o.Twins,
	}
	for range o.Faults {
		if d.oneIn(2) {
			*kinds[d.IntN(len(kinds))]++
		}
	}
	d.endings(o)
	if o.Losses+o.BadDisks > 0 { // a replica that rejoins waits for windows to pass
		o.Interval, o.Window, o.Operations = min(o.Interval, 3), min(o.Window, 6), o.Operations+20
	}
	if o.Rots > 0 { // a checkpoint shows it, and the power may go before the state is replaced
		o.Interval, o.Window, o.Operations = min(o.Interval, 3), min(o.Window, 6), o.Operations+20
		o.Crashes = max(o.Crashes, 2)
	}
}

// duel leaves one liar, who plays one of the attacks that have a name and perhaps
// leads, and draws what such attacks need: some work only where a client is never
// done, or against who comes back.
func (d drawing) duel(o *Options) {
	o.Losses, o.Rots, o.Skews, o.BadDisks, o.Backups, o.Twins = 0, 0, 0, 0, 0, 0
	o.SafetyOnly, o.Deaths = false, 0
	named := o.attacks()
	o.Liars, o.Strategy, o.LiarLeads = 1, named[d.IntN(len(named))].Name, !d.oneIn(3)
	o.Clients = max(o.Clients, 2)
	o.Restless = d.IntN(o.Clients)
	if d.oneIn(2) { // nothing else disturbs it, and so nothing else saves the others
		o.Loss, o.Duplication, o.Replay, o.Corruption, o.Drift = 0, 0, 0, 0, 0
		for _, fault := range []*int{
			&o.Partitions, &o.Mutes, &o.LinkMax, &o.Clogs, &o.Cuts, &o.Shuns, &o.Flaps, &o.Pauses, &o.Jumps, &o.Bursts, &o.Strains,
			&o.FlushFailures, &o.FullDisks, &o.Crashes, &o.Snipes, &o.Scrambles, &o.Ambushes, &o.Outlaws,
		} {
			*fault = 0
		}
	}
}

// pace draws how much of a run is idle talk: ticks and statuses were most of its
// events. Rare ones leave more to do for those that come, and replicas that tick
// at the same moments suspect at the same moments.
func (d drawing) pace(o *Options) {
	o.Tick = pick(d, tick, 2*tick, 5*tick, 5*tick)
	o.StatusEvery = pick(d, 5*tick, 10*tick, 20*tick, 20*tick)
	o.Hasty = !d.oneIn(4)
}

// results draws bounds that a few reads of one client reach. Where all may have a little
// more than one alone, it matters most what is counted when.
func (d drawing) results(o *Options) {
	if d.oneIn(8) {
		o.ResultBytes = o.ValueBytes + pick(d, 8, 8, 10, 20)
		o.UnsavedBytes = 1 + d.IntN(3*o.ResultBytes)
		o.Reads = max(o.Reads, 0.3)
	}
}

// endings draws how the run ends, and who dies on the way.
func (d drawing) endings(o *Options) {
	switch {
	case d.oneIn(4):
		o.Liveness = true
	case d.oneIn(16):
		o.SafetyOnly, o.Deaths = true, 1+d.IntN(o.Replicas)
	}
	if d.oneIn(6) {
		o.Outlaws = 1 + d.IntN(2)
		o.ClientsMax = max(o.ClientsMax, o.Clients+o.Outlaws)
	}
}

// kvOperations draws operations on few keys, so that clients collide.
func kvOperations(valueBytes int) func(rng *rand.Rand, client, i int) []byte {
	return func(rng *rand.Rand, client, i int) []byte {
		key := "k" + strconv.Itoa(rng.IntN(4+valueBytes/100))
		switch rng.IntN(4) {
		case 0:
			return kv.Get(key)
		case 1:
			return kv.Delete(key)
		default:
			value := fmt.Appendf(nil, "%d.%d", client, i)
			return kv.Put(key, append(value, make([]byte, valueBytes)...))
		}
	}
}

func kvQuery(rng *rand.Rand, _, _ int) []byte { return kv.Get("k" + strconv.Itoa(rng.IntN(4))) }
