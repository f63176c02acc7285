package main

import (
	"encoding/hex"
	"fmt"
	"reflect"

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

// divisionLines returns what replicas say of states that differ, what several say alike
// once.
func divisionLines(replicas []replicaInfo) []string {
	var lines []string
	for i, r := range replicas {
		alike := func(o replicaInfo) bool { return reflect.DeepEqual(o.Division, r.Division) }
		var ids []wire.ReplicaID
		said := false
		for j, o := range replicas {
			if alike(o) {
				ids = append(ids, wire.ReplicaID(o.ID))
				said = said || j < i
			}
		}
		if r.Division != nil && !said {
			lines = append(lines, r.Division.lines(replicaNames(ids))...)
		}
	}
	return lines
}

// lines returns what replicas say, who is in names.
func (d *divisionInfo) lines(names string) []string {
	var lines []string
	for i := range d.Others {
		o := &d.Others[i]
		head := fmt.Sprintf("checkpoint %d: state %.8s of replicas %s differs from %.8s", d.Checkpoint, d.State, names, o.State)
		if len(o.Replicas) > 0 {
			head += " of replicas " + replicaNames(o.Replicas)
		}
		if d.Replaced {
			head += ", was wrong and is replaced"
		}
		if o.Why != "" {
			lines = append(lines, head+"; keys not known: "+o.Why)
			continue
		}
		lines = append(lines, head)
		for _, k := range o.Keys {
			lines = append(lines, fmt.Sprintf("  %s: %s here, %s there", k.Name, k.own, k.other))
		}
		if o.More > 0 {
			lines = append(lines, fmt.Sprintf("  and %d more at least", o.More))
		}
	}
	return lines
}
