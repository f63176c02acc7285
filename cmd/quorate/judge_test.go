package main

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// report is a healthy report of replica id in view 1 after 300 batches.
func report(id wire.ReplicaID, change func(*wire.Report)) pbft.ReplicaStatus {
	r := &wire.Report{
		Sender: id, View: 1, Active: true, Executed: 300, Stable: 256, StableState: crypto.Sum([]byte("256")),
		Checkpoint: 256, State: crypto.Sum([]byte("256")),
	}
	if change != nil {
		change(r)
	}
	return pbft.ReplicaStatus{Replica: id, Report: r}
}

func four(t *testing.T, changes map[wire.ReplicaID]func(*wire.Report)) health {
	t.Helper()
	q, err := core.NewQuorum(4)
	if err != nil {
		t.Fatal(err)
	}
	var status []pbft.ReplicaStatus
	for id := range wire.ReplicaID(4) {
		status = append(status, report(id, changes[id]))
	}
	return judge(status, q)
}

type changes = map[wire.ReplicaID]func(*wire.Report)

func TestJudgeFindsWhoDiverged(t *testing.T) {
	wrong := crypto.Sum([]byte("wrong"))
	for name, c := range map[string]struct {
		changes changes
		want    []wire.ReplicaID
	}{
		"all equal":   {nil, nil},
		"one differs": {changes{2: func(r *wire.Report) { r.State = wrong }}, []wire.ReplicaID{2}},
		"one behind with the same past": {changes{
			1: func(r *wire.Report) { r.Checkpoint, r.State = 128, crypto.Sum([]byte("128")) },
			2: func(r *wire.Report) {
				r.Checkpoint, r.State = 128, crypto.Sum([]byte("128"))
				r.Stable, r.StableState = 128, r.State
			},
		}, nil},
		"own state is not the stable one": {changes{
			3: func(r *wire.Report) {
				r.Checkpoint, r.Stable, r.State, r.StableState = 384, 384, wrong, crypto.Sum([]byte("384"))
			},
		}, []wire.ReplicaID{3}},
		"two disagree about a number that nobody else has": {changes{
			0: func(r *wire.Report) { r.Checkpoint, r.State = 384, wrong },
			3: func(r *wire.Report) { r.Checkpoint, r.State = 384, crypto.Sum([]byte("384")) },
		}, []wire.ReplicaID{0, 3}},
		"a liar about the stable state convicts nobody else": {changes{
			0: func(r *wire.Report) { r.StableState, r.State = wrong, wrong },
		}, []wire.ReplicaID{0}},
	} {
		t.Run(name, func(t *testing.T) {
			h := four(t, c.changes)
			if diff := cmp.Diff(h.diverged(), c.want); diff != "" {
				t.Errorf("diverged (-got +want):\n%s", diff)
			}
			if h.used() != len(c.want) {
				t.Errorf("used = %d, want %d", h.used(), len(c.want))
			}
		})
	}
}

func TestJudgeBelievesOnlyWeakQuorums(t *testing.T) {
	h := four(t, changes{
		0: func(r *wire.Report) { r.View, r.Executed = 1<<40, 1<<40 },
		3: func(r *wire.Report) { r.Executed = 290 },
	})
	if h.view != 1 || h.executed != 300 || h.replicas[3].behind != 10 || h.replicas[0].behind != 0 {
		t.Errorf("view %d, executed %d, replica 3 behind by %d, want 1, 300, 10", h.view, h.executed, h.replicas[3].behind)
	}
}

// testGenesis is of four replicas.
func testGenesis() *pbft.Genesis {
	return &pbft.Genesis{Name: "test", Limits: pbft.DefaultGenesisLimits(), Members: make([]pbft.GenesisReplica, 4)}
}

// division has a replica say that the given ones have another state than it.
func division(others ...wire.ReplicaID) func(*wire.Report) {
	return func(r *wire.Report) {
		r.Division = wire.Division{Seq: 384, Own: crypto.Digest{1}, States: []wire.OtherState{
			{State: crypto.Digest{2}, Replicas: others, More: 5, Keys: []wire.DifferingKey{{
				Part: wire.PartApplication, Key: []byte("mood\x1b"), KeyBytes: 5, Own: wire.ValueSize{Present: true, Bytes: 4},
			}}},
			{State: crypto.Digest{3}, Why: "\x1bno"},
		}}
	}
}

// mirror is division as those see it who have the second state.
func mirror(others ...wire.ReplicaID) func(*wire.Report) {
	return func(r *wire.Report) {
		division(others...)(r)
		d := &r.Division
		d.Own, d.States = d.States[0].State, d.States[:1]
		d.States[0].State, d.States[0].Keys[0].Other = crypto.Digest{1}, d.States[0].Keys[0].Own
		d.States[0].Keys[0].Own = wire.ValueSize{}
	}
}

// unknown has a replica know no keys.
func unknown(change func(*wire.Report)) func(*wire.Report) {
	return func(r *wire.Report) {
		change(r)
		for i := range r.Division.States {
			s := &r.Division.States[i]
			s.Keys, s.More, s.Why = nil, 0, "not yet"
		}
	}
}

// past has the checkpoint of change be stable meanwhile.
func past(change func(*wire.Report)) func(*wire.Report) {
	return func(r *wire.Report) {
		change(r)
		r.Stable, r.Checkpoint = 512, 512
	}
}

func replaced(r *wire.Report) {
	division(0)(r)
	r.Division.Replaced = true
}

// TestStatusTellsProgramsOfDifferingKeys holds the JSON of a division.
func TestStatusTellsProgramsOfDifferingKeys(t *testing.T) {
	genesis := testGenesis()
	var out bytes.Buffer
	console := &console{out: &out, err: &out, format: "json", started: true}
	_ = showStatus(console, genesis, four(t, changes{0: division(1, 3), 2: division(1, 3)}))
	for _, want := range []string{
		`"divided": 384`,
		`"replicas": [
              1,
              3
            ],`,
		`"key_hex": "6d6f6f641b",
                "key_bytes": 5,
                "own_bytes": 4,
                "other_bytes": null
              }
            ],
            "more": 5
          },`,
		`"replicas": [],`,
		`"name": "application key \"mood\\x1b\""`,
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("output lacks %s:\n%s", want, out.String())
		}
	}
	if got := strings.Count(out.String(), `"division"`); got != 2 {
		t.Errorf("%d replicas have a division, want the 2 that tell of one", got)
	}
}

// TestTheExampleOfADivisionIsWhatStatusPrints has four replicas report that of OPERATIONS.md,
// as those do of which each heard of the others so far.
func TestTheExampleOfADivisionIsWhatStatusPrints(t *testing.T) {
	const client = 0x7bd1
	result := binary.BigEndian.AppendUint16(nil, client)
	result = append(result, make([]byte, len(wire.ClientID{})-len(result))...)
	result = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(result, 1), 8)
	key := func(part wire.StatePart, key []byte, own, other uint32) wire.DifferingKey {
		return wire.DifferingKey{
			Part: part, Key: key, KeyBytes: uint32(len(key)), //nolint:gosec // short
			Own: wire.ValueSize{Present: true, Bytes: own}, Other: wire.ValueSize{Present: true, Bytes: other},
		}
	}
	states := [2]crypto.Digest{{0x5b, 0x71, 0xd8, 0x76}, {0xac, 0x87, 0xd4, 0xdc}}
	lengths := [2]struct{ mood, result uint32 }{{4, 13}, {3, 15}}
	says := func(own int, others ...wire.ReplicaID) func(*wire.Report) {
		l, o := lengths[own], lengths[1-own]
		return func(r *wire.Report) {
			r.Stable, r.Checkpoint, r.State = 0, 256, states[own]
			r.Division = wire.Division{Seq: 256, Own: states[own], States: []wire.OtherState{{
				State: states[1-own], Replicas: others, Keys: []wire.DifferingKey{
					key(wire.PartApplication, []byte("mood"), l.mood, o.mood), key(wire.PartResults, result, l.result, o.result),
					key(wire.PartOrder, []byte("outputs"), 120, 120),
				},
			}}}
		}
	}
	var out bytes.Buffer
	_ = showStatus(&console{out: &out, err: &out, format: "table", started: true}, testGenesis(),
		four(t, changes{0: says(0, 1), 1: says(1, 2), 2: says(0, 1, 3), 3: says(1, 0)}))
	_, lines, _ := strings.Cut(out.String(), "\ncheckpoint ")
	lines = strings.Replace("checkpoint "+lines, hex.EncodeToString(result[:len(wire.ClientID{})]), "7bd1...", 1)
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "OPERATIONS.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, want, _ := strings.Cut(string(text), "```\n   checkpoint ")
	want, _, _ = strings.Cut("   checkpoint "+want, "   ```")
	if diff := cmp.Diff(lines, strings.ReplaceAll(want[3:], "\n   ", "\n")); diff != "" {
		t.Errorf("the example (-got +want):\n%s", diff)
	}
}

func TestStatusSaysWhatIsUsedAndMissing(t *testing.T) {
	genesis := testGenesis()
	gone := func(h health, ids ...int) health {
		for _, id := range ids {
			h.replicas[id].Report, h.replicas[id].Err = nil, errors.New("connection\nrefused")
		}
		return h
	}
	for name, c := range map[string]struct {
		h    health
		want []string
		code int
	}{
		"healthy": {four(t, nil), []string{"tolerates f = 1, 0 used\n", "1        primary  1     300       256"}, exitDone},
		"one gone": {
			gone(four(t, nil), 3),
			[]string{"1 used", "3        silent", "connection refused"},
			exitDone,
		},
		"two gone": {gone(four(t, nil), 2, 3), []string{"2 used; NO QUORUM: 2 of 4 replicas serve, 3 are needed"}, exitUnreachable},
		"diverged": {
			four(t, changes{2: func(r *wire.Report) { r.State = crypto.Digest{1} }}),
			[]string{"1 used; DIVERGED: replicas 2", "DIVERGED\n"},
			exitFailure,
		},
		"rejoining": {
			four(t, changes{0: func(r *wire.Report) { r.Silent = true }, 1: func(r *wire.Report) { r.Silent = true }}),
			[]string{"2 used; NO QUORUM", "0        rejoining  1", "2 of 4 replicas answered and vote"},
			exitUnreachable,
		},
		"divided": {
			four(t, changes{0: division(1), 1: mirror(2), 2: division(1, 3), 3: mirror(2)}),
			[]string{
				"DIVIDED: no quorum has one state of checkpoint 384\n",
				"\ncheckpoint 384: state 01000000 of replicas 0 2 differs from 02000000 of replicas 1 3\n" +
					`  application key "mood\x1b": 4 B here, none there` + "\n  and 5 more at least\n" +
					"checkpoint 384: state 01000000 of replicas 0 2 differs from 03000000; keys not known: \"\\x1bno\"\nquorate:",
			},
			exitFailure,
		},
		"divided, and one does not answer": {
			gone(four(t, changes{0: division(1), 2: division(1, 3), 3: division(1)}), 1),
			[]string{"\ncheckpoint 384: state 01000000 of replicas 0 2 3 differs from 02000000 of replicas 1\n"},
			exitFailure,
		},
		"divided, and one side does not know where": {
			four(t, changes{0: unknown(division(1)), 1: mirror(0), 2: unknown(division(1)), 3: mirror(2)}),
			[]string{
				"\ncheckpoint 384: state 01000000 of replicas 0 2 differs from 03000000; keys not known: not yet\n" +
					"checkpoint 384: state 02000000 of replicas 1 3 differs from 01000000 of replicas 0 2\n" +
					`  application key "mood\x1b": none here, 4 B there` + "\n  and 5 more at least\nquorate:",
			},
			exitFailure,
		},
		"divided, and one says it otherwise": {
			four(t, changes{0: division(1), 1: mirror(2), 2: division(1), 3: func(r *wire.Report) {
				mirror(0, 2)(r)
				r.Division.States[0].Keys[0].Other.Bytes++
			}}),
			[]string{
				"\ncheckpoint 384: state 01000000 of replicas 0 2 differs from 02000000 of replicas 1 3, as told by replicas 0 1 2\n",
				"\ncheckpoint 384: state 02000000 of replicas 1 3 differs from 01000000 of replicas 0 2, as told by replicas 3\n" +
					`  application key "mood\x1b": none here, 5 B there` + "\n",
			},
			exitFailure,
		},
		"one says that it is divided": {
			four(t, changes{0: division(1, 3)}),
			[]string{"f = 1, 0 used\n", "\ncheckpoint 384: state 01000000 of replicas 0 differs from"},
			exitDone,
		},
		"divided once": {
			four(t, changes{0: past(division(1)), 1: past(division(1)), 2: past(division(1)), 3: past(division(1))}),
			[]string{"f = 1, 0 used\n", "\ncheckpoint 384: state 01000000 of replicas 0 1 2 3 differs from"},
			exitDone,
		},
		"replaced": {
			four(t, changes{1: replaced, 2: replaced}),
			[]string{"f = 1, 0 used\n", "of replicas 1 2 differs from 02000000 of replicas 0, was wrong and is replaced\n"},
			exitDone,
		},
		"replaced, as the others see it": {
			four(t, changes{1: mirror(2), 2: replaced, 3: func(r *wire.Report) { r.Checkpoint, r.State = 384, crypto.Digest{2} }}),
			[]string{"\ncheckpoint 384: state 01000000 of replicas 2 differs from 02000000 of replicas 0 1 3, was wrong and is replaced\n"},
			exitDone,
		},
		"changing view": {
			four(t, changes{0: func(r *wire.Report) { r.Active = false }}),
			[]string{"1 used", "changing view"},
			exitDone,
		},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			console := &console{out: &out, err: &out, format: "table", started: true}
			if code := console.explain(showStatus(console, genesis, c.h)); code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			for _, want := range c.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("output lacks %q:\n%s", want, out.String())
				}
			}
		})
	}
}
