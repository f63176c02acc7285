package scenario

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/pbft/wire"
	"github.com/quorate/quorate/test/picture"
)

// Report is what came of a scenario. Its JSON names do not change.
type Report struct {
	Scenario string `json:"scenario"`
	Faulty   string `json:"faulty"`
	Stake    string `json:"stake"`
	Seen     string `json:"seen"`
	// Mode is sim or real.
	Mode   string `json:"mode"`
	Seed   uint64 `json:"seed"`
	Passed bool   `json:"passed"`
	// Failures says why it did not pass.
	Failures []string `json:"failures"`
	// Did is what the faulty party told of itself, and Noticed what the others
	// did, both bounded and with repetitions counted.
	Did     []Event `json:"did"`
	Noticed []Event `json:"noticed"`
	// Oracles are the verdicts on what must hold in every scenario, Expected on
	// what this one must show.
	Oracles  []Verdict `json:"oracles"`
	Expected []Verdict `json:"expected"`
	Numbers  Numbers   `json:"numbers"`
	// Replay is the command that plays it again, or, with an application of your own, what
	// plays it in Go.
	Replay string `json:"replay"`
	// Picture is the run as a picture, if Options.Record was set; nil otherwise,
	// and of real runs.
	Picture *picture.Picture `json:"-"`
}

// Event is something that somebody did or noticed.
type Event struct {
	// Seconds is when, since the start; it is missing where nobody knows.
	Seconds float64 `json:"at_s,omitempty"`
	// Who is R0 and up, or empty.
	Who  string `json:"who"`
	Text string `json:"text"`
	// Times is how often the like happened.
	Times int `json:"times"`
}

// Verdict is whether something holds.
type Verdict struct {
	Name string `json:"name"`
	// Checks is how often it was looked at; without any nothing is known.
	Checks int  `json:"checks"`
	Held   bool `json:"held"`
	// Excused says that it may be broken, as more than f replicas lie.
	Excused bool   `json:"excused,omitempty"`
	Error   string `json:"error,omitempty"`
}

// Numbers measure a run.
type Numbers struct {
	// Seconds is the virtual time of a simulated run, and the time of a real one.
	Seconds float64 `json:"seconds"`
	// Took is how long it took to play, in seconds.
	Took       float64 `json:"took_s"`
	Views      uint64  `json:"highest_view"`
	Executed   uint64  `json:"batches"`
	Operations int     `json:"operations"`
	Events     int     `json:"events,omitempty"`
	Lies       int     `json:"lies,omitempty"`
	// Memory is the most that the processes of a real run used, in bytes.
	Memory uint64 `json:"memory_max_bytes,omitempty"`
}

func (s Scenario) report(mode string, seed uint64) Report {
	r := Report{
		Scenario: s.Name, Faulty: s.Faulty, Stake: s.Stake, Seen: s.Seen, Mode: mode, Seed: seed,
		Failures: []string{}, Did: []Event{}, Noticed: []Event{}, Oracles: []Verdict{}, Expected: []Verdict{},
		Replay: fmt.Sprintf("quorate scenario run %s --seed %d", s.Name, seed),
	}
	if mode == modeReal {
		r.Replay = fmt.Sprintf("quorate scenario run %s --real --seed %d", s.Name, seed)
	}
	return r
}

func verdictOf(name string, checks int, err error) Verdict {
	v := Verdict{Name: name, Checks: checks, Held: err == nil && checks > 0}
	if err != nil {
		v.Error = shortened(err)
	}
	return v
}

// errorBytesMax bounds the text of an error in a report: errors of real processes
// bring their logs along.
const errorBytesMax = 400

func shortened(err error) string {
	text, _, more := strings.Cut(err.Error(), "\n")
	if len(text) > errorBytesMax {
		text, more = text[:errorBytesMax], true
	}
	if more {
		text += " …"
	}
	return text
}

// judge sets Passed by the verdicts.
func (r *Report) judge() {
	for _, v := range slices.Concat(r.Oracles, r.Expected) {
		if v.Error != "" && !v.Excused {
			r.Failures = append(r.Failures, v.Name+": "+v.Error)
		}
	}
	for _, v := range r.Expected {
		if v.Error == "" && !v.Held {
			r.Failures = append(r.Failures, v.Name+": it was never looked at")
		}
	}
	r.Passed = len(r.Failures) == 0
}

// eventsMax bounds each list of events.
const eventsMax = 60

// addEvent adds an event, or counts it with one that says the like.
func addEvent(list []Event, at time.Duration, who, text string) []Event {
	like := withoutNumbers(text)
	for i := range list {
		if list[i].Who == who && withoutNumbers(list[i].Text) == like {
			list[i].Times++
			return list
		}
	}
	if len(list) >= eventsMax {
		return list
	}
	return append(list, Event{seconds(at), who, text, 1})
}

// withoutNumbers returns a text in which numbers and digests are alike.
func withoutNumbers(text string) string {
	out, word := []byte{}, []byte{}
	flush := func() {
		if slices.ContainsFunc(word, func(b byte) bool { return b >= '0' && b <= '9' }) && !isReplica(word) {
			word = []byte("#")
		}
		out = append(out, word...)
		word = word[:0]
	}
	for _, b := range []byte(text) {
		if b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' {
			word = append(word, b)
			continue
		}
		flush()
		out = append(out, b)
	}
	flush()
	return string(out)
}

// isReplica tells whether a word is the name of a replica.
func isReplica(word []byte) bool { return len(word) > 1 && len(word) < 4 && word[0] == 'R' }

func seconds(d time.Duration) float64 {
	return float64(d.Round(time.Microsecond)) / float64(time.Second)
}

func replicaName(id wire.ReplicaID) string { return fmt.Sprintf("R%d", id) }
