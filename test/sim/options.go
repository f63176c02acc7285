package sim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"time"

	"github.com/quorate/quorate/app"
	"github.com/quorate/quorate/app/kv"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
	"github.com/quorate/quorate/test/adversary"
)

// Options describe one run. FromSeed draws them; every field may be set, and
// what is zero has a default. Equal Options give equal runs.
type Options struct {
	// Seed drives everything that is left open.
	Seed     uint64
	Replicas int
	// Faults is f; the default is the most that Replicas tolerate.
	Faults int

	// Clients run Operations operations each, Outstanding at once, and up to
	// OpsMax in one request.
	Clients, Operations, Outstanding, OpsMax int
	// Restless is how many of the Clients go on, beyond their Operations, until the
	// others are done.
	Restless int
	// Sessions is how often a client starts anew and forgets what it had open.
	Sessions int
	// Reads is the share of the requests that are read-only.
	Reads float64
	// FastReads is the share of the requests that are reads outside of the order: queries,
	// which all replicas answer, and fall back to an ordered read where no quorum agrees.
	FastReads float64
	// Machine returns the application of one replica, the key-value store if nil. It is
	// not asked to validate: a faulty primary can have anything executed.
	Machine func() app.StateMachine
	// Operation returns the i-th operation of a client, of which the first is 0; i counts
	// from 1, and beyond Operations for Restless clients. It may
	// depend on nothing but its arguments. It must be set if Machine is. One that
	// is longer than 256 KiB, which no replica takes, is an error of the Options.
	Operation func(rng *rand.Rand, client, i int) []byte
	// Query is as Operation, for read-only requests; a Machine without it gets none.
	Query func(rng *rand.Rand, client, i int) []byte
	// History has the whole history of the clients of the key-value store checked
	// for linearizability at the end, by a checker that knows nothing of the order.
	History bool
	// Audit has what all replicas would have archived audited at the end, together.
	Audit bool
	// ValueBytes pads the values of the key-value store, so that its state has
	// several pieces.
	ValueBytes int
	// Inputs has the key-value store take an input for every batch, which replicas
	// propose and check, and emit it with every operation. A Machine of one's own has inputs if it is an app.Proposer: it
	// may propose nothing then that differs from one run to the next.
	Inputs bool
	// ResultBytes and UnsavedBytes, if not 0, are small bounds on a result of the
	// key-value store, and on the results of all clients that wait for a checkpoint:
	// operations beyond them are rolled back.
	ResultBytes, UnsavedBytes int

	// Interval is the checkpoint interval K, Window the window L (2K if 0), and
	// InFlight W, how many batches the primary has open.
	Interval, Window, InFlight int
	// BatchRequests, BatchBytes, QueueRequests, ArchiveBytes and ClientsMax are
	// the core's bounds of the same names. A request must fit into a batch.
	BatchRequests, BatchBytes, QueueRequests, ArchiveBytes, ClientsMax int

	// Loss and Duplication are the probabilities of one message, DelayMin and
	// DelayMax bound its delay. Equal bounds keep the order; a wide range
	// reorders.
	Loss, Duplication  float64
	DelayMin, DelayMax time.Duration
	// FlushMax bounds the time of one flush, SnapshotMax that of one snapshot.
	FlushMax, SnapshotMax time.Duration
	// Crashes is the number of crashes, each with loss of what was not flushed;
	// AllCrash lets some of them hit every replica at once.
	Crashes  int
	AllCrash bool
	// Snipes is the number of crashes that wait for a replica to send a message of
	// a kind, or to enter a view.
	Snipes int
	// Partitions is the number of times that the network splits, Mutes the
	// number of times that one replica's sending, or receiving, stops; each for
	// at most OutageMax.
	Partitions, Mutes int
	OutageMax         time.Duration
	// Scrambles is the number of times that the kinds of messages that reach each
	// replica are drawn anew.
	Scrambles int
	// Replay is the probability, at each message, that the network repeats an old
	// one, at any time later, to anybody. Corruption is the probability that a
	// frame is damaged on its way. LinkMax, if not 0, bounds the messages on their
	// way over one link; more are dropped.
	Replay, Corruption float64
	LinkMax            int
	// Clogs is the number of times that links hold everything up and then deliver
	// it at once, Cuts that some links pass nothing in one direction, Shuns that
	// the messages of one view do not reach some replicas.
	Clogs, Cuts, Shuns int
	// Backlog is how many messages to a process that is down or cut off wait at each other
	// one, the newest, and reach it when it is there again; 0: they are lost.
	Backlog int
	// Breaks is the probability that a connection breaks, and who had it is told, where
	// a process ends or the network splits. Flaps is the number of times that somebody is
	// told so of connections that are well.
	Breaks float64
	Flaps  int
	// Pauses is the number of times that a process stops and then goes on, Jumps
	// that a wall clock jumps or stands still for a while, Bursts that the ticks of
	// a replica are kept back and then come at once, Strains that its processors are
	// busy for a while, so that requests wait for company. Drift is how much, relative
	// to 1, the lengths of ticks differ from what they should be. It is less than 1.
	Pauses, Jumps, Bursts, Strains int
	Drift                          float64
	// FlushFailures is the number of times that a flush fails, and the process ends,
	// FullDisks that a disk has no room for a while.
	FlushFailures, FullDisks int
	// Ambushes is the number of times that one replica alone learns of votes, and
	// is then cut off, or, if there are Crashes, all crash.
	Ambushes int

	// So many replicas are faulty in one of these ways; together at most Faults.
	// Losses lose all their data once and rejoin; the state of Rots changes by
	// itself once; the wall clock of Skews is an hour off; Liars say, in messages
	// that they sign, what the protocol does not let them.
	Losses, Rots, Skews, Liars int
	// The disks of BadDisks lose, change and misplace what is written, and say that
	// all is well; Backups start again, once, from an old copy of their disk.
	BadDisks, Backups int
	// Strategy names the strategy of package adversary that the Liars play; without
	// it each draws one. LiarLeads makes the first of them replica 0.
	Strategy  string
	LiarLeads bool
	// Twins is how many replicas run twice, with one key (Bano et al., "Twins: BFT
	// Systems Made Robust", OPODIS 2021). Byzantine are replicas that play a
	// strategy, with what makes it. Both count among the Faults.
	Twins     int
	Byzantine map[wire.ReplicaID]func() adversary.Strategy
	// Excess lets more replicas be faulty than Faults, to see whether they can be
	// proven guilty: agreement may break then, and only what holds all the same,
	// O8 and O9, is a violation.
	Excess bool
	// Script, if set, steers the run, beside what is drawn.
	Script func(c *Control)

	// Tick is the time between two ticks of a replica, StatusEvery that between two
	// statuses. The time that everything else takes does not depend on them.
	Tick, StatusEvery time.Duration
	// Deaths is the number of replicas that end during the turbulence and never start
	// again. They count among the faulty, unless SafetyOnly is set: then nothing is
	// asked of the cluster but safety, and the run ends with the turbulence.
	Deaths     int
	SafetyOnly bool
	// Liveness heals, when the turbulence ends, no more than about a quorum, and
	// makes all others as bad as possible for ever: dead, cut off, with lossy links
	// or a slow disk, or lying.
	Liveness bool
	// Outlaws is the number of Byzantine clients, beside the others.
	Outlaws int

	// Turbulence is how long faults happen; afterwards the network is timely and
	// everyone is up. Liars and skewed clocks stay what they are.
	Turbulence time.Duration
	// Hasty ends the turbulence soon after all operations are answered, instead of
	// letting faults hit a cluster with nothing to do.
	Hasty bool
	// Patience is how long, after that, until all must be done, and AnswerMax how
	// long a client may wait for one operation. The defaults are 60 s and 20 s, and
	// longer where the snapshots of what clients ask for take long; Patience also where
	// there are many Operations. Both double for
	// every replica beyond f that is bad for ever in a liveness run.
	Patience, AnswerMax time.Duration

	// RealSignatures uses ed25519 instead of the stub scheme; Reencode sends
	// every message through its encoding; RealStorage uses the real journal and
	// the real state store instead of fast models of them. The model of the state sends
	// one of more than 512 KiB in several pieces, but writes the whole at each checkpoint.
	RealSignatures, Reencode, RealStorage bool
	// SegmentBytes is the length of the segments of the real journal.
	SegmentBytes int

	// Trace, if set, gets a line for every event. It changes nothing in the run.
	Trace func(at time.Duration, line string)
	// Watch, if set, gets everything that happens, as data. It changes nothing in
	// the run.
	Watch func(Moment)
	// Steps, if set, gets everything that the cores get and their disks keep, in
	// order. It changes nothing in the run.
	Steps func(Step)
	// Marks has Result.Marks counted.
	Marks bool
}

func (o Options) withDefaults() Options {
	set := func(field *int, value int) {
		if *field <= 0 {
			*field = value
		}
	}
	set(&o.Replicas, 4)
	set(&o.Faults, (o.Replicas-1)/3)
	set(&o.Clients, 1)
	set(&o.Operations, 20)
	set(&o.Outstanding, 1)
	set(&o.OpsMax, 1)
	set(&o.Interval, 4)
	set(&o.Window, 2*o.Interval)
	set(&o.InFlight, 1)
	set(&o.BatchRequests, 8)
	set(&o.BatchBytes, 1<<20)
	set(&o.QueueRequests, 2*core.ClientWindowMax)
	set(&o.ArchiveBytes, 32<<20)
	set(&o.ClientsMax, 10000)
	set(&o.SegmentBytes, 16<<10)
	o.Restless = min(o.Restless, o.Clients-1)
	wait := func(field *time.Duration, value time.Duration) {
		if *field <= 0 {
			*field = value
		}
	}
	wait(&o.DelayMin, time.Millisecond)
	wait(&o.FlushMax, time.Millisecond)
	wait(&o.SnapshotMax, time.Millisecond)
	wait(&o.OutageMax, 3*time.Second)
	wait(&o.Tick, tick)
	wait(&o.StatusEvery, 5*tick)
	o.DelayMax = max(o.DelayMin, o.DelayMax)
	wait(&o.Patience, max(60*time.Second, o.orderTime())+o.workTime())
	wait(&o.AnswerMax, 20*time.Second+o.queueTime())
	return o.withMachine()
}

// queueTime returns how long what all clients may have asked at once keeps the
// disks busy: no more than a window of numbers waits for one snapshot.
func (o *Options) queueTime() time.Duration {
	numbers := (o.Clients*o.Outstanding + o.BatchRequests - 1) / o.BatchRequests
	return time.Duration(numbers/o.Window) * o.SnapshotMax
}

// orderTime returns how long it may take a sound cluster to order all that clients ask
// for, if nothing is under way beside anything else.
func (o *Options) orderTime() time.Duration {
	batches := o.Operations + (o.Clients+o.Outlaws)*o.Operations/o.BatchRequests
	return time.Duration(batches) * (6*max(o.DelayMin, min(o.DelayMax, calmDelayMax)) + 4*o.FlushMax)
}

// workTime returns how long all that clients ask for keeps the disks busy, if every
// snapshot takes as long as one may, and outlaws ask for as much as everybody else.
func (o *Options) workTime() time.Duration {
	numbers := ((o.Clients+o.Outlaws)*o.Operations + o.BatchRequests - 1) / o.BatchRequests
	return time.Duration(numbers/o.Interval) * o.SnapshotMax
}

// withMachine adds the key-value store where there is no application.
func (o Options) withMachine() Options {
	if o.Machine == nil {
		o.Machine = func() app.StateMachine { return kv.Machine{} }
		if o.Inputs {
			o.Machine = sensing()
		}
		if o.Operation == nil {
			o.Operation = kvOperations(o.ValueBytes)
		}
		if o.Query == nil {
			o.Query = kvQuery
		}
	}
	if (o.History || o.ResultBytes > 0 || o.UnsavedBytes > 0) && !o.isStore() {
		o.History, o.ResultBytes, o.UnsavedBytes = false, 0, 0
	}
	if _, is := o.Machine().(sensor); !is {
		o.Inputs = false
	}
	if o.Query == nil {
		o.Reads, o.FastReads = 0, 0
	}
	return o
}

// isStore tells whether the application is the key-value store.
func (o Options) isStore() bool {
	switch o.Machine().(type) {
	case kv.Machine, sensor:
		return true
	default:
		return false
	}
}

// On returns o for a cluster of so many replicas, with as many of its faulty ones
// as that tolerates.
func (o Options) On(replicas int) Options {
	o.Replicas, o.Faults = replicas, min(max(1, o.Faults), (replicas-1)/3)
	left := o.Faults
	for _, faulty := range o.faulty() {
		*faulty = min(*faulty, left)
		left -= *faulty
	}
	return o
}

// faulty returns the numbers of replicas that are faulty in each way.
func (o *Options) faulty() []*int {
	return []*int{&o.Losses, &o.Rots, &o.Skews, &o.Liars, &o.Twins, &o.BadDisks, &o.Backups, &o.Deaths}
}

// Honest returns o without any faulty replica, so that others can be chosen.
func (o Options) Honest() Options {
	for _, faulty := range o.faulty() {
		*faulty = 0
	}
	o.Byzantine = nil
	return o
}

// unfaithful returns how many replicas need not keep their word.
func (o Options) unfaithful() int {
	return o.Losses + o.Liars + o.Twins + o.BadDisks + o.Backups + len(o.Byzantine)
}

// validate tells what is wrong with complete options.
func (o Options) validate() error {
	if o.Operation == nil {
		return errors.New("sim: Options.Machine is set and Options.Operation is not: say what its clients do")
	}
	if o.Machine() == nil {
		return errors.New("sim: Options.Machine returns nil: let it return the application of one replica")
	}
	if o.Drift >= 1 {
		return fmt.Errorf("sim: a Drift of %v lets clocks stand still, or go back: it must be less than 1", o.Drift)
	}
	for id := range o.Byzantine {
		if int(id) >= o.Replicas {
			return fmt.Errorf("sim: replica %d of Byzantine is not one of %d", id, o.Replicas)
		}
	}
	sum := o.Rots + o.Skews + o.unfaithful()
	if !o.SafetyOnly {
		sum += o.Deaths
	}
	if sum > o.Replicas {
		return fmt.Errorf("sim: %d faulty replicas are more than there are", sum)
	}
	if sum > o.Faults && !o.Excess {
		return fmt.Errorf("sim: %d faulty replicas are more than the %d of Faults", sum, o.Faults)
	}
	return nil
}

// String names the run in one line, as the Go expression that makes its Options:
// all but the functions and Byzantine.
func (o Options) String() string {
	var fields []string
	v := reflect.ValueOf(o)
	for i := range v.NumField() {
		f := v.Field(i)
		if f.IsZero() || f.Kind() == reflect.Func || f.Kind() == reflect.Map {
			continue
		}
		text := fmt.Sprint(f.Interface())
		if d, ok := f.Interface().(time.Duration); ok {
			text = fmt.Sprint(int64(d))
		}
		fields = append(fields, v.Type().Field(i).Name+": "+text)
	}
	return "sim.Options{" + strings.Join(fields, ", ") + "}"
}
