package wire

import (
	"encoding/binary"
	"fmt"

	"github.com/quorate/quorate/crypto"
)

// Bounds of a Division. It is for people: the first of what differs tells what to look
// at.
const (
	// DivisionStatesMax bounds the other states.
	DivisionStatesMax = 4
	// DivisionKeysMax bounds the keys of one of them.
	DivisionKeysMax = 16
	// DivisionKeyBytesMax is how much of a key is told.
	DivisionKeyBytesMax = 64
	// DivisionWhyBytesMax bounds the words for why keys are not known.
	DivisionWhyBytesMax = 160
)

// Division is what a replica found out about states that differ from its own at one
// checkpoint. The zero value says that it knows of none.
type Division struct {
	Seq Seq
	// Replaced says that a quorum signed the one other state, and that the replica
	// has taken it in place of its own, which was wrong. Otherwise no state of Seq
	// can have a quorum.
	Replaced bool
	Own      crypto.Digest
	States   []OtherState // those that most replicas signed first
}

// OtherState is a state that differs from the own one, and where.
type OtherState struct {
	State    crypto.Digest
	Replicas []ReplicaID // who signed it, ascending, as far as is known
	// Keys are the first keys that differ, in order, and More is how many others do
	// at least.
	Keys []DifferingKey
	More uint32
	// Why tells why no keys are known, if they are not.
	Why string
}

// StatePart is what a key of the replicated state belongs to.
type StatePart byte

// The parts of the state. docs/STORAGE.md has their keys.
const (
	PartApplication StatePart = 1 // what the application put there
	PartClients     StatePart = 2 // which operations of clients were executed
	PartResults     StatePart = 3 // kept results
	PartOrder       StatePart = 4 // the place in the order: history, agreed time, number of outputs
	PartOutputs     StatePart = 5 // outputs that are kept
	PartOther       StatePart = 6 // no correct replica writes there
)

// String returns the name of a part.
func (p StatePart) String() string {
	switch p {
	case PartApplication:
		return "application"
	case PartClients:
		return "clients"
	case PartResults:
		return "results"
	case PartOrder:
		return "order"
	case PartOutputs:
		return "outputs"
	case PartOther:
		return "other"
	default:
		return fmt.Sprintf("part %d", byte(p))
	}
}

// DifferingKey is a key with different values. Of values only the lengths are told:
// anyone may ask for a Report.
type DifferingKey struct {
	Part StatePart
	// Key is the beginning of the key within its part, and KeyBytes the length of the
	// whole. Of PartOrder it is the names of what differs.
	Key        []byte
	KeyBytes   uint32
	Own, Other ValueSize
}

// ValueSize is the length of a value, if there is one.
type ValueSize struct {
	Present bool
	Bytes   uint32
}

// String returns the length in words.
func (v ValueSize) String() string {
	if !v.Present {
		return "none"
	}
	return fmt.Sprintf("%d B", v.Bytes)
}

// resultKeyBytes is the length of the key of a result: client, session, number.
const resultKeyBytes = len(ClientID{}) + 8 + 8

// Name says, on one line of printable characters, which key it is.
func (k *DifferingKey) Name() string {
	rest := ""
	if int64(k.KeyBytes) > int64(len(k.Key)) {
		rest = fmt.Sprintf(" and so on, %d B", k.KeyBytes)
	}
	switch {
	case k.Part == PartApplication:
		return fmt.Sprintf("application key %+q%s", k.Key, rest)
	case k.Part == PartClients && len(k.Key) == len(ClientID{}):
		return fmt.Sprintf("client table, client %x", k.Key)
	case k.Part == PartResults && len(k.Key) == resultKeyBytes:
		n := len(ClientID{})
		return fmt.Sprintf("kept result of operation %d in session %d of client %x",
			binary.BigEndian.Uint64(k.Key[n+8:]), binary.BigEndian.Uint64(k.Key[n:]), k.Key[:n])
	case k.Part == PartOutputs && len(k.Key) == 8:
		return fmt.Sprintf("output %d", binary.BigEndian.Uint64(k.Key))
	case k.Part == PartOrder:
		return fmt.Sprintf("place in the order, %+q", k.Key)
	default:
		return fmt.Sprintf("%s key %+q%s", k.Part, k.Key, rest)
	}
}

func (b buf) division(d *Division) buf {
	b = b.seq(d.Seq).flag(d.Replaced).digest(&d.Own).count(len(d.States))
	for i := range d.States {
		s := &d.States[i]
		b = b.digest(&s.State).count(len(s.Replicas))
		for _, id := range s.Replicas {
			b = b.id(id)
		}
		b = b.count(len(s.Keys))
		for j := range s.Keys {
			k := &s.Keys[j]
			b = b.u8(byte(k.Part)).bytes(k.Key).u32(k.KeyBytes).valueSize(k.Own).valueSize(k.Other)
		}
		b = b.u32(s.More).text(s.Why)
	}
	return b
}

func (b buf) valueSize(v ValueSize) buf { return b.flag(v.Present).u32(v.Bytes) }

func (d *Division) bytes() int {
	size := divisionFixedBytes
	for i := range d.States {
		s := &d.States[i]
		size += otherStateFixedBytes + 4*len(s.Replicas) + len(s.Why)
		for j := range s.Keys {
			size += differingKeyFixedBytes + len(s.Keys[j].Key)
		}
	}
	return size
}

// divisionBytesMax returns the length of the longest encoding of a Division.
func (l Limits) divisionBytesMax() int {
	keys := DivisionKeysMax * (differingKeyFixedBytes + DivisionKeyBytesMax)
	return divisionFixedBytes + DivisionStatesMax*(otherStateFixedBytes+4*l.Replicas+keys+DivisionWhyBytesMax)
}

func (r *reader) division() Division {
	d := Division{Seq: r.seq(), Replaced: r.flag(), Own: r.digest()}
	if n := r.count("other states", DivisionStatesMax, otherStateFixedBytes); n > 0 {
		d.States = make([]OtherState, n)
	}
	for i := range d.States {
		d.States[i] = r.otherState()
	}
	r.need(d.Seq > 0 || !d.Replaced && d.Own.IsZero() && len(d.States) == 0, "a division at no checkpoint")
	return d
}

func (r *reader) otherState() OtherState {
	s := OtherState{State: r.digest()}
	if n := r.count("replicas with another state", r.lim.Replicas, 4); n > 0 {
		s.Replicas = make([]ReplicaID, n)
	}
	for i := range s.Replicas {
		s.Replicas[i] = r.id()
		r.need(i == 0 || s.Replicas[i] > s.Replicas[i-1], "replicas with another state are not in ascending order")
	}
	if n := r.count("differing keys", DivisionKeysMax, differingKeyFixedBytes); n > 0 {
		s.Keys = make([]DifferingKey, n)
	}
	for i := range s.Keys {
		s.Keys[i] = r.differingKey()
	}
	s.More, s.Why = r.u32(), string(r.bytes("bytes of why", DivisionWhyBytesMax))
	return s
}

func (r *reader) differingKey() DifferingKey {
	k := DifferingKey{
		Part: StatePart(r.u8()), Key: r.bytes("bytes of a key", DivisionKeyBytesMax), KeyBytes: r.u32(),
		Own: r.valueSize(), Other: r.valueSize(),
	}
	r.need(k.Part >= PartApplication && k.Part <= PartOther, "unknown part of the state")
	told := int64(len(k.Key))
	r.need(told == int64(k.KeyBytes) || told == DivisionKeyBytesMax && told < int64(k.KeyBytes),
		"a key has another length than it says")
	r.need(k.Own.Present || k.Other.Present, "neither state has a key that differs")
	return k
}

func (r *reader) valueSize() ValueSize {
	v := ValueSize{Present: r.flag(), Bytes: r.u32()}
	r.need(v.Present || v.Bytes == 0, "no value has a length")
	return v
}
