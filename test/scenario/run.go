package scenario

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/app"
	"github.com/quorate/quorate/pbft/wire"
	"github.com/quorate/quorate/test/picture"
	"github.com/quorate/quorate/test/sim"
)

// The modes of a Report.
const (
	modeSim  = "sim"
	modeReal = "real"
)

// Options say how to run a scenario. The zero value simulates it with seed 0.
type Options struct {
	// Seed chooses delays, and whatever else a scenario leaves open.
	Seed uint64
	// Real plays it on real processes of Binary, which must be a build with the
	// tag adversary, in new directories under Dir, which the caller removes.
	Real        bool
	Binary, Dir string
	// Machine, Operation and Query are those of sim.Options: the application to
	// play with, what its clients do and, if it has reads, what they read. Scenarios
	// that are about the key-value store's own operations, or their length, keep it;
	// real runs do.
	Machine   func() app.StateMachine
	Operation func(rng *rand.Rand, client, i int) []byte
	Query     func(rng *rand.Rand, client, i int) []byte
	// Record keeps the simulated run for a picture.
	Record bool
}

// ErrNotReal says that a scenario makes no sense with real processes.
var ErrNotReal = errors.New("not on real processes")

// Run plays the scenario with a name. The error says that it could not be
// played; what came of it is in the Report.
func Run(ctx context.Context, name string, o Options) (Report, error) {
	s, err := Find(name)
	if err != nil {
		return Report{}, err
	}
	return s.Run(ctx, o)
}

// validate tells what is missing of an application.
func (o Options) validate() error {
	switch {
	case o.Machine != nil && o.Operation == nil:
		return errors.New("scenario: Options.Machine is set and Options.Operation is not: say what its clients do")
	case o.Machine == nil && (o.Operation != nil || o.Query != nil):
		return errors.New("scenario: Options.Operation or Query is set and Options.Machine is not: say what executes them")
	case o.Machine != nil && o.Machine() == nil:
		return errors.New("scenario: Options.Machine returns nil: let it return the application of one replica")
	}
	return nil
}

// Run plays s.
func (s Scenario) Run(ctx context.Context, o Options) (Report, error) {
	if err := o.validate(); err != nil {
		return s.report(modeSim, o.Seed), err
	}
	switch {
	case o.Real && s.Real == nil:
		return s.report(modeReal, o.Seed), fmt.Errorf("%w: %s: %s", ErrNotReal, s.Name, s.WhyNotReal)
	case o.Real:
		return s.runReal(ctx, o)
	}
	return s.simulate(o), ctx.Err() //nolint:contextcheck // a simulated run takes milliseconds, and has no context
}

// simulate plays s in the simulator.
func (s Scenario) simulate(o Options) Report {
	p := newPlay(o.Seed)
	s.Sim(p)
	foreign := o.Machine != nil && !p.store && p.Options.Machine == nil
	if foreign {
		p.Options.Machine, p.Options.Operation, p.Options.Query = o.Machine, o.Operation, o.Query
		p.Finally("the application executes operations", executes)
	}
	p.log = newRunLog(p.Options.Clients)
	recorder := picture.Recorder{}
	processes := p.Options.Replicas + p.Options.Twins
	p.Options.Watch = func(m sim.Moment) {
		p.log.watch(processes, m)
		if o.Record {
			recorder.Record(m)
		}
	}
	if len(p.chains)+len(p.nevers) > 0 {
		p.Options.Script = p.script
	}
	began := time.Now()
	res := sim.Run(p.Options)
	r := s.report(modeSim, o.Seed)
	if foreign {
		r.Replay = fmt.Sprintf("scenario.Run(ctx, %q, scenario.Options{Seed: %d, ...}) with the same Machine, Operation and Query", s.Name, o.Seed)
	}
	r.Numbers = Numbers{
		Seconds: seconds(res.Virtual), Took: seconds(time.Since(began)), Views: uint64(res.Views), Executed: uint64(res.Executed),
		Events: res.Events, Lies: res.Counters.Lies,
	}
	for _, answers := range p.log.answers {
		r.Numbers.Operations += len(answers)
	}
	p.tell(&r, res)
	p.verdicts(&r, res)
	r.judge()
	if o.Record {
		r.Picture = p.picture(r, res, &recorder)
	}
	return r
}

// executes returns an error where the application panicked in every operation: then it did
// not take part, and the scenario shows nothing of it.
func executes(s *Seen) error {
	if n := s.Counters.Panicked; n > 0 && n == s.Counters.Operations {
		return fmt.Errorf("all %d operations panicked, the first was %s", n, s.Panic)
	}
	return nil
}

// tell adds what was done and noticed.
func (p *Play) tell(r *Report, res sim.Result) {
	for _, n := range p.log.did {
		who, text := "", n.Text
		if n.Who >= 0 {
			who = replicaName(wire.ReplicaID(n.Who)) //nolint:gosec // not negative
		}
		r.Did = addEvent(r.Did, n.At, who, text)
	}
	for _, n := range p.log.noticed {
		if id := wire.ReplicaID(n.Who); res.Options.Byzantine[id] == nil { //nolint:gosec // not negative
			r.Noticed = addEvent(r.Noticed, n.At, replicaName(id), n.Text)
		}
	}
}

// verdicts adds the oracles' verdicts, and those on what is expected.
func (p *Play) verdicts(r *Report, res sim.Result) {
	for _, v := range res.Oracles {
		if v.Name == "script" {
			continue // whose words are those of the steps
		}
		verdict := verdictOf(v.Name, v.Checks, v.Err)
		verdict.Excused = p.Options.Excess && v.Name < "O8"
		verdict.Error = strings.TrimPrefix(verdict.Error, v.Name+": ")
		r.Oracles = append(r.Oracles, verdict)
	}
	for _, chain := range p.chains {
		p.judgeChain(r, chain)
	}
	for _, n := range p.nevers {
		r.Expected = append(r.Expected, verdictOf("never: "+n.what, 1, n.err))
	}
	seen := &Seen{Result: res, log: &p.log}
	for _, f := range p.finals {
		r.Expected = append(r.Expected, verdictOf(f.what, 1, f.check(seen)))
	}
	// What is wrong with the options no oracle tells, and of what the steps then miss it is the cause.
	if res.Violation != nil && !slices.ContainsFunc(res.Oracles, func(v sim.Verdict) bool { return v.Err != nil }) {
		r.Failures = append(r.Failures, res.Violation.Error())
	}
}

// judgeChain adds the verdicts on the steps of a script: of what comes after one
// that failed, nothing is known.
func (p *Play) judgeChain(r *Report, chain []*act) {
	broken := false
	for _, a := range chain {
		v := verdictOf(a.What, 1, a.err)
		switch {
		case a.held || a.err != nil:
		case broken:
			v.Held, v.Checks = false, 0
		default:
			v.Held, v.Error = false, fmt.Sprintf("not within %s", a.Within)
		}
		broken = broken || !a.held
		if a.What != "" || v.Error != "" {
			r.Expected = append(r.Expected, v)
		}
	}
}

func (p *Play) picture(r Report, res sim.Result, recorder *picture.Recorder) *picture.Picture {
	moments, missing := recorder.Moments(res.Violation != nil)
	out := &picture.Picture{
		Title:    r.Scenario,
		Lead:     []string{r.Faulty, "At stake: " + r.Stake + ". To be seen: " + r.Seen + "."},
		Replicas: p.Options.Replicas, Twins: p.Options.Twins, Clients: p.Options.Clients, Roles: p.roles,
		Verdicts: res.Oracles, Moments: moments, Missing: missing,
		Facts: [][2]string{
			{"seed", fmt.Sprint(r.Seed)},
			{"virtual time", fmt.Sprintf("%.3f s", r.Numbers.Seconds)},
			{"highest view", fmt.Sprint(r.Numbers.Views)},
			{"batches", fmt.Sprint(r.Numbers.Executed)},
			{"replay", r.Replay},
		},
	}
	for _, f := range r.Failures {
		out.Lead = append(out.Lead, "FAILED: "+f)
	}
	return out
}
