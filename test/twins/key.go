package twins

import (
	"cmp"
	"encoding/binary"
	"maps"
	"reflect"
	"slices"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// key returns the digest of all that the future of a world depends on: every
// replica's memory, to the last field, what it last said of itself, the messages
// on their way, and what the oracle remembers and can still compare with. Worlds
// with equal keys have equal futures, for a replica is a function of its memory
// and its events: so an Explorer follows only one of them.
//
// Of what was said, only that of the replicas' own views counts: whoever signs in
// a view that it has left is caught at once, without a memory. The same holds for
// the counts of commits.
func (w *World) key() crypto.Digest {
	k := w.keep()
	return crypto.Sum(k.out)
}

func (w *World) keep() *keeper {
	k := &keeper{}
	for _, p := range w.processes {
		k.value(reflect.ValueOf(p.replica).Elem())
		k.number(uint64(p.state.Seq))
		k.flag(p.target != nil)
		k.bytes(wire.Encode(p.fresh))
	}
	for _, one := range w.queue {
		k.number(uint64(one.from)<<32 | uint64(one.to)) //nolint:gosec // small and not negative
		k.bytes(one.sealed.Frame())
	}
	w.oracle.keep(k)
	return k
}

// keep writes what the oracle can still compare with.
func (o *oracle) keep(k *keeper) {
	left := o.left()
	for _, seq := range slices.Sorted(maps.Keys(o.histories)) {
		k.digest(o.histories[seq])
	}
	for _, seq := range slices.Sorted(maps.Keys(o.fixed)) {
		k.number(uint64(seq))
		k.choice(o.fixed[seq])
	}
	for _, seq := range slices.Sorted(maps.Keys(o.voted)) {
		k.number(uint64(seq))
		for _, c := range slices.SortedFunc(slices.Values(o.voted[seq]), choice.compare) {
			if c.view > left {
				k.choice(c)
			}
		}
	}
	for _, b := range slices.SortedFunc(maps.Keys(o.cast), ballot.compare) {
		if b.view >= left {
			k.number(uint64(b.seq))
			k.choice(b.choice)
			k.number(uint64(o.cast[b]))
		}
	}
	for _, s := range slices.SortedFunc(maps.Keys(o.said), statement.compare) {
		if s.view >= o.views[s.sender] || s.kind == wire.KindCheckpoint {
			k.number(uint64(s.sender)<<8 | uint64(s.kind))
			k.number(uint64(s.view)<<32 | uint64(s.seq))
			k.digest(o.said[s])
		}
	}
}

func (c choice) compare(other choice) int {
	return cmp.Or(cmp.Compare(c.view, other.view), slices.Compare(c.digest[:], other.digest[:]))
}

func (b ballot) compare(other ballot) int {
	return cmp.Or(cmp.Compare(b.seq, other.seq), b.choice.compare(other.choice))
}

func (s statement) compare(other statement) int {
	return cmp.Or(cmp.Compare(s.sender, other.sender), cmp.Compare(s.kind, other.kind),
		cmp.Compare(s.view, other.view), cmp.Compare(s.seq, other.seq))
}

// keeper writes values down, so that different ones are written differently.
type keeper struct {
	out     []byte
	unknown []reflect.Type // what it could not write: there must be none
}

func (k *keeper) number(v uint64) { k.out = binary.BigEndian.AppendUint64(k.out, v) }

func (k *keeper) digest(d crypto.Digest) { k.out = append(k.out, d[:]...) }

func (k *keeper) bytes(b []byte) {
	k.number(uint64(len(b)))
	k.out = append(k.out, b...)
}

func (k *keeper) flag(v bool) {
	if v {
		k.out = append(k.out, 1)
		return
	}
	k.out = append(k.out, 0)
}

func (k *keeper) choice(c choice) {
	k.number(uint64(c.view))
	k.digest(c.digest)
}

// value writes v, through pointers, with all fields of structs, exported or not.
// What is a constant of the run is left out.
func (k *keeper) value(v reflect.Value) {
	switch v.Kind() {
	case reflect.Bool:
		k.flag(v.Bool())
	case reflect.Int, reflect.Int64, reflect.Int32, reflect.Int8, reflect.Int16:
		k.number(uint64(v.Int())) //nolint:gosec // the bits count
	case reflect.Uint, reflect.Uint64, reflect.Uint32, reflect.Uint16, reflect.Uint8:
		k.number(v.Uint())
	case reflect.String:
		k.bytes([]byte(v.String()))
	case reflect.Pointer, reflect.Interface:
		k.flag(!v.IsNil())
		if !v.IsNil() {
			k.value(v.Elem())
		}
	case reflect.Struct:
		k.fields(v)
	case reflect.Map:
		k.entries(v)
	case reflect.Array, reflect.Slice:
		k.list(v)
	default:
		k.unknown = append(k.unknown, v.Type())
	}
}

func (k *keeper) fields(v reflect.Value) {
	switch v.Type() {
	case reflect.TypeFor[core.Config](), reflect.TypeFor[core.Quorum]():
		return
	case reflect.TypeFor[wire.Sealed]():
		k.bytes(v.FieldByName("frame").Bytes())
		return
	}
	request := v.Type() == reflect.TypeFor[wire.Request]()
	for i := range v.NumField() {
		if !request || v.Type().Field(i).IsExported() { // what a request says; not what was computed of it
			k.value(v.Field(i))
		}
	}
}

func (k *keeper) list(v reflect.Value) {
	k.number(uint64(v.Len())) //nolint:gosec // not negative
	if v.Type().Elem().Kind() == reflect.Uint8 {
		for i := range v.Len() {
			k.out = append(k.out, byte(v.Index(i).Uint())) //nolint:gosec // a byte
		}
		return
	}
	for i := range v.Len() {
		k.value(v.Index(i))
	}
}

// entries writes a map in the order of its keys as written.
func (k *keeper) entries(v reflect.Value) {
	written := make([]string, 0, v.Len())
	for it := v.MapRange(); it.Next(); {
		one := keeper{}
		one.value(it.Key())
		one.value(it.Value())
		written = append(written, string(one.out))
		k.unknown = append(k.unknown, one.unknown...)
	}
	slices.Sort(written)
	k.number(uint64(len(written)))
	for _, one := range written {
		k.bytes([]byte(one))
	}
}
