package sim

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"

	"github.com/quorate/quorate/app"
	"github.com/quorate/quorate/crypto"
	driver "github.com/quorate/quorate/pbft/node"
)

// CheckDeterminism executes the Operations of o's Clients, drawn from its Seed,
// on o's Machine again and again, each time under other conditions, and tells
// the first operation whose result, outputs or writes differ from the first
// time, or after which a Query, where o has any, is answered otherwise: the result
// of a read that goes through the order is part of the replicas' state. The conditions are those that replicas do not share: restarts, which
// lose what a machine keeps in its own memory; other instances at work; reads
// and rolled-back attempts in between; another view; the order of maps, and the
// clock: the last time begins in a later second than the first one ended in, and
// waits for it, up to a second. Each operation has the client that drew it, and,
// of a machine that is an app.Proposer, an input that it proposed itself. What a
// machine does only on some days, or on some computers, no such check finds. A
// machine that has every operation rolled back by a panic is an error, too: of it
// nothing is known.
//
// Of a machine that app.Keep made it also takes snapshots, and restores them, which
// short operations have replicas do seldom: it tells whether one cannot be restored,
// whether what is restored gives another one, or goes on otherwise, and whether those
// who executed the same give different ones.
func CheckDeterminism(o Options) error {
	return checkDeterminism(o, func(before time.Time) { <-time.After(untilNextSecond(before, time.Now())) })
}

// slew is how much a wall clock that is being set right may lose in a second.
const slew = time.Millisecond

// untilNextSecond returns how long the wall clock needs, from now on, to show a later second
// than that of a time before. It waits no longer where the clock was put back.
func untilNextSecond(before, now time.Time) time.Duration {
	if now.Unix() > before.Unix() {
		return 0
	}
	return min(time.Second, before.Truncate(time.Second).Add(time.Second).Sub(now)) + slew
}

// checkDeterminism is CheckDeterminism with what waits for a later second than that of a
// time.
func checkDeterminism(o Options, outwait func(time.Time)) error {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return err
	}
	ops := drawOperations(&o)
	reference := newUniverse(&o, condition{name: "the first time"})
	want, err := reference.executeFirst(ops)
	if err != nil {
		return err
	}
	ended := time.Now()
	if failed := reference.failed; failed.count > 0 && failed.count == len(ops) {
		return fmt.Errorf("sim: the machine panics in every operation, so nothing is checked; the first: %s", failed.first)
	}
	snapshot, kept, err := reference.snapshot()
	if err != nil {
		return err
	}
	for _, c := range conditions() {
		if c.snapshots && !kept {
			continue
		}
		if c.later {
			outwait(ended)
		}
		if err := newUniverse(&o, c).repeat(ops, want, snapshot); err != nil {
			return err
		}
	}
	return nil
}

// repeat executes all operations and tells the first that does something else, or that the
// snapshot after them is another one.
func (u *universe) repeat(ops []drawn, want []did, snapshot []byte) error {
	for i := range ops {
		got, err := u.execute(ops, i)
		if err != nil {
			return err
		}
		if got != want[i].digest {
			return fmt.Errorf("the machine is not deterministic: operation %d, %.80q, %s: %s\n\tthe first time: %s",
				i+1, ops[i].op, u.c.name, u.last, want[i].words)
		}
	}
	got, _, err := u.snapshot()
	if err == nil && !bytes.Equal(got, snapshot) {
		err = fmt.Errorf("the machine is not deterministic: after the same %d operations, %s, its snapshot is %.200q\n\tthe first time: %.200q",
			len(ops), u.c.name, got, snapshot)
	}
	return err
}

// snapshot takes the snapshot of what app.Keep made, and goes on with what is restored from
// it. Of other machines kept is false.
func (u *universe) snapshot() (snapshot []byte, kept bool, err error) {
	snapshot, kept, err = app.Reload(u.machine, u.store)
	if err != nil {
		err = fmt.Errorf("sim: after %d operations, %s: %w", u.now.Seq, u.c.name, err)
	}
	return snapshot, kept, err
}

// drawn is an operation, with what is agreed on with it.
type drawn struct {
	op     []byte
	client crypto.PublicKey // who asks for it
	input  []byte           // what the reference proposed, where machines propose
}

// did is what one operation did.
type did struct {
	digest crypto.Digest
	words  string
}

// executeFirst is the reference's turn: it also proposes, as a primary would, the inputs
// that all others are given.
func (u *universe) executeFirst(ops []drawn) ([]did, error) {
	proposer, proposes := u.machine.(app.Proposer)
	all := make([]did, len(ops))
	for i := range ops {
		if proposes {
			var err error
			if ops[i].input, err = propose(proposer); err != nil {
				return nil, fmt.Errorf("sim: operation %d has no input: %w", i+1, err)
			}
		}
		digest, err := u.execute(ops, i)
		if err != nil {
			return nil, err
		}
		all[i] = did{digest, fmt.Sprintf("%.1000s", u.last)}
	}
	return all, nil
}

// proposalsMax bounds how often a machine is asked for one input: it may have none now and
// then.
const proposalsMax = 100

func propose(p app.Proposer) (input []byte, err error) {
	for range proposalsMax {
		if input, err = driver.Propose(p); err == nil {
			break
		}
	}
	return input, err
}

// drawOperations draws what the clients do, as a run would, in turns.
func drawOperations(o *Options) []drawn {
	var ops []drawn
	keys := make([]crypto.PublicKey, o.Clients)
	rngs := make([]*rand.Rand, o.Clients)
	for i := range rngs {
		rngs[i] = rand.New(rand.NewPCG(o.Seed, uint64(100+i))) //nolint:gosec // small; and it need not be secret
		keys[i] = numberedKey(clientKeys + i).Public()
	}
	for i := range o.Operations {
		for client := range o.Clients {
			ops = append(ops, drawn{op: o.Operation(rngs[client], client, i+1), client: keys[client]})
		}
	}
	return ops
}

// condition is what differs from one execution to another.
type condition struct {
	name      string
	restarts  bool // the machine is made anew before some operations
	crowd     bool // another instance executes something else before every operation
	attempts  bool // some operations are executed, and rolled back, before they are executed
	reads     bool // queries come in between
	collects  bool // the garbage collector runs, on one processor
	snapshots bool // some operations come after the machine was restored from a snapshot
	later     bool // the wall clock shows a later second than the first time
	view      uint64
}

func conditions() []condition {
	return []condition{
		{name: "executed once more"},
		{name: "once more again"}, // two entries of a map are in the other order every other time
		{name: "with restarts", restarts: true},
		{name: "beside another instance", crowd: true},
		{name: "after attempts that were rolled back", attempts: true},
		{name: "with reads in between", reads: true},
		{name: "in another view", view: 7},
		{name: "under a busy collector", collects: true},
		{name: "after restoring snapshots", snapshots: true},
		{name: "with everything at once", restarts: true, crowd: true, attempts: true, reads: true, view: 9},
		{name: "in a later second", later: true}, // last, when most of it has passed
	}
}

// universe is one machine with its state under a condition.
type universe struct {
	o       *Options
	c       condition
	rng     *rand.Rand
	asks    *rand.Rand // of the queries whose answers are compared: the same under every condition
	machine app.StateMachine
	crowd   app.StateMachine
	store   *recorder
	aside   *app.Memory // the other instance's state
	now     app.Context
	failed  failures
	last    string // what the last operation did, in words
}

func newUniverse(o *Options, c condition) *universe {
	return &universe{
		o: o, c: c,
		rng:     rand.New(rand.NewPCG(o.Seed, 7)), //nolint:gosec // it need not be secret
		asks:    rand.New(rand.NewPCG(o.Seed, 8)), //nolint:gosec // nor this one
		machine: o.Machine(), crowd: o.Machine(), aside: app.NewMemory(),
		store: &recorder{Memory: app.NewMemory()},
		now:   app.Context{View: c.view, Time: int64(wallStart)},
	}
}

// execute executes the i-th operation and returns a digest of what it did.
func (u *universe) execute(ops []drawn, i int) (crypto.Digest, error) {
	u.now.Seq++
	u.now.Time += 1e6
	if err := u.disturb(ops, i); err != nil {
		return crypto.Digest{}, err
	}
	done, err := u.run(ops[i])
	if err != nil || u.o.Query == nil {
		return done, err
	}
	return u.ask(done, ops[i].client, i)
}

// ask has a query answered after the i-th operation, and returns a digest of what that did
// and the answer.
func (u *universe) ask(done crypto.Digest, client crypto.PublicKey, i int) (crypto.Digest, error) {
	op := u.o.Query(u.asks, 0, i+1)
	tx := app.NewTx(u.store, nil, u.contextOf(drawn{client: client}), true)
	answer, failure, err := app.Run(u.machine, tx, op)
	if failure != nil {
		answer = []byte("rolled back: " + failure.Text)
	}
	u.last += fmt.Sprintf(", then query %.80q: %.80q", op, answer)
	return digestOfParts([][]byte{done[:], answer}), err
}

// disturb does what the condition says, before an operation.
func (u *universe) disturb(ops []drawn, i int) error {
	if err := u.startAnew(); err != nil {
		return err
	}
	if u.c.collects && i%16 == 0 {
		before := runtime.GOMAXPROCS(1)
		runtime.GC()
		runtime.GOMAXPROCS(before)
	}
	if u.c.crowd {
		if err := u.other(ops[u.rng.IntN(len(ops))]); err != nil {
			return err
		}
	}
	if u.c.attempts && u.rng.IntN(2) == 0 {
		if err := u.inVain(ops[i], false); err != nil {
			return err
		}
	}
	if u.c.reads && u.o.Query != nil {
		return u.inVain(drawn{op: u.o.Query(u.rng, 0, i+1), client: ops[i].client}, true) // queries have no input
	}
	return nil
}

// startAnew makes the machine anew, or restores it from a snapshot, now and then.
func (u *universe) startAnew() (err error) {
	if u.c.restarts && u.rng.IntN(3) == 0 {
		u.machine = u.o.Machine()
	}
	if u.c.snapshots && u.rng.IntN(3) == 0 {
		_, _, err = u.snapshot()
	}
	return err
}

// other executes op on the other instance, on a state of its own.
func (u *universe) other(d drawn) error {
	tx := app.NewTx(u.aside, nil, u.contextOf(d), false)
	_, failure, err := app.Run(u.crowd, tx, d.op)
	if err != nil || failure != nil {
		return err
	}
	return tx.Commit()
}

// contextOf returns what d may know.
func (u *universe) contextOf(d drawn) app.Context {
	ctx := u.now
	ctx.Client, ctx.Input = d.client, d.input
	return ctx
}

// inVain executes d, or asks it, and rolls it back.
func (u *universe) inVain(d drawn, readOnly bool) error {
	_, _, err := app.Run(u.machine, app.NewTx(u.store, nil, u.contextOf(d), readOnly), d.op)
	return err
}

// run executes d, for good.
func (u *universe) run(d drawn) (crypto.Digest, error) {
	tx := app.NewTx(u.store, nil, u.contextOf(d), false)
	result, failure, err := app.Run(u.machine, tx, d.op)
	if err != nil {
		return crypto.Digest{}, err
	}
	u.store.wrote = u.store.wrote[:0]
	var outputs [][]byte
	if failure != nil {
		u.failed.add(d.op, failure)
		result = []byte("rolled back: " + failure.Text)
	} else {
		if err := tx.Commit(); err != nil {
			return crypto.Digest{}, err
		}
		outputs = tx.Outputs()
	}
	u.last = fmt.Sprintf("result %.80q, outputs %.200q, writes %.400q", result, outputs, u.store.wrote)
	parts := slices.Concat([][]byte{result, count(len(outputs))}, outputs, [][]byte{count(len(u.store.wrote))}, u.store.wrote)
	return digestOfParts(parts), nil
}

func count(n int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) } //nolint:gosec // small

// digestOfParts hashes parts so that no other parts give the same bytes.
func digestOfParts(parts [][]byte) crypto.Digest {
	var all []byte
	for _, p := range parts {
		all = append(append(all, count(len(p))...), p...)
	}
	return crypto.Sum(all)
}

// recorder is a store that notes what is written.
type recorder struct {
	*app.Memory
	wrote [][]byte
}

// Put notes a write.
func (s *recorder) Put(key, value []byte) error {
	s.wrote = append(s.wrote, []byte("put"), key, value)
	return s.Memory.Put(key, value)
}

// Delete notes a deletion.
func (s *recorder) Delete(key []byte) error {
	s.wrote = append(s.wrote, []byte("delete"), key)
	return s.Memory.Delete(key)
}
