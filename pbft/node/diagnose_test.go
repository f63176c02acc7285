package node

import (
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/quorate/quorate/app"
	"github.com/quorate/quorate/checkpoint"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// foul is a key that would write on a terminal what it likes.
const foul = "\x1b[2J\xff"

// swayed is a machine whose bad instances write, answer and emit something else.
type swayed struct{ bad bool }

// Execute writes many keys alike, and some not.
func (m swayed) Execute(tx *app.Tx, op []byte) []byte {
	n := tx.Uint64("n") + 1
	tx.PutUint64("n", n)
	for i := range byte(60) {
		tx.Put("same/"+string('0'+i), append(make([]byte, 200), op...))
	}
	tx.Put("mood", []byte("good"))
	if !m.bad {
		return []byte("good")
	}
	tx.Put("mood", []byte("bad"))
	tx.Put(foul, nil)
	if n%8 == 1 {
		tx.Emit([]byte("bad"))
	}
	return []byte("so bad")
}

// onStores gives the members real states, and the machine, bad where that says so.
func (m *members) onStores(bad ...bool) []*checkpoint.Store {
	stores := make([]*checkpoint.Store, len(m.configs))
	for i := range m.configs {
		stores[i] = checkpoint.OpenMemory()
		m.configs[i].State, m.configs[i].Core.StateZero = stores[i], checkpoint.EmptyRoot()
		m.configs[i].Machine = swayed{bad[i]}
	}
	return stores
}

// fill has the members execute ops operations, each of which is answered alike by as many
// as that.
func (m *members) fill(ops wire.Seq, alike int) *caller {
	c := m.caller(1)
	c.repeat(ops, alike)
	return c
}

func (c *caller) repeat(ops wire.Seq, alike int) {
	c.m.t.Helper()
	for range ops {
		c.call([]int{0, 1, 2, 3}, alike, "op")
	}
}

// swayedKeys are the keys at which the states of a good and a bad replica differ after a
// checkpoint, seen from the good one.
func swayedKeys(c *caller) []wire.DifferingKey {
	value := func(n uint32) wire.ValueSize { return wire.ValueSize{Present: true, Bytes: n} }
	client := c.key.Public()
	result := resultID{client, 1, c.number}.key()[len(resultPrefix):]
	return []wire.DifferingKey{
		{Part: wire.PartApplication, Key: []byte(foul), KeyBytes: uint32(len(foul)), Other: value(0)},
		{Part: wire.PartApplication, Key: []byte("mood"), KeyBytes: 4, Own: value(4), Other: value(3)},
		{
			Part: wire.PartOutputs, Key: outputKey(1)[len(outputPrefix):], KeyBytes: 8, Other: value(emittedFixedBytes + 3),
		},
		{
			Part: wire.PartResults, Key: result, KeyBytes: uint32(len(result)),
			Own: value(recordFixedBytes + 4), Other: value(recordFixedBytes + 6),
		},
		{Part: wire.PartOrder, Key: []byte("outputs"), KeyBytes: 7, Own: value(metaBytes), Other: value(metaBytes)},
	}
}

// turned returns keys as the other side sees them.
func turned(keys []wire.DifferingKey) []wire.DifferingKey {
	keys = slices.Clone(keys)
	for i := range keys {
		keys[i].Own, keys[i].Other = keys[i].Other, keys[i].Own
	}
	return keys
}

// diagnosed tells whether a report says of all other states at which keys they differ, or
// why that is not known.
func diagnosed(r wire.Report) bool {
	pending := func(s wire.OtherState) bool { return s.Why == whyNotYet }
	return r.Division.Seq > 0 && !slices.ContainsFunc(r.Division.States, pending)
}

func (m *members) awaitDiagnoses(ids ...int) {
	m.t.Helper()
	m.await("what the states differ in", func() bool {
		return !slices.ContainsFunc(ids, func(i int) bool { return !diagnosed(m.nodes[i].Report()) })
	})
}

// TestDividedReplicasNameTheKeys has two replicas of four write something else: each of
// them names exactly the keys, of the first checkpoint at which the states differ, and
// goes on doing so, also after a restart. The cluster stands still as it did.
func TestDividedReplicasNameTheKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMembers(t, 4)
		stores := m.onStores(false, true, false, true)
		m.startAll()
		defer m.stopAll()
		interval := m.configs[0].Core.Interval
		c := m.fill(interval, 2)
		want := swayedKeys(c)
		m.awaitDiagnoses(0, 1, 2, 3)
		roots := [2]crypto.Digest{m.nodes[0].Report().State, m.nodes[1].Report().State}
		check := func() {
			t.Helper()
			for i, n := range m.nodes {
				d := wire.Division{Seq: interval, Own: roots[i%2], States: []wire.OtherState{{
					State: roots[1-i%2], Replicas: []wire.ReplicaID{wire.ReplicaID(1 - i%2), wire.ReplicaID(3 - i%2)}, Keys: want,
				}}}
				if i%2 == 1 {
					d.States[0].Keys = turned(want)
				}
				r := n.Report()
				if diff := cmp.Diff(r.Division, d); diff != "" || r.Stable != 0 {
					t.Errorf("replica %d with the stable checkpoint %d (-got +want):\n%s", i, r.Stable, diff)
				}
			}
		}
		check()
		if err := m.stop[0](); err != nil {
			t.Fatal(err)
		}
		next, err := stores[0].Reopen()
		if err != nil {
			t.Fatal(err)
		}
		m.configs[0].State, m.configs[0].Records = next, m.journals[0].durable()
		m.start(0)
		m.awaitDiagnoses(0)
		check()
		c.repeat(m.configs[0].Core.Window-interval, 2) // to its end
		synctest.Wait()
		for i := range m.nodes {
			if !m.saw(i, func(o core.Observation) bool {
				d, is := o.(core.Divided)
				return is && d.Seq == m.configs[0].Core.Window
			}) {
				t.Errorf("replica %d saw no division at the end of the window: the test tests nothing", i)
			}
		}
		check()
	})
}

// TestNobodyIsBelievedAboutHisPages has one of the two replicas that have the other state
// lie, lack its pages, or say nothing: the other one is asked.
func TestNobodyIsBelievedAboutHisPages(t *testing.T) {
	garble := func(m *wire.Piece) [][]byte {
		return [][]byte{wire.Encode(&wire.Piece{Root: m.Root, Data: append(slices.Clone(m.Data), 0)})}
	}
	for name, c := range map[string]struct {
		spoil func(m *wire.Piece) [][]byte
		liar  bool
	}{
		"lies":  {garble, true},
		"lacks": {func(m *wire.Piece) [][]byte { return [][]byte{wire.Encode(&wire.Piece{Root: m.Root})} }, false},
		"mute":  {func(*wire.Piece) [][]byte { return nil }, false},
		"floods": {func(m *wire.Piece) [][]byte {
			f := wire.Encode(m)
			return [][]byte{f, f, f}
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMembers(t, 4)
				m.onStores(false, true, false, true)
				m.hub.tamper(m.piecesOf(func(from wire.ReplicaID) bool { return from == 1 }, c.spoil))
				m.startAll()
				defer m.stopAll()
				want := swayedKeys(m.fill(m.configs[0].Core.Interval, 2))
				m.awaitDiagnoses(0, 2)
				for _, i := range []int{0, 2} {
					if diff := cmp.Diff(m.nodes[i].Report().Division.States[0].Keys, want); diff != "" {
						t.Errorf("replica %d (-got +want):\n%s", i, diff)
					}
					if bad := m.nodes[i].BadFrames().Peers[1]; bad > 0 != c.liar {
						t.Errorf("replica %d counts %d bad frames of replica 1, a liar: %v", i, bad, c.liar)
					}
				}
			})
		})
	}
}

// piecesOf returns a hook that spoils the pieces of some replicas.
func (m *members) piecesOf(who func(from wire.ReplicaID) bool, spoil func(m *wire.Piece) [][]byte) func(
	from, to wire.ReplicaID, frame []byte,
) [][]byte {
	return func(from, _ wire.ReplicaID, frame []byte) [][]byte {
		if kindOf(frame) != wire.KindPiece || !who(from) {
			return [][]byte{frame}
		}
		piece, err := wire.Decode(frame, &m.configs[0].Limits)
		if err != nil {
			m.t.Error(err)
			return nil
		}
		return spoil(piece.(*wire.Piece)) //nolint:errcheck,forcetypeassert // its kind says so
	}
}

// TestPagesAreAskedForAgainAndNotForEver has nobody give pages, for some time or for
// good.
func TestPagesAreAskedForAgainAndNotForEver(t *testing.T) {
	for name, until := range map[string]int64{"late": 5, "never": 1 << 40} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMembers(t, 4)
				m.onStores(false, true, false, true)
				var asked atomic.Int64
				give := m.piecesOf(func(wire.ReplicaID) bool { return asked.Load() < until },
					func(*wire.Piece) [][]byte { return nil })
				m.hub.tamper(func(from, to wire.ReplicaID, frame []byte) [][]byte {
					if from == 0 && kindOf(frame) == wire.KindFetchPieces {
						asked.Add(1)
					}
					return give(from, to, frame)
				})
				m.startAll()
				defer m.stopAll()
				want := swayedKeys(m.fill(m.configs[0].Core.Interval, 2))
				m.awaitDiagnoses(0)
				s := m.nodes[0].Report().Division.States[0]
				if name == "late" {
					if diff := cmp.Diff(s.Keys, want); diff != "" || s.Why != "" {
						t.Errorf("%s (-got +want):\n%s", s.Why, diff)
					}
					return
				}
				if s.Why != whyNoPages || len(s.Keys) != 0 {
					t.Errorf("got %d keys and %q, want none and %q", len(s.Keys), s.Why, whyNoPages)
				}
				if most := int64(compareTriesMax * strikesMax * 2); asked.Load() > most {
					t.Errorf("pages were asked for %d times, want %d at most", asked.Load(), most)
				}
			})
		})
	}
}

// healing is a machine whose bad instances write something else up to a number, and answer
// alike.
type healing struct {
	bad  bool
	upTo wire.Seq
}

// Execute overwrites one key, beside others that are alike and never stay as they are.
func (m healing) Execute(tx *app.Tx, _ []byte) []byte {
	n := tx.Uint64("n") + 1
	tx.PutUint64("n", n)
	for i := range byte(60) {
		tx.Put("moo"+string('0'+i), append(make([]byte, 200), byte(n)))
	}
	mood := "good"
	if m.bad && wire.Seq(tx.Seq()) <= m.upTo {
		mood = "bad"
	}
	tx.Put("mood", []byte(mood))
	return nil
}

// TestSnapshotsAreKeptForTheDiagnosis has states differ at one checkpoint and be equal at
// the next ones, which become stable, while nobody gives pages yet; nor does anybody ask
// the good ones for theirs.
func TestSnapshotsAreKeptForTheDiagnosis(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMembers(t, 4)
		m.onStores(false, true, false, true)
		interval := m.configs[0].Core.Interval
		for i := range m.configs {
			m.configs[i].Machine = healing{i%2 == 1, interval}
		}
		var give atomic.Bool
		pieces := m.piecesOf(func(wire.ReplicaID) bool { return !give.Load() }, func(*wire.Piece) [][]byte { return nil })
		m.hub.tamper(func(from, to wire.ReplicaID, frame []byte) [][]byte {
			if from%2 == 1 && kindOf(frame) == wire.KindFetchPieces {
				return nil
			}
			return pieces(from, to, frame)
		})
		m.startAll()
		defer m.stopAll()
		m.fill(4*interval, 4)
		m.await("later checkpoints", func() bool { return m.nodes[0].Report().Stable == 4*interval })
		if r := m.nodes[0].Report(); r.Division.Seq != interval || diagnosed(r) {
			t.Fatalf("the keys are known already, or those of %d: the test tests nothing", r.Division.Seq)
		}
		give.Store(true)
		m.awaitDiagnoses(0)
		value := func(n uint32) wire.ValueSize { return wire.ValueSize{Present: true, Bytes: n} }
		s := m.nodes[0].Report().Division.States[0]
		want := []wire.DifferingKey{{Part: wire.PartApplication, Key: []byte("mood"), KeyBytes: 4, Own: value(4), Other: value(3)}}
		if diff := cmp.Diff(s.Keys, want); diff != "" {
			t.Errorf("%s (-got +want):\n%s", s.Why, diff)
		}
	})
}

// TestRepairedReplicaNamesTheKeys has one replica of four write something else: it names
// the keys once it has the right state, of every checkpoint anew, and nobody else does.
func TestRepairedReplicaNamesTheKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMembers(t, 4)
		m.onStores(false, false, false, true)
		m.startAll()
		defer m.stopAll()
		c := m.caller(1)
		for round := range wire.Seq(3) {
			seq := (round + 1) * m.configs[0].Core.Interval
			c.repeat(m.configs[0].Core.Interval, 3)
			m.await("the repair", func() bool {
				d := m.nodes[3].Report().Division
				return d.Seq == seq && diagnosed(m.nodes[3].Report()) && m.nodes[3].Report().Stable == seq
			})
			d := m.nodes[3].Report().Division
			want := []wire.OtherState{{State: m.nodes[3].Report().StableState, Keys: turned(swayedKeys(c))}}
			if diff := cmp.Diff(d.States, want); diff != "" || !d.Replaced {
				t.Errorf("checkpoint %d, replaced %v (-got +want):\n%s", seq, d.Replaced, diff)
			}
		}
		for i, n := range m.nodes[:3] {
			if d := n.Report().Division; d.Seq != 0 {
				t.Errorf("replica %d tells of states that differ at %d, want none", i, d.Seq)
			}
		}
	})
}

// TestStatesThatCannotBeComparedAreTold has a State that is no Comparer.
func TestStatesThatCannotBeComparedAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMembers(t, 4)
		for i := range m.configs {
			m.configs[i].Machine = moody{[]string{"good", "bad"}[i%2]}
		}
		m.startAll()
		defer m.stopAll()
		m.fill(m.configs[0].Core.Interval, 4)
		m.awaitDiagnoses(0, 1, 2, 3)
		for i, n := range m.nodes {
			if why := n.Report().Division.States[0].Why; why != whyNever {
				t.Errorf("replica %d: got %q, want %q", i, why, whyNever)
			}
		}
	})
}

// unfit is a state that finds others' pages unfit.
type unfit struct{ *checkpoint.Store }

// Compare returns a long error.
func (unfit) Compare(_, _ crypto.Digest, _ int, _ func([]crypto.Digest) ([][]byte, error), _ func(_, _, _ []byte)) (int, error) {
	return 0, errors.New("unfit" + strings.Repeat("!", wire.DivisionWhyBytesMax))
}

// TestWhyStatesCannotBeComparedIsTold has the comparison end in an error: it is not tried
// again, and the report has room for what it says.
func TestWhyStatesCannotBeComparedIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMembers(t, 4)
		stores := m.onStores(false, true, false, true)
		m.configs[0].State = unfit{stores[0]}
		m.startAll()
		defer m.stopAll()
		m.fill(m.configs[0].Core.Interval, 2)
		synctest.Wait()
		r := m.nodes[0].Report()
		if s := r.Division.States[0]; !strings.HasPrefix(s.Why, "unfit!") || len(s.Keys) > 0 {
			t.Errorf("got %d keys and why=%q, want none, and what the state said", len(s.Keys), s.Why)
		}
		if _, err := wire.Decode(wire.Seal(m.keys[0], testDomain(), &r).Frame(), &m.configs[0].Limits); err != nil {
			t.Error(err)
		}
	})
}

// TestOthersAreGroupedByTheirStates has more states than are compared.
func TestOthersAreGroupedByTheirStates(t *testing.T) {
	state := func(i int) crypto.Digest { return crypto.Digest{byte(i)} }
	o := core.Divided{Seq: 8, Own: state(1)}
	for id, i := range []int{2, 1, 3, 4, 3, 5, 6, 7, 1} {
		o.States = append(o.States, core.SignedState{Replica: wire.ReplicaID(id), State: state(i)})
	}
	want := []wire.OtherState{
		{State: state(3), Replicas: []wire.ReplicaID{2, 4}, Why: whyNotYet},
		{State: state(2), Replicas: []wire.ReplicaID{0}, Why: whyNotYet},
		{State: state(4), Replicas: []wire.ReplicaID{3}, Why: whyNotYet},
		{State: state(5), Replicas: []wire.ReplicaID{5}, Why: whyNotYet},
	}
	if diff := cmp.Diff(othersOf(o), want); diff != "" {
		t.Errorf("-got +want:\n%s", diff)
	}
}

// TestComparingIsBounded has a comparison ask for more than it may.
func TestComparingIsBounded(t *testing.T) {
	for name, spent := range map[string]rival{
		"pages": {pages: comparePagesMax}, "bytes": {bytes: compareBytesMax + 1},
	} {
		t.Run(name, func(t *testing.T) {
			n, err := New(newMembers(t, 4).configs[0])
			if err != nil {
				t.Fatal(err)
			}
			r := newRival(n.diagnosing, wire.Division{Seq: 8, States: []wire.OtherState{{Replicas: []wire.ReplicaID{1}}}}, 0)
			r.pages, r.bytes = spent.pages, spent.bytes
			if _, err := r.fetch(t.Context(), []crypto.Digest{{1}}); !errors.Is(err, errTooMuch) {
				t.Errorf("got %v, want %v", err, errTooMuch)
			}
		})
	}
}

// TestLogOfADivisionSaysNothingUnquoted has keys and reasons that would write on a
// terminal what they like.
func TestLogOfADivisionSaysNothingUnquoted(t *testing.T) {
	division := wire.Division{Seq: 8, Own: crypto.Digest{1}}
	s := wire.OtherState{State: crypto.Digest{2}, Replicas: []wire.ReplicaID{1, 3}, More: 5, Keys: []wire.DifferingKey{
		differing([]byte("a"+foul), nil, []byte("value")),
		differing([]byte("a"+strings.Repeat("k", 1000)), []byte{}, []byte("v")),
		differing([]byte("zz"), []byte("v"), nil),
	}}
	values := [][2]string{{"", " 11111111"}, {" 22222222", " 33333333"}, {" 44444444", ""}}
	want := []string{
		"DIVIDED: the states differ at these keys: see which operations write them, and what these depend on beside the " +
			"state and their own bytes seq=8 own=01000000 other=02000000 replicas=[1 3] keys=3 more=5",
		`DIVIDED: application key "\x1b[2J\xff" own_value="none" other_value="5 B 11111111" seq=8 other=02000000`,
		`DIVIDED: application key "` + strings.Repeat("k", 64) + `" and so on, 1000 B own_value="0 B 22222222" ` +
			`other_value="1 B 33333333" seq=8 other=02000000`,
		`DIVIDED: other key "zz" own_value="1 B 44444444" other_value="none" seq=8 other=02000000`,
	}
	if diff := cmp.Diff(divisionLines(division, s, values), want); diff != "" {
		t.Errorf("-got +want:\n%s", diff)
	}
	s.Why = "a\nb"
	got := divisionLines(division, s, nil)
	if len(got) != 1 || !strings.HasSuffix(got[0], `why="a\nb"`) {
		t.Errorf("got %q, want one line that says why", got)
	}
}
