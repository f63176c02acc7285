package node_test

import (
	"bytes"
	stdcmp "cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/quorate/quorate/app"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/node"
	"github.com/quorate/quorate/pbft/wire"
)

var errBroken = errors.New("the state broke")

// memoryState is a State in memory, without checkpoints.
type memoryState struct {
	app.Memory
	node.State // what a test does not need panics
	last       wire.Seq
	fails      error // of every write
	calls      int   // so far
	breaks     int   // the call that fails, 0 for none
}

// breaksNow counts a call and returns its error.
func (s *memoryState) breaksNow() error {
	if s.calls++; s.calls == s.breaks {
		return errBroken
	}
	return nil
}

func (s *memoryState) Get(key []byte) ([]byte, bool, error) {
	if err := s.breaksNow(); err != nil {
		return nil, false, err
	}
	return s.Memory.Get(key)
}

func (s *memoryState) Put(key, value []byte) error {
	if s.fails != nil {
		return s.fails
	}
	if len(value) > app.ValueBytesMax {
		return errors.New("a value is too long") // no store takes more
	}
	if err := s.breaksNow(); err != nil {
		return err
	}
	return s.Memory.Put(key, value)
}

func (s *memoryState) Delete(key []byte) error {
	if err := s.breaksNow(); err != nil {
		return err
	}
	return s.Memory.Delete(key)
}

func (s *memoryState) Scan(from, to []byte, yield func(key, value []byte) bool) error {
	if err := s.breaksNow(); err != nil {
		return err
	}
	return s.Memory.Scan(from, to, yield)
}

func (s *memoryState) Last() (wire.Seq, crypto.Digest) { return s.last, s.root() }

// root is a digest of the whole content.
func (s *memoryState) root() crypto.Digest {
	var parts [][]byte
	_ = s.Memory.Scan(nil, nil, func(key, value []byte) bool {
		parts = append(parts, fmt.Appendf(nil, "%x=%x;", key, value))
		return true
	})
	return crypto.Sum(parts...)
}

// keys returns how many keys begin with prefix.
func (s *memoryState) keys(prefix string) int {
	n := 0
	_ = s.Memory.Scan(nil, nil, func(key, _ []byte) bool {
		if bytes.HasPrefix(key, []byte(prefix)) {
			n++
		}
		return true
	})
	return n
}

// lister appends every operation to a list and emits it. Some are special.
type lister struct{}

func (lister) Execute(tx *app.Tx, op []byte) []byte {
	n := tx.Uint64("n") + 1
	tx.PutUint64("n", n)
	tx.Put(fmt.Sprintf("op %04d", n), fmt.Appendf(nil, "%s at %d by %x", op, tx.Time().UnixNano(), tx.Client()))
	tx.Emit(op)
	switch string(op) {
	case "panic":
		var none []int
		none[len(op)] = 1
	case "long":
		return make([]byte, 101)
	case "limit":
		tx.Put(strings.Repeat("k", app.KeyBytesMax+1), nil)
	}
	return fmt.Append(nil, n)
}

func (lister) Query(tx *app.Tx, op []byte) []byte {
	if string(op) == "write" {
		tx.Delete("n")
	}
	return fmt.Append(nil, tx.Uint64("n"))
}

const resultBytesMax = 100

func applyDomain() crypto.Domain { return crypto.Domain{Cluster: crypto.Sum([]byte("test")), Epoch: 3} }

// fakeCore stands for the core: it knows what every client did and makes
// executions of it.
type fakeCore struct {
	t       *testing.T
	seq     wire.Seq
	history crypto.Digest
	clients map[wire.ClientID]core.ClientState
	room    int          // for so many clients; 0 means for all
	floor   wire.Session // the highest session forgotten
}

func newFakeCore(t *testing.T) *fakeCore {
	t.Helper()
	return &fakeCore{t: t, clients: map[wire.ClientID]core.ClientState{}}
}

// requestOf is one client's, by the client's first byte.
func requestOf(client byte, session wire.Session, number wire.Number, ops ...string) *wire.Request {
	r := &wire.Request{Client: wire.ClientID{client, 1, 2}, Session: session, Number: number}
	for _, op := range ops {
		r.Ops = append(r.Ops, []byte(op))
	}
	return r
}

// batch makes the next execution, with the rules of the core: RIFL's windows. It asks
// for a checkpoint, so that the state says what is known.
func (c *fakeCore) batch(requests ...*wire.Request) core.Execution {
	c.t.Helper()
	c.seq++
	c.history = crypto.Sum(c.history[:])
	ex := core.Execution{Seq: c.seq, View: 2, History: c.history, Time: wire.Time(1000 * c.seq), Checkpoint: true}
	touched := map[wire.ClientID]bool{}
	for _, q := range requests {
		s, known := c.clients[q.Client]
		if !known && !c.enters(q.Session, &ex) {
			for i := range q.Ops {
				ex.Orders = append(ex.Orders, core.Order{Request: q, Index: i, Outcome: wire.OutcomeNoRoom})
			}
			continue
		}
		if q.Session > s.Session {
			s = core.ClientState{Client: q.Client, Session: q.Session}
		}
		if q.Session == s.Session && q.Acked > s.Low {
			raise(&s, q.Acked)
		}
		for i := range q.Ops {
			ex.Orders = append(ex.Orders, orderOf(&s, q, i))
		}
		c.clients[q.Client] = s
		touched[q.Client] = true
	}
	for b := range 256 {
		id := wire.ClientID{byte(b), 1, 2}
		if s, known := c.clients[id]; known && touched[id] {
			ex.Clients = append(ex.Clients, s)
		}
	}
	ex.Floor = c.floor
	return ex
}

// enters tells whether an unknown client may enter, and makes room for it.
func (c *fakeCore) enters(session wire.Session, ex *core.Execution) bool {
	if session <= c.floor {
		return false
	}
	if c.room == 0 || len(c.clients) < c.room {
		return true
	}
	oldest := slices.MinFunc(slices.Collect(maps.Values(c.clients)), func(a, b core.ClientState) int {
		return stdcmp.Or(stdcmp.Compare(a.Session, b.Session), bytes.Compare(a.Client[:], b.Client[:]))
	})
	if session <= oldest.Session {
		return false
	}
	c.floor = max(c.floor, oldest.Session)
	delete(c.clients, oldest.Client)
	ex.Evicted = append(ex.Evicted, oldest.Client)
	return true
}

// raise acknowledges up to a number; tests stay within the first word.
func raise(s *core.ClientState, acked wire.Number) {
	s.Done[0] >>= acked - s.Low
	s.Low = acked
}

func orderOf(s *core.ClientState, q *wire.Request, i int) core.Order {
	o := core.Order{Request: q, Index: i}
	at := uint64(o.Number() - s.Low - 1)
	switch {
	case q.Session < s.Session:
		o.Outcome = wire.OutcomeSessionOld
	case o.Number() <= s.Low || (at < core.ClientWindowMax && s.Done[at/64]>>(at%64)&1 == 1):
		o.Outcome = wire.OutcomeForgotten
	case at >= core.ClientWindowMax:
		o.Outcome = wire.OutcomeWindow
	default:
		o.Run = true
		s.Done[at/64] |= 1 << (at % 64)
	}
	return o
}

func newApplier(t *testing.T, state node.State) *node.Applier {
	t.Helper()
	a := node.NewApplier(state, lister{}, applyDomain(), resultBytesMax)
	if _, err := a.Load(); err != nil {
		t.Fatal(err)
	}
	return a
}

func applyBatch(t *testing.T, a *node.Applier, ex core.Execution) node.Applied {
	t.Helper()
	applied, err := a.Apply(ex)
	if err != nil {
		t.Fatal(err)
	}
	return applied
}

// brief is what a client gets, as text: number, outcome, place and result.
func brief(replies []wire.Told) []string {
	var out []string
	for _, r := range replies {
		out = append(out, fmt.Sprintf("%d:%d@%d %s", r.Number, r.Outcome, r.Seq, r.Result))
	}
	return out
}

func wantEqual(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(got, want, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%s (-got +want):\n%s", what, diff)
	}
}

func TestFailedOperationsAreRolledBackAmongTheirNeighbours(t *testing.T) {
	state, c := &memoryState{}, newFakeCore(t)
	a := newApplier(t, state)
	applied := applyBatch(t, a, c.batch(requestOf(1, 1, 1, "x", "panic", "y", "long", "limit", "z")))
	wantEqual(t, "replies", brief(applied.Replies), []string{
		"1:0@1 1", "2:1@1 the operation panicked and was rolled back", "3:0@1 2",
		"4:7@1 the result has 101 bytes, at most 100 are possible",
		"5:1@1 a key has 513 bytes, at most 512 are possible", "6:0@1 3",
	})
	wantEqual(t, "outputs", applied.Outputs, []node.Output{
		{Number: 1, Seq: 1, Payload: []byte("x")},
		{Number: 2, Seq: 1, Payload: []byte("y")},
		{Number: 3, Seq: 1, Payload: []byte("z")},
	})
	if got := state.keys("a"); got != 4 {
		t.Errorf("the application has %d keys, want 4", got)
	}
	if len(applied.Failures) != 3 || !strings.Contains(applied.Failures[0].Detail, "out of range") {
		t.Errorf("got failures %+v, want 3, the first of a out of range", applied.Failures)
	}
	again := applyBatch(t, a, c.batch(requestOf(2, 1, 1, "x")))
	wantEqual(t, "next output", again.Outputs, []node.Output{{Number: 4, Seq: 2, Payload: []byte("x")}})
}

func TestReadOnlyOperationsAreQueries(t *testing.T) {
	state, c := &memoryState{}, newFakeCore(t)
	a := newApplier(t, state)
	read := requestOf(2, 1, 1, "n", "write", "n")
	read.ReadOnly = true
	applied := applyBatch(t, a, c.batch(requestOf(1, 1, 1, "x"), read))
	wantEqual(t, "replies", brief(applied.Replies), []string{
		"1:0@1 1", "1:0@1 1", "2:5@1 a read-only operation cannot write", "3:0@1 1",
	})
}

func TestDuplicatesAreAnsweredFromTheTable(t *testing.T) {
	state, c := &memoryState{}, newFakeCore(t)
	a := newApplier(t, state)
	first := applyBatch(t, a, c.batch(requestOf(1, 1, 1, "x", "panic"), requestOf(1, 1, 1, "x")))
	wantEqual(t, "a duplicate in the batch", brief(first.Replies), []string{
		"1:0@1 1", "2:1@1 the operation panicked and was rolled back", "1:0@1 1",
	})
	second := applyBatch(t, a, c.batch(requestOf(1, 1, 1, "x", "panic", "y")))
	wantEqual(t, "a duplicate later", brief(second.Replies), []string{
		"1:0@1 1", "2:1@1 the operation panicked and was rolled back", "3:0@2 2",
	})
	for number, want := range map[wire.Number]wire.Told{1: first.Replies[0], 2: first.Replies[1], 4: {}} {
		got, ok, err := a.Answer(core.Answer{Client: wire.ClientID{1, 1, 2}, Session: 1, Number: number})
		if err != nil || ok != (want.Number != 0) {
			t.Errorf("answer %d: got %v, %v", number, ok, err)
		}
		wantEqual(t, "answer", got, want)
	}
}

func TestOrdersThatDoNotRunAnswerTheirOutcome(t *testing.T) {
	state, c := &memoryState{}, newFakeCore(t)
	a := newApplier(t, state)
	applyBatch(t, a, c.batch(requestOf(1, 5, 1, "x")))
	before := state.keys("")
	applied := applyBatch(t, a, c.batch(requestOf(1, 4, 1, "old"), requestOf(1, 5, 9000, "far")))
	wantEqual(t, "replies", brief(applied.Replies), []string{"1:2@0 ", "9000:6@0 "})
	if got := state.keys(""); got != before {
		t.Errorf("got %d keys, want %d as before", got, before)
	}
}

// TestResultsThatComeAndGoNeverReachTheState acknowledges results before the next
// checkpoint: what is written then is what is left, and what was written before goes.
func TestResultsThatComeAndGoNeverReachTheState(t *testing.T) {
	state, c := &memoryState{}, newFakeCore(t)
	a := newApplier(t, state)
	applyBatch(t, a, c.batch(requestOf(1, 1, 1, "a", "b")))
	between := []core.Execution{c.batch(requestOf(1, 1, 3, "c")), c.batch(requestOf(2, 9, 1, "d"))}
	ack := requestOf(1, 1, 4, "e")
	ack.Acked = 3
	last := c.batch(ack)
	before := state.calls
	for _, ex := range between {
		ex.Checkpoint = false
		applyBatch(t, a, ex)
	}
	if got := state.keys("r"); got != 2 {
		t.Errorf("between checkpoints the state has %d results, want the 2 of the last one", got)
	}
	for _, number := range []wire.Number{1, 3} { // one that is in the state, one that is not
		if _, ok, err := a.Answer(core.Answer{Client: wire.ClientID{1, 1, 2}, Session: 1, Number: number}); err != nil || !ok {
			t.Errorf("the result of number %d is gone (%v)", number, err)
		}
	}
	applyBatch(t, a, last)
	if got := state.keys("r"); got != 2 {
		t.Errorf("the state has %d results, want 2: of e and of another client's d", got)
	}
	if state.calls == before {
		t.Error("no call of the state was counted")
	}
}

func TestAcknowledgedResultsAreForgotten(t *testing.T) {
	state, c := &memoryState{}, newFakeCore(t)
	a := newApplier(t, state)
	applyBatch(t, a, c.batch(requestOf(1, 1, 1, "a", "b", "c"), requestOf(2, 1, 1, "other")))
	if got := state.keys("r"); got != 4 {
		t.Fatalf("got %d results, want 4", got)
	}
	ack := requestOf(1, 1, 4, "d")
	ack.Acked = 3
	applyBatch(t, a, c.batch(ack))
	if got := state.keys("r"); got != 2 {
		t.Errorf("got %d results, want 2: d and another client's", got)
	}
	applied := applyBatch(t, a, c.batch(requestOf(1, 1, 2, "b"), requestOf(1, 1, 4, "d")))
	wantEqual(t, "replies", brief(applied.Replies), []string{"2:4@0 ", "4:0@2 5"})
	for number, want := range map[wire.Number]string{1: "1:4@0 ", 3: "3:4@0 ", 4: "4:0@2 5", 5: ""} {
		q := core.Answer{Client: wire.ClientID{1, 1, 2}, Session: 1, Number: number}
		got, ok, err := a.Answer(q)
		if err != nil || ok != (want != "") || ok && brief([]wire.Told{got})[0] != want {
			t.Errorf("asked for number %d: got %v, %t, %v, want %q", number, got, ok, err, want)
		}
		q.Session = 2
		if _, ok, err := a.Answer(q); ok || err != nil {
			t.Errorf("number %d of a later session is answered (%v)", number, err)
		}
	}
}

// TestNothingStaysOfWhatOneBatchEnds acknowledges, and begins a new session, in
// the very batch that executes; also for clients not known before it.
func TestNothingStaysOfWhatOneBatchEnds(t *testing.T) {
	for _, known := range []bool{false, true} {
		state, c := &memoryState{}, newFakeCore(t)
		a := newApplier(t, state)
		first := wire.Number(1)
		if known {
			applyBatch(t, a, c.batch(requestOf(1, 1, 1, "x"), requestOf(2, 1, 1, "x")))
			first = 2
		}
		ack := requestOf(1, 1, first+1, "y")
		ack.Acked = first
		applyBatch(t, a, c.batch(requestOf(1, 1, first, "a"), ack, requestOf(2, 1, first, "b"), requestOf(2, 2, 1, "c")))
		if got := state.keys("r"); got != 2 {
			t.Errorf("known %v: got %d results, want 2", known, got)
		}
		for _, q := range []core.Answer{
			{Client: wire.ClientID{1, 1, 2}, Session: 1, Number: first + 1},
			{Client: wire.ClientID{2, 1, 2}, Session: 2, Number: 1},
		} {
			if _, ok, err := a.Answer(q); err != nil || !ok {
				t.Errorf("known %v: %v is gone (%v)", known, q, err)
			}
		}
	}
}

func TestLoadReturnsWhatWasApplied(t *testing.T) {
	state, c := &memoryState{}, newFakeCore(t)
	a := node.NewApplier(state, lister{}, applyDomain(), resultBytesMax)
	snapshot, err := a.Load()
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "genesis", snapshot, core.Snapshot{State: state.root()})
	applyBatch(t, a, c.batch(requestOf(9, 1, 1, "x"), requestOf(3, 7, 1, "y")))
	applyBatch(t, a, c.batch())
	state.last = 2
	want := core.Snapshot{
		Seq: 2, State: state.root(), History: c.history, Time: 2000,
		Clients: []core.ClientState{c.clients[wire.ClientID{3, 1, 2}], c.clients[wire.ClientID{9, 1, 2}]},
	}
	b := node.NewApplier(state, lister{}, applyDomain(), resultBytesMax)
	got, err := b.Load()
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "snapshot", got, want)
	if b.Seq() != 2 {
		t.Errorf("got batch %d, want 2", b.Seq())
	}
	applied := applyBatch(t, b, c.batch(requestOf(9, 1, 1, "x", "z")))
	wantEqual(t, "replies after loading", brief(applied.Replies), []string{"1:0@1 1", "2:0@3 3"})
	wantEqual(t, "outputs after loading", applied.Outputs, []node.Output{{Number: 3, Seq: 3, Payload: []byte("z")}})
}

func TestLoadRefusesAStateThatIsNotOurs(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(s *memoryState)
		want  string
	}{
		"other number":   {func(s *memoryState) { s.last = 2 }, "content is of number 1"},
		"no meta":        {func(s *memoryState) { _ = s.Delete([]byte("smeta")) }, "does not say its place"},
		"rest of a life": {func(s *memoryState) { _ = s.Delete([]byte("smeta")); s.last = 0 }, "is not empty"},
		"short meta":     {func(s *memoryState) { _ = s.Put([]byte("smeta"), []byte{1}) }, "has 1 bytes"},
		"short client":   {func(s *memoryState) { _ = s.Put([]byte("cx"), []byte{1}) }, "client record"},
	} {
		state, c := &memoryState{}, newFakeCore(t)
		applyBatch(t, newApplier(t, state), c.batch(requestOf(1, 1, 1, "x")))
		state.last = 1
		test.spoil(state)
		a := node.NewApplier(state, lister{}, applyDomain(), resultBytesMax)
		if _, err := a.Load(); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
		if _, err := a.Apply(c.batch()); err == nil {
			t.Errorf("%s: applied a batch to it", name)
		}
	}
	state, c := &memoryState{}, newFakeCore(t)
	applyBatch(t, newApplier(t, state), c.batch())
	state.last = 1
	foreign := node.NewApplier(state, lister{}, crypto.Domain{Cluster: applyDomain().Cluster}, resultBytesMax)
	if _, err := foreign.Load(); err == nil || !strings.Contains(err.Error(), "epoch 0") {
		t.Errorf("got %v, want a complaint about the epoch", err)
	}
}

func TestApplyTakesOnlyTheNextBatch(t *testing.T) {
	c := newFakeCore(t)
	a := newApplier(t, &memoryState{})
	one, two := c.batch(), c.batch()
	if _, err := a.Apply(two); err == nil {
		t.Error("batch 2 was applied first")
	}
	applyBatch(t, a, one)
	if _, err := a.Apply(one); err == nil {
		t.Error("batch 1 was applied twice")
	}
	bad := two
	bad.Orders = []core.Order{{Request: requestOf(1, 1, 1), Run: true}}
	if _, err := a.Apply(bad); err == nil {
		t.Error("an order without its operation was taken")
	}
	applyBatch(t, a, two)
}

func TestAfterAnErrorOfTheStateNothingWorks(t *testing.T) {
	state, c := &memoryState{}, newFakeCore(t)
	a := newApplier(t, state)
	state.fails = errors.New("disk")
	one := c.batch(requestOf(1, 1, 1, "x"))
	if _, err := a.Apply(one); !errors.Is(err, state.fails) {
		t.Errorf("got %v, want the state's error", err)
	}
	disk := state.fails
	state.fails = nil
	if _, err := a.Apply(one); !errors.Is(err, disk) {
		t.Errorf("got %v, want the state's error again", err)
	}
	if _, err := a.Load(); !errors.Is(err, disk) {
		t.Errorf("got %v, want the state's error again", err)
	}
}

// echo returns the operation.
type echo struct{}

func (echo) Execute(_ *app.Tx, op []byte) []byte { return op }

// TestResultsThatAreToldAgainAreBounded has requests that differ in one operation hold
// the same others, which are executed: before the last checkpoint, after it, and in the
// batch itself. What of them is told again is bounded, all can be asked for, and new
// results are told in any case.
func TestResultsThatAreToldAgainAreBounded(t *testing.T) {
	const requests, long = 40, 40 << 10
	var ops []string
	for i := range 5 {
		ops = append(ops, strings.Repeat(string(rune('a'+i)), long))
	}
	for name, checkpointed := range map[string]bool{"before a checkpoint": true, "since": false} {
		c := newFakeCore(t)
		a := node.NewApplier(&memoryState{}, echo{}, applyDomain(), 1<<20)
		if _, err := a.Load(); err != nil {
			t.Fatal(err)
		}
		ex := c.batch(requestOf(1, 1, 1, ops[:4]...))
		ex.Checkpoint = checkpointed
		applyBatch(t, a, ex)
		var batch []*wire.Request
		for range requests {
			batch = append(batch, requestOf(1, 1, 1, append(slices.Clone(ops), "new")...))
		}
		batch = append(batch, requestOf(2, 1, 1, "of another"))
		size, numbers := 0, map[wire.Number]bool{}
		replies := applyBatch(t, a, c.batch(batch...)).Replies
		for _, r := range replies {
			size += len(r.Result)
			numbers[r.Number] = true
		}
		if most := 2 << 20; size > most || len(numbers) != 6 {
			t.Errorf("%s: %d bytes of results of %d operations are told, want %d bytes at most, of 6", name, size, len(numbers), most)
		}
		if last := replies[len(replies)-1]; string(last.Result) != "of another" {
			t.Errorf("%s: another client's result is not told", name)
		}
		for i, op := range ops {
			q := core.Answer{Client: wire.ClientID{1, 1, 2}, Session: 1, Number: wire.Number(i + 1)}
			if got, ok, err := a.Answer(q); err != nil || !ok || string(got.Result) != op {
				t.Errorf("%s: the result of number %d is gone (%v)", name, q.Number, err)
			}
		}
		ack := requestOf(1, 1, 7, "z")
		ack.Acked = 6
		applyBatch(t, a, c.batch(ack))
		batch = batch[:0]
		for range requests { // of results that are told again there are none
			batch = append(batch, requestOf(1, 1, 1, ops...))
		}
		for _, r := range applyBatch(t, a, c.batch(batch...)).Replies {
			if r.Outcome != wire.OutcomeForgotten {
				t.Fatalf("%s: number %d ended with outcome %d, want it to be forgotten", name, r.Number, r.Outcome)
			}
		}
	}
}

// newBoundedEcho returns an applier whose results are its operations: of so many bytes at
// the longest, and together before a checkpoint.
func newBoundedEcho(t *testing.T, long, bound int) *node.Applier {
	t.Helper()
	a := node.NewApplier(&memoryState{}, echo{}, applyDomain(), long)
	a.BoundUnsaved(bound)
	if _, err := a.Load(); err != nil {
		t.Fatal(err)
	}
	return a
}

// TestUnsavedResultsAreBounded has clients read long values and acknowledge nothing: some
// are rolled back. Each may still have one, and whoever acknowledges has room again, as
// all have after a checkpoint.
func TestUnsavedResultsAreBounded(t *testing.T) {
	const long, bound = 1000, 10_000
	c := newFakeCore(t)
	a := newBoundedEcho(t, long, bound)
	value := strings.Repeat("v", long)
	number := wire.Number(0)
	read := func(client byte, acked wire.Number) wire.Outcome {
		t.Helper()
		q := requestOf(client, 1, number, value)
		q.Acked = acked
		ex := c.batch(q)
		ex.Checkpoint = false
		out := applyBatch(t, a, ex).Replies[0].Outcome
		counted, held := a.Unsaved()
		if counted != held || held > bound+3*long {
			t.Fatalf("%d bytes are counted, and %d held, want the same, below %d", counted, held, bound+3*long)
		}
		return out
	}
	rolledBack := 0
	for number = 1; number <= 20; number++ {
		if read(1, 0) == wire.OutcomeTooLarge {
			rolledBack++
		}
	}
	if rolledBack != 10 {
		t.Errorf("%d of 20 reads were rolled back, want 10", rolledBack)
	}
	if first, second := read(2, 0), read(3, 0); first != wire.OutcomeOK || second != wire.OutcomeOK {
		t.Errorf("others' first reads ended with %d and %d, want them executed", first, second)
	}
	number++
	if got := read(2, 0); got != wire.OutcomeTooLarge {
		t.Errorf("another one's second read ended with %d, want it rolled back", got)
	}
	number++
	if got := read(1, 10); got != wire.OutcomeTooLarge {
		t.Errorf("a read that acknowledges ended with %d: room is made after the batch", got)
	}
	number++
	if got := read(1, 10); got != wire.OutcomeOK {
		t.Errorf("the read after ended with %d, want it executed", got)
	}
	ex := c.batch()
	ex.Checkpoint = true
	applyBatch(t, a, ex)
	if counted, held := a.Unsaved(); counted != 0 || held != 0 {
		t.Errorf("%d bytes are counted after a checkpoint, and %d held", counted, held)
	}
}

// TestManyKeysHoldNoMoreThanTwiceTheBound has each of many clients read one long value. In
// the end there is no room for anybody's, but for short results.
func TestManyKeysHoldNoMoreThanTwiceTheBound(t *testing.T) {
	const long, bound, short = 128 << 10, 8 << 20, 8
	c := newFakeCore(t)
	a := newBoundedEcho(t, long, bound)
	apply := func(client byte, result string) wire.Outcome {
		t.Helper()
		ex := c.batch(requestOf(client, 1, 1, result))
		ex.Checkpoint = false
		return applyBatch(t, a, ex).Replies[0].Outcome
	}
	executed := 0
	value := strings.Repeat("v", long)
	for client := range byte(250) {
		before, _ := a.Unsaved()
		got := apply(client, value)
		if want := before+long <= 2*bound; (got == wire.OutcomeOK) != want {
			t.Fatalf("with %d bytes held a read ended with %d; executed: want %v", before, got, want)
		}
		if got == wire.OutcomeOK {
			executed++
		}
	}
	if executed == 250 || executed*long < 2*bound-long {
		t.Errorf("%d of 250 reads of %d bytes were executed", executed, long)
	}
	if got := apply(250, strings.Repeat("s", short)); got != wire.OutcomeOK {
		t.Errorf("an operation with a short result ended with %d", got)
	}
	if got := apply(251, strings.Repeat("s", short+1)); got != wire.OutcomeTooLarge {
		t.Errorf("an operation with a longer one ended with %d", got)
	}
}

// TestOneBatchOfResultsIsBounded puts all reads into one batch, of which the results of one
// client are acknowledged by itself at its end.
func TestOneBatchOfResultsIsBounded(t *testing.T) {
	const long, bound = 1000, 10_000
	c := newFakeCore(t)
	a := newBoundedEcho(t, long, bound)
	var batch []*wire.Request
	for number := range wire.Number(15) {
		batch = append(batch, requestOf(1, 1, number+1, strings.Repeat("v", long)))
	}
	batch = append(batch, requestOf(2, 1, 1, strings.Repeat("w", long)), requestOf(2, 1, 2, "x"))
	last := requestOf(1, 1, 16, "y")
	last.Acked = 8
	var told []wire.Outcome
	ex := c.batch(append(batch, last)...)
	ex.Checkpoint = false
	for _, r := range applyBatch(t, a, ex).Replies {
		told = append(told, r.Outcome)
	}
	want := slices.Repeat([]wire.Outcome{wire.OutcomeOK}, 10)
	want = append(want, slices.Repeat([]wire.Outcome{wire.OutcomeTooLarge}, 5)...)
	want = append(want, wire.OutcomeOK, wire.OutcomeTooLarge, wire.OutcomeTooLarge)
	if !slices.Equal(told, want) {
		t.Errorf("the operations ended with %v, want %v", told, want)
	}
	if counted, held := a.Unsaved(); counted != held || held < 3*long || held > 4*long {
		t.Errorf("%d bytes are counted, and %d held, want those of three reads, and of texts", counted, held)
	}
}

// TestEveryResultFitsIntoTheState gives a limit above what a value of the state
// may have: the replica must not fail over the largest results.
func TestEveryResultFitsIntoTheState(t *testing.T) {
	for size := app.ValueBytesMax - 20; size <= app.ValueBytesMax+1; size++ {
		c := newFakeCore(t)
		a := node.NewApplier(&memoryState{}, echo{}, applyDomain(), 1<<20)
		if _, err := a.Load(); err != nil {
			t.Fatal(err)
		}
		reply := applyBatch(t, a, c.batch(requestOf(1, 1, 1, strings.Repeat("x", size)))).Replies[0]
		want := wire.OutcomeOK
		if size > app.ResultBytesMax {
			want = wire.OutcomeTooLarge
		}
		if reply.Outcome != want || (want == wire.OutcomeOK && len(reply.Result) != size) {
			t.Errorf("result of %d bytes: got outcome %d, %d bytes, want %d", size, reply.Outcome, len(reply.Result), want)
		}
	}
}
