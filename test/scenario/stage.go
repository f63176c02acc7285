package scenario

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quorate/quorate/pbft"
	"github.com/quorate/quorate/pbft/wire"
	"github.com/quorate/quorate/test/cluster"
)

const (
	// realTimeMax bounds a real run: a machine that needs so long has another
	// trouble.
	realTimeMax = 2 * time.Minute
	// judgeTimeMax bounds the judgement of what was played.
	judgeTimeMax = time.Minute
	// realTimeout is T of real runs, and realInterval K.
	realTimeout  = time.Second
	realInterval = 16
	// stopTime bounds the wait for operations that are under way at the end.
	stopTime = 20 * time.Second
	// memoryMax is what a correct replica may use in any real run.
	memoryMax = 512 << 20
)

// Stage is a cluster of real processes on which a scenario is played.
type Stage struct {
	Cluster *cluster.Cluster
	// Load is the load on it, once there is one.
	Load *cluster.Load

	options Options
	report  *Report
	began   time.Time
	liars   map[int]string // what they play
	history *cluster.History
	orders  uint64 // given to networks
	damaged bool   // a network damages frames, of which their senders are blamed
}

// runReal plays s on real processes.
func (s Scenario) runReal(ctx context.Context, o Options) (Report, error) {
	playing, cancel := context.WithTimeout(ctx, realTimeMax)
	defer cancel()
	r := s.report(modeReal, o.Seed)
	stage := &Stage{options: o, report: &r, began: time.Now(), liars: map[int]string{}}
	err := s.Real(playing, stage)
	if stage.Cluster == nil {
		return r, fmt.Errorf("scenario %s: the cluster did not start: %w", s.Name, err)
	}
	if err != nil {
		stage.see("it could be played to its end", err)
	}
	judging, done := context.WithTimeout(ctx, judgeTimeMax)
	defer done()
	err = stage.end(judging)
	r.Numbers.Seconds = seconds(time.Since(stage.began))
	r.Numbers.Took = r.Numbers.Seconds
	r.judge()
	return r, err
}

// see adds a verdict, and tells whether it is good.
func (s *Stage) see(what string, err error) bool {
	s.report.Expected = append(s.report.Expected, verdictOf(what, 1, err))
	return err == nil
}

// did tells what somebody did.
func (s *Stage) did(who, format string, args ...any) {
	s.report.Did = addEvent(s.report.Did, time.Since(s.began), who, fmt.Sprintf(format, args...))
}

// start starts n replicas, of which some lie from their first message on.
func (s *Stage) start(ctx context.Context, n int, liars map[int]string) error {
	args := map[int][]string{}
	for id, strategy := range liars {
		args[id] = []string{"--adversary", strategy}
	}
	s.liars = liars
	return s.launch(ctx, n, args)
}

// launch starts n replicas with further arguments.
func (s *Stage) launch(ctx context.Context, n int, args map[int][]string) (err error) {
	s.Cluster, err = cluster.Start(ctx, cluster.Options{
		Binary: s.options.Binary, Dir: filepath.Join(s.options.Dir, "cluster"), Name: "scenario", Replicas: n,
		RequestTimeout: realTimeout, CheckpointInterval: realInterval, Purpose: pbft.PurposeTest, Args: args,
	})
	return err
}

// load starts the load.
func (s *Stage) load(ctx context.Context) (err error) {
	s.Load, err = s.Cluster.Load(ctx, cluster.LoadOptions{Seed: s.options.Seed})
	return err
}

// correct returns the replicas that do not lie.
func (s *Stage) correct() []wire.ReplicaID {
	var ids []wire.ReplicaID
	for i := range s.Cluster.Genesis().Replicas() {
		if s.liars[i] == "" {
			ids = append(ids, wire.ReplicaID(i)) //nolint:gosec // i < n
		}
	}
	return ids
}

// stop ends the load.
func (s *Stage) stop(ctx context.Context) {
	if s.Load == nil || s.history != nil {
		return
	}
	stop, cancel := context.WithTimeout(ctx, stopTime)
	defer cancel()
	h := s.Load.Stop(stop)
	s.history = &h
	s.report.Numbers.Operations = h.Acknowledged()
}

// end judges the run by what can be seen from outside, and ends the processes.
func (s *Stage) end(ctx context.Context) error {
	s.stop(ctx)
	s.measure(ctx)
	var errs []error
	for i := range s.liars {
		errs = append(errs, s.Cluster.Kill(i)) // what it says is worth nothing
	}
	s.prove(ctx)
	errs = append(errs, s.Cluster.Close())
	s.readLogs()
	s.audit(ctx)
	return errors.Join(errs...)
}

// measure asks the correct replicas where they are, and how much memory they
// took.
func (s *Stage) measure(ctx context.Context) {
	status, err := s.Cluster.Status(ctx)
	if err != nil {
		return
	}
	n, looked := &s.report.Numbers, 0
	for _, id := range s.correct() {
		if r := status[id].Report; r != nil {
			n.Views, n.Executed = max(n.Views, uint64(r.View)), max(n.Executed, uint64(r.Executed))
		}
		if most, ok := memoryOf(s.Cluster.PID(int(id))); ok {
			n.Memory = max(n.Memory, most)
			looked++
		}
	}
	err = nil
	if n.Memory > memoryMax {
		err = fmt.Errorf("a replica used %d MiB, more than %d", n.Memory>>20, memoryMax>>20)
	}
	s.report.Oracles = append(s.report.Oracles, verdictOf("O7 memory", looked, err))
}

// memoryOf returns the most memory that a process has used, where the system
// tells (Linux).
func memoryOf(pid int) (bytes uint64, ok bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(text)) {
		if rest, found := strings.CutPrefix(line, "VmHWM:"); found {
			kib, err := strconv.ParseUint(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return kib << 10, err == nil
		}
	}
	return 0, false
}

// prove proves, of the correct replicas, what their clients were promised.
func (s *Stage) prove(ctx context.Context) {
	if s.history == nil {
		return
	}
	proof, err := cluster.Prove(ctx, s.Cluster, *s.history)
	same, once := len(proof.Replicas), proof.Present+proof.Once
	if err != nil {
		s.report.Oracles = append(s.report.Oracles, verdictOf("O1–O6 promises", 1, err))
		return
	}
	s.report.Oracles = append(
		s.report.Oracles, verdictOf("O1–O3 same state", same, nil), verdictOf("O4 once, kept", once, nil),
		verdictOf("O5 linearizable", proof.Operations, nil), verdictOf("O6 answered", proof.Acknowledged, nil),
	)
}

// readLogs takes what liars told of themselves, and what others noticed, from
// what they printed. Times are not in it.
func (s *Stage) readLogs() {
	for i := range s.Cluster.Genesis().Replicas() {
		who, told := replicaName(wire.ReplicaID(i)), 0 //nolint:gosec // i < n
		for line := range strings.Lines(s.Cluster.Logs(i)) {
			if text, lies := strings.CutPrefix(line, "adversary: "); lies {
				told++
				s.report.Did = addEvent(s.report.Did, 0, who, strings.TrimSpace(text))
			} else if text := noticed(line); text != "" && s.liars[i] == "" {
				s.report.Noticed = addEvent(s.report.Noticed, 0, who, text)
				s.blames(who, line)
			}
		}
		if s.liars[i] == "" {
			continue
		}
		var err error
		if told == 0 {
			err = errors.New("it told of no lie")
		}
		s.see(who+" really plays "+s.liars[i], err)
	}
}

// blames makes it a failure if a line of a correct replica's log says of another
// correct one that it sent what no correct replica sends.
func (s *Stage) blames(who, line string) {
	_, text, found := strings.Cut(line, "MISBEHAVIOUR ")
	var peer int
	if _, err := fmt.Sscanf(text, "peer=%d", &peer); err != nil || !found || s.damaged || s.liars[peer] != "" ||
		!strings.Contains(text, " why=") {
		return
	}
	s.see("no correct replica is blamed for bad frames", fmt.Errorf("%s: %s", who, strings.TrimSpace(text)))
}

// noticed returns what a line of a replica's log tells of others, or nothing.
func noticed(line string) string {
	if at := strings.Index(line, "MISBEHAVIOUR peer="); at >= 0 {
		text := line[at:]
		for _, end := range []string{" view=", " why=", " seq=", " more="} {
			text, _, _ = strings.Cut(text, end)
		}
		return strings.TrimSpace(text)
	}
	if _, why, left := strings.Cut(line, "left the view"); left {
		_, why, _ = strings.Cut(why, "why=")
		why, _, _ = strings.Cut(why, " executed=")
		return "leaves a view: " + strings.Trim(strings.TrimSpace(why), `"`)
	}
	return ""
}

// audit lets the program find out who lied, from the directory of each correct
// replica alone and offline.
func (s *Stage) audit(ctx context.Context) {
	audits, genesis := 0, s.Cluster.GenesisPath()
	for _, id := range s.correct() {
		code, text, err := cluster.Run(ctx, s.options.Binary,
			"evidence", "audit", "--dir", s.Cluster.Dir(int(id)), "--genesis", genesis, "-o", "json")
		var found struct {
			Culprits []int `json:"culprits"`
		}
		if err == nil && code != 0 {
			err = fmt.Errorf("the audit of R%d's directory ended with code %d: %.200s", id, code, text)
		}
		if err == nil {
			err = json.Unmarshal([]byte(text), &found)
		}
		for _, culprit := range found.Culprits {
			if !slices.Contains(s.culprits(), culprit) {
				err = fmt.Errorf("the directory of R%d convicts R%d, which is correct", id, culprit)
			}
		}
		if err != nil {
			s.report.Oracles = append(s.report.Oracles, verdictOf("O9 accountability", 1, err))
			return
		}
		for _, culprit := range found.Culprits {
			s.report.Noticed = addEvent(s.report.Noticed, time.Since(s.began), replicaName(id),
				fmt.Sprintf("its directory convicts R%d", culprit))
		}
		audits++
	}
	s.report.Oracles = append(s.report.Oracles, verdictOf("O9 accountability", audits, nil))
}

// culprits returns who may be convicted.
func (s *Stage) culprits() []int {
	var ids []int
	for i := range s.liars {
		ids = append(ids, i)
	}
	return ids
}
