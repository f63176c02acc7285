package scenario

import (
	"cmp"
	"strings"
	"time"

	"github.com/quorate/quorate/pbft/wire"
	"github.com/quorate/quorate/test/sim"
)

// runLog is what a Play remembers of what happened.
type runLog struct {
	noted   map[wire.ReplicaID]int // what liars told of themselves
	answers [][]time.Duration      // when each client had an answer
	entered map[wire.View]time.Duration
	left    int
	started int // processes, the first time
	seen    map[int]bool
	did     []remark // by liars, and by the network, disks and clocks
	noticed []remark
	refused map[string]int // how often messages of "R0" were refused
	proven  map[string]int // and how often it was accused, "peer=0" of a kind of lie
}

// remark is something that a replica, or nobody (-1), did or noticed.
type remark struct {
	At   time.Duration
	Who  int
	Text string
}

func newRunLog(clients int) runLog {
	return runLog{
		noted: map[wire.ReplicaID]int{}, answers: make([][]time.Duration, clients), entered: map[wire.View]time.Duration{},
		seen: map[int]bool{}, refused: map[string]int{}, proven: map[string]int{},
	}
}

// watch takes a moment in.
func (l *runLog) watch(processes int, m sim.Moment) {
	switch m.What { //nolint:exhaustive // the others are of no interest
	case sim.Noted:
		l.noted[m.Replica]++
		l.did = remarkOf(l.did, m)
	case sim.Answered:
		l.answers[m.Node-processes] = append(l.answers[m.Node-processes], m.At)
	case sim.Faulted, sim.Crashed:
		l.did = remarkOf(l.did, m)
	case sim.Started:
		l.start(m.Node)
	case sim.LeftView, sim.EnteredView, sim.Observed, sim.Accused:
		l.noticed = remarkOf(l.noticed, m)
		l.observe(m)
	}
}

// observe counts what a replica noticed.
func (l *runLog) observe(m sim.Moment) {
	switch m.What { //nolint:exhaustive // the others are no observations
	case sim.EnteredView:
		if _, ok := l.entered[m.View]; !ok {
			l.entered[m.View] = m.At
		}
	case sim.LeftView:
		l.left++
	case sim.Accused:
		_, text, _ := strings.Cut(m.Text, "MISBEHAVIOUR ")
		lie, _, _ := strings.Cut(text, " view=")
		l.proven[lie]++
	case sim.Observed:
		if _, rest, ok := strings.Cut(m.Text, "refuses "); ok {
			_, from, _ := strings.Cut(rest, " from ")
			who, _, _ := strings.Cut(from, ":")
			l.refused[who]++
		}
	}
}

// remarksMax bounds each list of remarks.
const remarksMax = 4000

// remark adds a moment to a list.
func remarkOf(list []remark, m sim.Moment) []remark {
	who := -1
	if m.Node >= 0 {
		who = int(m.Replica)
	}
	if len(list) >= remarksMax {
		return list
	}
	return append(list, remark{m.At, who, cmp.Or(m.Text, string(m.What))})
}

// start counts a process that starts for the first time.
func (l *runLog) start(node int) {
	if !l.seen[node] {
		l.seen[node] = true
		l.started++
	}
}

// longestWait returns the longest time that a client was without an answer.
func (l *runLog) longestWait(client int) time.Duration {
	var longest, last time.Duration
	for _, at := range l.answers[client] {
		longest, last = max(longest, at-last), at
	}
	return longest
}

// rate returns how many answers a second all clients had from a time until the
// first of them had its last.
func (l *runLog) rate(from time.Duration) float64 {
	until := time.Duration(1 << 62)
	for _, answers := range l.answers {
		if len(answers) > 0 {
			until = min(until, answers[len(answers)-1])
		}
	}
	count := 0
	for _, answers := range l.answers {
		for _, at := range answers {
			if at > from && at <= until {
				count++
			}
		}
	}
	if until <= from {
		return 0
	}
	return float64(count) / (until - from).Seconds()
}
