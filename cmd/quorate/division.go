package main

import (
	"encoding/hex"
	"fmt"
	"reflect"
	"slices"

	"github.com/quorate/quorate/pbft/wire"
)

// divisionInfo is what status prints of a wire.Division.
type divisionInfo struct {
	Checkpoint uint64 `json:"checkpoint"`
	// Replaced says that the replica's state was wrong, and was replaced.
	Replaced bool        `json:"replaced"`
	State    string      `json:"state"`
	Others   []otherInfo `json:"others"`
}

type otherInfo struct {
	State    string           `json:"state"`
	Replicas []wire.ReplicaID `json:"replicas"`
	Keys     []differingInfo  `json:"keys"`
	More     uint32           `json:"more"`
	Why      string           `json:"why,omitempty"`
}

// differingInfo is a key at which two states differ. Key is its beginning within its part, in
// hexadecimal digits; a length is null where there is no value.
type differingInfo struct {
	Part       string  `json:"part"`
	Name       string  `json:"name"`
	Key        string  `json:"key_hex"`
	KeyBytes   uint32  `json:"key_bytes"`
	OwnBytes   *uint32 `json:"own_bytes"`
	OtherBytes *uint32 `json:"other_bytes"`

	own, other string
}

// divisionInfoOf returns what is printed of d, or nil if that says nothing.
func divisionInfoOf(d *wire.Division) *divisionInfo {
	if d.Seq == 0 {
		return nil
	}
	info := &divisionInfo{Checkpoint: uint64(d.Seq), Replaced: d.Replaced, State: d.Own.String(), Others: []otherInfo{}}
	for i := range d.States {
		s := &d.States[i]
		other := otherInfo{
			State: s.State.String(), Replicas: append([]wire.ReplicaID{}, s.Replicas...), // never null
			Keys: []differingInfo{}, More: s.More, Why: printable(s.Why),
		}
		for j := range s.Keys {
			k := &s.Keys[j]
			other.Keys = append(other.Keys, differingInfo{
				Part: k.Part.String(), Name: k.Name(), Key: hex.EncodeToString(k.Key), KeyBytes: k.KeyBytes,
				OwnBytes: lengthOf(k.Own), OtherBytes: lengthOf(k.Other), own: k.Own.String(), other: k.Other.String(),
			})
		}
		info.Others = append(info.Others, other)
	}
	return info
}

func lengthOf(v wire.ValueSize) *uint32 {
	if !v.Present {
		return nil
	}
	return &v.Bytes
}

// statePair is what some replicas say of two states of one checkpoint: of the one that they
// had themselves, here, and of the other, there.
type statePair struct {
	checkpoint  uint64
	replaced    bool // the state here
	here, there string
	keys        []differingInfo
	more        uint32
	why         string // keys are not known
	say         []wire.ReplicaID
}

// of tells whether p is about the same two states as o.
func (p statePair) of(o statePair) bool {
	same, mirrored := p.here == o.here && p.there == o.there, p.here == o.there && p.there == o.here
	return p.checkpoint == o.checkpoint && (same || mirrored)
}

// mirrored is p as those see it who had the other state.
func (p statePair) mirrored() statePair {
	p.here, p.there, p.keys = p.there, p.here, slices.Clone(p.keys)
	for i := range p.keys {
		k := &p.keys[i]
		k.OwnBytes, k.OtherBytes, k.own, k.other = k.OtherBytes, k.OwnBytes, k.other, k.own
	}
	return p
}

// tells tells whether p says what o does, also from the other side, or neither knows a key.
func (p statePair) tells(o statePair) bool {
	if !p.of(o) || p.why != "" || o.why != "" {
		return p.of(o) && p.why != "" && o.why != ""
	}
	equal := func(a, b statePair) bool {
		return a.here == b.here && a.more == b.more && reflect.DeepEqual(a.keys, b.keys)
	}
	return equal(p, o) && p.replaced == o.replaced || equal(p.mirrored(), o)
}

// statePairs returns what replicas say of states that differ, what several say alike once,
// and that keys are not known only where nobody knows them.
func statePairs(replicas []replicaInfo) []statePair {
	var pairs []statePair
	for _, r := range replicas {
		if r.Division == nil {
			continue
		}
		for _, o := range r.Division.Others {
			pairs = addPair(pairs, statePair{
				r.Division.Checkpoint, r.Division.Replaced, r.Division.State, o.State, o.Keys, o.More, o.Why,
				[]wire.ReplicaID{wire.ReplicaID(r.ID)},
			})
		}
	}
	var told []statePair
	for _, p := range pairs {
		known := func(o statePair) bool { return o.why == "" && o.of(p) }
		if p.why == "" || !slices.ContainsFunc(pairs, known) {
			told = append(told, p)
		}
	}
	return told
}

// addPair adds p to pairs, or that it is said again to the one that tells the same.
func addPair(pairs []statePair, p statePair) []statePair {
	at := slices.IndexFunc(pairs, p.tells)
	if at < 0 {
		return append(pairs, p)
	}
	say := slices.Concat(pairs[at].say, p.say)
	if p.replaced { // which is said of the state that is here
		pairs[at] = p
	}
	pairs[at].say = say
	return pairs
}

// divisionLines returns the lines about states that differ.
func divisionLines(replicas []replicaInfo) []string {
	var lines []string
	pairs := statePairs(replicas)
	for _, p := range pairs {
		have := func(state string) string { return replicaNames(holders(replicas, p.checkpoint, state)) }
		head := fmt.Sprintf("checkpoint %d: state %.8s of replicas %s differs from %.8s", p.checkpoint, p.here, have(p.here), p.there)
		if others := have(p.there); others != "" {
			head += " of replicas " + others
		}
		if p.replaced {
			head += ", was wrong and is replaced"
		}
		if others := slices.DeleteFunc(slices.Clone(pairs), func(o statePair) bool { return !o.of(p) }); len(others) > 1 {
			head += ", as told by replicas " + replicaNames(p.say)
		}
		lines = append(lines, p.lines(head)...)
	}
	return lines
}

// holders returns which replicas have, or had, a state of a checkpoint: of each its own word
// counts or, where it says nothing of that, what others say.
func holders(replicas []replicaInfo, checkpoint uint64, state string) []wire.ReplicaID {
	var ids []wire.ReplicaID
	for _, r := range replicas {
		id := wire.ReplicaID(r.ID)
		own, says := r.stateAt(checkpoint)
		if says && own == state || !says && slices.ContainsFunc(replicas, func(o replicaInfo) bool {
			return o.Division.names(id, checkpoint, state)
		}) {
			ids = append(ids, id)
		}
	}
	return ids
}

// stateAt returns the state that a replica says it had at a checkpoint, if it does.
func (i replicaInfo) stateAt(checkpoint uint64) (state string, says bool) {
	if i.Division != nil && i.Division.Checkpoint == checkpoint {
		return i.Division.State, true
	}
	return i.State, i.Answered && i.Checkpoint == checkpoint
}

// names tells whether d says that another replica has a state of a checkpoint.
func (d *divisionInfo) names(id wire.ReplicaID, checkpoint uint64, state string) bool {
	return d != nil && d.Checkpoint == checkpoint && slices.ContainsFunc(d.Others, func(o otherInfo) bool {
		return o.State == state && slices.Contains(o.Replicas, id)
	})
}

// lines returns the lines about a pair, of which head is the first.
func (p statePair) lines(head string) []string {
	if p.why != "" {
		return []string{head + "; keys not known: " + p.why}
	}
	lines := []string{head}
	for _, k := range p.keys {
		lines = append(lines, fmt.Sprintf("  %s: %s here, %s there", k.Name, k.own, k.other))
	}
	if p.more > 0 {
		lines = append(lines, fmt.Sprintf("  and %d more at least", p.more))
	}
	return lines
}
