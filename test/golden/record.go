package golden

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
	"github.com/quorate/quorate/test/sim"
)

// stepsKept bounds the run that Record takes in.
const stepsKept = 1 << 20

// clockOff is how far the clock of a replica may be from what the simulator had,
// before a command puts it right. Nothing but far larger differences matters.
const clockOff = wire.Time(5e9)

// Record runs o and writes the run out as a script, one command a line: the same
// events reach the same cores in the same order, but requests have other
// operations and replicas other keys. If a property does not hold in the run, and
// the script shows that too, reproduced is true, and the script is made as short
// as it can be with that; otherwise it is the whole run. What cannot be carried
// over, such as what liars say, is in comments of the script. A run that is too
// long is an error: sim.Shrink comes first.
//
// Scenario makes a file of testdata from a script.
func Record(o sim.Options) (script string, reproduced bool, err error) {
	lines, err := translate(o)
	if err != nil {
		return "", false, err
	}
	if at, _ := violation(lines); at >= 0 {
		lines, reproduced = shorten(lines[:at+1]), true
	}
	return strings.Join(lines, "\n") + "\n", reproduced, nil
}

// recording is a run that is being written out, and the world in which the script
// so far was played.
type recording struct {
	o     sim.Options
	w     World
	lines []string
	steps []sim.Step
	// after is, for each step, the next of the same replica, or -1.
	after    []int
	posted   map[[2]wire.ReplicaID][]*envelope // by the script, and not yet sent in the run
	known    int                               // of w.network.sent, those that are in posted
	sent     map[uint64]*envelope
	same     map[place][]*envelope
	heard    []int // own messages that the script has already let arrive
	sessions map[wire.ClientID]int
	letters  []string
	drawn    map[wire.ClientID][]wire.Session
	omitted  map[string]bool
}

// place is what a filter can say of a message.
type place struct {
	from, to  wire.ReplicaID
	kind      wire.Kind
	view, seq string
}

func placeOfEnvelope(e *envelope) place {
	return place{e.from, e.to, e.sealed.Message().Kind(), e.view, e.seq}
}

// translate runs o and writes it out, whole.
func translate(o sim.Options) ([]string, error) {
	cfg, err := o.Config()
	if err != nil {
		return nil, err
	}
	rec := &recording{
		posted: map[[2]wire.ReplicaID][]*envelope{}, sent: map[uint64]*envelope{}, same: map[place][]*envelope{},
		heard: make([]int, cfg.Quorum.Replicas()), sessions: map[wire.ClientID]int{}, drawn: map[wire.ClientID][]wire.Session{},
		omitted: map[string]bool{},
	}
	if err := rec.run(o); err != nil {
		return nil, err
	}
	rec.link()
	rec.preface(cfg)
	for i := range rec.steps {
		if rec.steps[i].Node < len(rec.w.replicas) {
			rec.translate(i)
		}
	}
	return rec.lines, nil
}

// run takes the run in. A core that breaks ends it.
func (rec *recording) run(o sim.Options) error {
	o.Steps = func(s sim.Step) {
		if len(rec.steps) <= stepsKept {
			rec.steps = append(rec.steps, s)
		}
	}
	func() {
		defer func() { _ = recover() }()
		rec.o = o
		rec.o = sim.Run(o).Options
	}()
	if len(rec.steps) > stepsKept {
		return fmt.Errorf("golden: the run has more than %d steps: shrink it first", stepsKept)
	}
	if len(rec.steps) == 0 {
		return errors.New("golden: nothing happens in the run: are its options valid")
	}
	return nil
}

// link finds, for every step, the next one of its replica that is no effect.
func (rec *recording) link() {
	rec.after = make([]int, len(rec.steps))
	next := map[int]int{}
	for i, s := range slices.Backward(rec.steps) {
		rec.after[i] = -1
		if j, ok := next[s.Node]; ok {
			rec.after[i] = j
		}
		switch s.Do {
		case sim.StepSend, sim.StepRepeat, sim.StepExecute:
		default:
			next[s.Node] = i
		}
	}
}

// preface begins the script: what is known to be missing, and the cluster.
func (rec *recording) preface(cfg core.Config) {
	o := &rec.o
	for _, part := range []struct {
		there bool
		what  string
	}{
		{o.Liars+len(o.Byzantine) > 0, "what liars say"},
		{o.Outlaws > 0, "what Byzantine clients do"},
		{o.Liveness, "those that lie from the end of the turbulence on"},
		{o.Twins > 0, "the second copies of twins"},
		{o.BadDisks > 0, "what a disk that lies has forgotten"},
		{o.Backups > 0, "the return to an old copy of a disk"},
		{o.Corruption > 0, "damaged messages that could still be read"},
		{o.RealStorage, "what a crash within a disk operation leaves"},
	} {
		if part.there {
			rec.omit(part.what)
		}
	}
	rec.do("%s", clusterLine(o, cfg))
}

// clusterLine makes the command that begins a cluster with such a configuration.
func clusterLine(o *sim.Options, cfg core.Config) string {
	n := cfg.Quorum.Replicas()
	line := fmt.Sprintf("cluster by-hand n=%d f=%d us=%d", n, cfg.Quorum.Faults(), o.Tick.Microseconds()/int64(n))
	is := newConfig(parse(line), cfg.Quorum)
	for _, field := range []struct {
		name      string
		want, has int
	}{
		{"K", int(cfg.Interval), int(is.Interval)},
		{"L", int(cfg.Window), -1}, //nolint:gosec // small
		{"W", cfg.InFlight, is.InFlight},
		{"batch", cfg.BatchRequestsMax, is.BatchRequestsMax},
		{"bytes", cfg.BatchBytesMax, is.BatchBytesMax},
		{"T", cfg.RequestTicks, is.RequestTicks},
		{"pace", cfg.PaceTicks, is.PaceTicks},
		{"backoff", cfg.BackoffMax, is.BackoffMax},
		{"status", cfg.StatusTicks, is.StatusTicks},
		{"heartbeat", cfg.HeartbeatTicks, is.HeartbeatTicks},
		{"catchup", cfg.CatchUpTicks, is.CatchUpTicks},
		{"clients", cfg.ClientsMax, is.ClientsMax},
		{"queue", cfg.QueueRequestsMax, is.QueueRequestsMax},
		{"archive", cfg.ArchiveBytesMax, is.ArchiveBytesMax},
		{"jitter", int(cfg.Seed), 0}, //nolint:gosec // as many bits
	} {
		if field.want != field.has {
			line += fmt.Sprintf(" %s=%d", field.name, field.want)
		}
	}
	return line
}

// do adds a command to the script, plays it, and takes in what was sent.
func (rec *recording) do(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	rec.lines = append(rec.lines, line)
	rec.w.Do(line)
	for _, e := range rec.w.network.sent[rec.known:] {
		link, at := [2]wire.ReplicaID{e.from, e.to}, placeOfEnvelope(e)
		rec.posted[link] = append(rec.posted[link], e)
		rec.same[at] = append(rec.same[at], e)
		rec.known++
	}
}

// omit says, once, what the script lacks.
func (rec *recording) omit(what string) {
	if !rec.omitted[what] {
		rec.omitted[what] = true
		rec.lines = append(rec.lines, "# left out: "+what)
	}
}

// translate writes one step of the run out.
func (rec *recording) translate(i int) {
	s := &rec.steps[i]
	switch s.Do {
	case sim.StepExecute:
	case sim.StepOffer:
		rec.omit("the inputs of batches")
	case sim.StepStart:
		rec.do("restart %d", s.Node)
	case sim.StepCrash:
		rec.crash(i)
	case sim.StepTick:
		rec.tick(s)
	case sim.StepFlush:
		rec.flush(i)
	case sim.StepSend:
		rec.send(s)
	case sim.StepRepeat:
		if e := rec.sent[s.Old]; e != nil {
			rec.sent[s.Message] = e
		}
	case sim.StepTake:
		rec.take(s)
	case sim.StepSubmit:
		rec.submit(s)
	case sim.StepLink, sim.StepUnlink:
		rec.do("%s %d %d", s.Do, s.Node, s.Peer)
	case sim.StepBusy:
		if s.Seq > 0 {
			rec.do("busy %d", s.Node)
		} else {
			rec.do("busy %d not", s.Node)
		}
	case sim.StepGiveUp:
		rec.do("transfer %d fail", s.Node)
	case sim.StepRot:
		rec.do("corrupt %d", s.Node)
	case sim.StepLose, sim.StepSnapshot, sim.StepTransfer, sim.StepRebase:
		rec.do("%s %d", s.Do, s.Node)
	}
}

// crash says what the next start will find.
func (rec *recording) crash(i int) {
	s := &rec.steps[i]
	rec.heard[s.Node] = 0
	for link := range rec.posted {
		if int(link[0]) == s.Node {
			rec.posted[link] = nil // the crash came before
		}
	}
	line := fmt.Sprintf("crash %d", s.Node)
	if j := rec.after[i]; j >= 0 && rec.steps[j].Do == sim.StepStart {
		found := &rec.steps[j]
		if found.Kept > 0 {
			line += fmt.Sprintf(" keep=%d", found.Kept)
		}
		line += fmt.Sprintf(" state=%d", found.Seq)
	}
	rec.do("%s", line)
}

// tick lets a tick pass, and puts a clock right that is far off.
func (rec *recording) tick(s *sim.Step) {
	r := rec.w.replicas[s.Node]
	off := s.Wall - (r.now() + rec.w.tickTime)
	if max(off, -off) > clockOff {
		rec.do("clock %d ms=%d", s.Node, (r.skew+off)/1e6)
	}
	rec.do("tick %d", s.Node)
}

// flush also lets arrive what the replica sent to itself, if that is what happens
// to it next.
func (rec *recording) flush(i int) {
	s := &rec.steps[i]
	r := rec.w.replicas[s.Node]
	own := 0
	for _, held := range r.held {
		if held.To == core.Everyone && kindOf(held) != wire.KindStatus {
			own++
		}
	}
	next := rec.after[i]
	for range own {
		if next < 0 || !isOwn(&rec.steps[next]) {
			rec.do("flush %d own=later", s.Node)
			return
		}
		next = rec.after[next]
	}
	if !r.later {
		rec.heard[s.Node] += own
	}
	rec.do("flush %d", s.Node)
}

func kindOf(s core.Send) wire.Kind {
	if s.Sealed != nil {
		return s.Sealed.Message().Kind()
	}
	return s.Message.Kind()
}

// isOwn tells whether a replica hears itself.
func isOwn(s *sim.Step) bool {
	return s.Do == sim.StepTake && s.Message == 0 && int(s.Peer) == s.Node
}

// send finds the message of the script that is one of the run. A crash may have
// kept some from leaving.
func (rec *recording) send(s *sim.Step) {
	if k := s.Sealed.Message().Kind(); k == wire.KindFetchPieces || k == wire.KindPiece {
		return // a transfer is one command
	}
	link := [2]wire.ReplicaID{wire.ReplicaID(s.Node), s.Peer} //nolint:gosec // a cluster is small
	want := newEnvelope(link[0], link[1], s.Sealed)
	for i, e := range rec.posted[link] {
		if alike(e, want) {
			rec.sent[s.Message] = e
			rec.posted[link] = slices.Delete(rec.posted[link], i, i+1)
			return
		}
	}
}

// alike tells whether two messages of different worlds say the same, as far as
// that can be told: the digests differ, and what is in the order of digests is in
// another order.
func alike(a, b *envelope) bool {
	signer, signed := wire.SenderOf(a.sealed.Message())
	other, too := wire.SenderOf(b.sealed.Message())
	return placeOfEnvelope(a) == placeOfEnvelope(b) && signed == too && signer == other &&
		slices.Equal(asked(a.sealed.Message()), asked(b.sealed.Message()))
}

// asked returns the numbers of the requests that a message holds, and how many
// operations each has.
func asked(m wire.Message) []wire.Number {
	var requests []*wire.Request
	switch m := m.(type) { //nolint:gochecksumtype // the others hold none
	case *wire.Request:
		requests = append(requests, m)
	case *wire.BatchBody:
		requests = m.Batch.Requests
	}
	var numbers []wire.Number
	for _, r := range requests {
		numbers = append(numbers, r.Number, wire.Number(len(r.Ops)))
	}
	return numbers
}

// take lets a message arrive.
func (rec *recording) take(s *sim.Step) {
	if isOwn(s) {
		if rec.heard[s.Node] > 0 {
			rec.heard[s.Node]--
			return
		}
		rec.do("own %d", s.Node)
		return
	}
	e := rec.sent[s.Message]
	if e == nil {
		rec.omit(fmt.Sprintf("a %s that R%d gets from R%d", s.Sealed.Message().Kind(), s.Node, s.Peer))
		return
	}
	at := placeOfEnvelope(e)
	line := fmt.Sprintf("deliver from=%d to=%d kind=%s", at.from, at.to, at.kind)
	if at.view != "" {
		line += " view=" + at.view
	}
	if at.seq != "" {
		line += " seq=" + at.seq
	}
	to := wire.ReplicaID(s.Node) //nolint:gosec // a cluster is small
	elsewhere := e.to != to || e.from != s.Peer
	if elsewhere || !rec.alone(e) {
		line += fmt.Sprintf(" nth=%d", 1+rec.before(e))
	}
	if e.to != to {
		line += fmt.Sprintf(" at=%d", to)
	}
	if e.from != s.Peer {
		line += fmt.Sprintf(" as=%d", s.Peer)
	}
	rec.do("%s", line)
}

// alone tells whether e is the one message on its way with its place.
func (rec *recording) alone(e *envelope) bool {
	at, alone := placeOfEnvelope(e), false
	for _, other := range rec.w.network.waiting {
		if placeOfEnvelope(other) == at {
			if other != e {
				return false
			}
			alone = true
		}
	}
	return alone
}

// before returns how many messages with the place of e, as a filter sees it, were
// sent before it.
func (rec *recording) before(e *envelope) int {
	at := placeOfEnvelope(e)
	if at.view != "" || at.seq != "" {
		return slices.Index(rec.same[at], e)
	}
	n := 0
	for _, other := range rec.w.network.sent {
		if other == e {
			break
		}
		if other.from == e.from && other.to == e.to && other.sealed.Message().Kind() == at.kind {
			n++
		}
	}
	return n
}
