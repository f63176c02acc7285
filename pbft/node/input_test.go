package node

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	logging "github.com/ipfs/go-log/v2"

	"github.com/quorate/quorate/app"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// thermometer answers with the input of the batch.
type thermometer struct {
	propose func() ([]byte, error)
	check   func(input []byte) error
}

func (m *thermometer) Execute(tx *app.Tx, op []byte) []byte {
	if key, is := strings.CutPrefix(string(op), "recall "); is {
		value, _ := tx.Get(key)
		return value
	}
	tx.Put(string(op), tx.Input())
	return tx.Input()
}
func (m *thermometer) ProposeInput() ([]byte, error) { return m.propose() }
func (m *thermometer) CheckInput(input []byte) error { return m.check(input) }

func reads(input string) func() ([]byte, error) {
	return func() ([]byte, error) { return []byte(input), nil }
}

func accepts([]byte) error { return nil }

func refuses([]byte) error { return errors.New("nobody reads that") }

// thermometers gives every member one.
func thermometers(t *testing.T, of func(i int) *thermometer) *members {
	t.Helper()
	m := newMembers(t, 4)
	for i := range m.configs {
		m.configs[i].Machine = of(i)
	}
	return m
}

func TestAllExecuteWithTheInputOfThePrimary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := thermometers(t, func(i int) *thermometer { return &thermometer{reads("read by " + string(rune('0'+i))), accepts} })
		m.startAll()
		if got, want := m.caller(1).call([]int{0, 1, 2, 3}, 4, "a"), "0 read by 0"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		m.stopAll()
	})
}

// TestAPrimaryWithoutGoodInputIsReplaced holds that a primary loses its office, and the
// next one serves, if its application has no input, or one that the others refuse.
func TestAPrimaryWithoutGoodInputIsReplaced(t *testing.T) {
	for name, of := range map[string]thermometer{
		"an error":      {func() ([]byte, error) { return nil, errors.New("no such sensor") }, accepts},
		"a bad error":   {func() ([]byte, error) { return nil, panicking{} }, accepts},
		"a panic":       {func() ([]byte, error) { panic("no such sensor") }, accepts}, //nolint:forbidigo // it is what the test is about
		"too much":      {reads(strings.Repeat("x", app.InputBytesMax+1)), accepts},
		"refused":       {reads("hot"), refuses},
		"a check fails": {reads("hot"), func([]byte) error { panic("no such sensor") }}, //nolint:forbidigo // it is what the test is about
		"a bad refusal": {reads("hot"), func([]byte) error { return panicking{} }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := thermometers(t, func(i int) *thermometer {
					if i == 0 {
						return &thermometer{of.propose, accepts}
					}
					return &thermometer{reads("cold"), func(input []byte) error {
						if string(input) == "cold" {
							return nil
						}
						return of.check(input)
					}}
				})
				m.startAll()
				if got, want := m.caller(1).call([]int{0, 1, 2, 3}, 3, "a"), "0 cold"; got != want {
					t.Errorf("got %q, want %q", got, want)
				}
				if view := m.nodes[1].Report().View; view == 0 {
					t.Error("the primary without input is still in office")
				}
				m.stopAll()
				if !m.nodes[0].inputs.lacks && !m.nodes[1].inputs.refuses {
					t.Error("neither the primary nor a backup was warned of it")
				}
			})
		})
	}
}

// TestWhoHasNoInputIsAskedOnceATick has several turns end in a tick, and a batch to be proposed
// in each of them.
func TestWhoHasNoInputIsAskedOnceATick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, ticks, turns := 0, 0, 0
		m := thermometers(t, func(int) *thermometer {
			return &thermometer{func() ([]byte, error) { asked++; return nil, errors.New("no such sensor") }, accepts}
		})
		_, ended, cancel := runScripted(t, m, &fakeEngine{proposes: true, step: func(ev core.Event, fx *core.Effects) {
			if _, is := ev.(core.TurnEnded); is {
				turns++
				return
			}
			if _, is := ev.(core.Tick); is {
				ticks++
			}
			if turns < 5*ticks {
				fx.Send = append(fx.Send, core.Send{To: 0, Message: vote(1)}) // its return makes a turn
			}
		}})
		<-time.After(time.Second)
		cancel()
		endsCleanly(t, ended)
		if asked < 10 || asked > ticks+1 || turns < 3*ticks {
			t.Errorf("asked %d times in %d ticks and %d turns, want once a tick", asked, ticks, turns)
		}
	})
}

// TestAnInputSurvivesRestarts holds that a batch which is executed again after a crash
// has the input that it had.
func TestAnInputSurvivesRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := thermometers(t, func(int) *thermometer { return &thermometer{reads("before"), accepts} })
		m.startAll()
		one := m.caller(1)
		one.call([]int{0, 1, 2, 3}, 4, "a")
		m.stopAll()
		for i := range m.configs {
			m.configs[i].Machine = &thermometer{reads("after"), accepts}
			m.configs[i].Records = m.journals[i].durable()
			m.states[i] = newFakeState() // its last snapshot is that of number 0
			m.configs[i].State = m.states[i]
			m.start(i)
		}
		if got := one.call([]int{0, 1, 2, 3}, 4, "recall a"); got != "0 before" {
			t.Errorf("got %q, want what was read before the restart", got)
		}
		if got := one.call([]int{0, 1, 2, 3}, 4, "b"); got != "0 after" {
			t.Errorf("got %q, want what was read after it", got)
		}
		m.stopAll()
	})
}

func TestProposeReturnsWhatIsTheCallersAlone(t *testing.T) {
	mine := []byte("read")
	got, err := Propose(&thermometer{propose: func() ([]byte, error) { return mine, nil }})
	if err != nil {
		t.Fatal(err)
	}
	mine[0] = 'd'
	if string(got) != "read" {
		t.Errorf("got %q, want what was proposed", got)
	}
	if wire.InputBytesMax != app.InputBytesMax {
		t.Errorf("a batch has room for %d bytes of input, the application may propose %d", wire.InputBytesMax, app.InputBytesMax)
	}
}

func TestOnlyProposalsAreChecked(t *testing.T) {
	none := &thermometer{check: refuses}
	batch := &wire.Batch{Time: 1, Input: bytes.Repeat([]byte("x"), 3), Requests: []*wire.Request{{Number: 1, Ops: [][]byte{{1}}}}}
	proposal := wire.Reseal(&wire.PrePrepare{Vote: wire.Vote{Seq: 1, Digest: batch.Digest()}, Batch: batch})
	if why := Unfit(none, proposal); why != "nobody reads that" {
		t.Errorf("a proposal: got %q, want what the application says", why)
	}
	if why := Unfit(none, wire.Reseal(&wire.BatchBody{Batch: batch})); why != "" {
		t.Errorf("a batch that was accepted before: got %q, want nothing", why)
	}
	if why := Unfit(nil, proposal); why != "" {
		t.Errorf("an application without inputs: got %q, want nothing: the core refuses", why)
	}
	for what, unspeakable := range map[string]error{
		"nothing": errors.New(""), "what is no text": fmt.Errorf("%s is no reading", bytes.Repeat([]byte{0xff}, 300)),
	} {
		if why := Unfit(&thermometer{check: func([]byte) error { return unspeakable }}, proposal); why == "" {
			t.Errorf("an error that says %s: got none, want a refusal", what)
		}
	}
	wordy := &thermometer{check: func([]byte) error { return errors.New("a" + strings.Repeat("é", 1<<20)) }}
	if why := Unfit(wordy, proposal); len(why) > 256 || !strings.HasPrefix(why, "aé") || !utf8.ValidString(why) {
		t.Errorf("a long reason: got %d bytes, want the beginning: it waits with the proposal, and is logged", len(why))
	}
}

// TestOneWarningForARowOfRefusedInputs has a primary propose unfit inputs in a row, and then
// change between fit and unfit ones without end.
func TestOneWarningForARowOfRefusedInputs(t *testing.T) {
	n := judge(t, refuses)
	lines := logged(t, func() {
		for range 100 {
			n.reportUnfit(core.Refused{Kind: wire.KindPrePrepare, Why: "its batch is empty"})
			n.reportUnfit(refusedInput)
		}
	})
	if len(lines) != 1 || !strings.Contains(lines[0], "nobody reads that") || !strings.Contains(lines[0], "primary=0 view=0") {
		t.Errorf("got %q, want one line, with the reason", lines)
	}
	lines = logged(t, func() {
		for range 100 {
			n.reportUnfit(core.Accepted{})
			n.reportUnfit(refusedInput)
		}
	})
	if len(lines) < 2 || len(lines) > 2*warningsMax || !strings.Contains(lines[0], "again") {
		t.Errorf("got %d lines, of which the first is %q, want few, and the first to end the warning", len(lines), lines[0])
	}
}

// TestPanicsAboutInputsAreLogged holds that the log has what an application panicked with,
// and where, a few times.
func TestPanicsAboutInputsAreLogged(t *testing.T) {
	n := judge(t, func([]byte) error { return breaks("no such sensor") })
	batch := &wire.Batch{Time: 1, Requests: []*wire.Request{{Number: 1, Ops: [][]byte{{1}}}}}
	proposal := wire.Reseal(&wire.PrePrepare{Vote: wire.Vote{Seq: 1, Digest: batch.Digest()}, Batch: batch})
	lines := logged(t, func() {
		for range 100 {
			if why := n.unfit(proposal); why != "checking it panicked: no such sensor" {
				t.Errorf("it is refused with %q, want what the check panicked with", why)
			}
		}
	})
	if len(lines) == 0 || len(lines) > warningsMax || !strings.Contains(lines[0], "no such sensor") || !strings.Contains(lines[0], "node.breaks") {
		t.Errorf("got %d lines, the first is %q, want few, with value and stack", len(lines), lines[0])
	}
	_, err := Propose(&thermometer{propose: func() ([]byte, error) { return nil, breaks("no such meter") }})
	lines = logged(t, func() {
		for range 100 {
			n.reportInput(err)
			n.reportInput(nil)
		}
	})
	if len(lines) == 0 || len(lines) > 2*warningsMax || !strings.Contains(lines[0], "no such meter") || !strings.Contains(lines[0], "node.breaks") {
		t.Errorf("got %d lines, the first is %q, want few, with value and stack", len(lines), lines[0])
	}
}

// TestPanicsOfValidatorsAreLogged holds the same of one that validates operations, whatever a
// client chooses.
func TestPanicsOfValidatorsAreLogged(t *testing.T) {
	n := judge(t, accepts)
	n.cfg.Machine = &quitter{validate: func([]byte) error { return breaks("no such account") }}
	lines := logged(t, func() {
		for range 100 {
			if why := n.invalid([][]byte{{1}}); why != "operation 0: validation panicked: no such account" {
				t.Errorf("it is refused with %q, want what the validator panicked with", why)
			}
		}
	})
	if len(lines) == 0 || len(lines) > warningsMax || !strings.Contains(lines[0], "no such account") || !strings.Contains(lines[0], "node.breaks") {
		t.Errorf("got %d lines, the first is %q, want few, with value and stack", len(lines), lines[0])
	}
}

// warningsMax is how many warnings of one kind may come in a test: what a bucket has gained
// since the first is worth one.
const warningsMax = warningsBurst + 1

func breaks(why string) error { panic(why) } //nolint:forbidigo // it is what the test is about

var refusedInput = core.Refused{Kind: wire.KindPrePrepare, Why: "the application does not accept its input: nobody reads that"}

// judge returns a node with an application that checks inputs so.
func judge(t *testing.T, check func([]byte) error) *Node {
	t.Helper()
	m := thermometers(t, func(int) *thermometer { return &thermometer{reads("cold"), check} })
	n, err := New(m.configs[1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// logged returns what run logs, from level warn on, line by line.
func logged(t *testing.T, run func()) []string {
	t.Helper()
	const name = "pbft/node"
	logging.Logger(name) // or there may be none yet
	level, err := logging.SubsystemLevelName(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := logging.SetLogLevel(name, "warn"); err != nil {
		t.Fatal(err)
	}
	pipe := logging.NewPipeReader()
	all := make(chan []string, 1)
	go func() {
		var lines []string
		for s := bufio.NewScanner(pipe); s.Scan(); {
			lines = append(lines, s.Text())
		}
		all <- lines
	}()
	run()
	if err := errors.Join(pipe.Close(), logging.SetLogLevel(name, level)); err != nil {
		t.Error(err)
	}
	return <-all
}
