package adversary

import (
	"math/rand/v2"
	"reflect"
	"slices"

	"github.com/quorate/quorate/pbft/wire"
)

// rememberedMax is how many values of one type a memory holds.
const rememberedMax = 16

// SmallScope returns a liar that changes, with probability p, one field of a
// message by one, or swaps in a value that it saw earlier; for each receiver
// anew, and signed again. It knows nothing of what the fields are for: faults so
// small find what larger ones hide (ByzzFuzz, Winter et al., OOPSLA 2023).
func SmallScope(p float64) Strategy { return &smallScope{p: p, seen: newMemory()} }

type smallScope struct {
	Honest
	noter

	p    float64
	seen *memory
}

// Hear remembers what others say.
func (s *smallScope) Hear(env Env, _ wire.ReplicaID, m *wire.Sealed) []*wire.Sealed {
	s.seen.note(env.Rand(), m.Message())
	return []*wire.Sealed{m}
}

// Say returns m, or m with one change.
func (s *smallScope) Say(env Env, to wire.ReplicaID, m *wire.Sealed) []*wire.Sealed {
	s.seen.note(env.Rand(), m.Message())
	if !chance(env, s.p) || !mine(env, m.Message()) {
		return []*wire.Sealed{m}
	}
	lie, field := s.seen.mutate(env.Rand(), m.Message())
	if lie == nil {
		return []*wire.Sealed{m}
	}
	s.note(env, "changes %s of a %s to replica %d", field, m.Message().Kind(), to)
	return []*wire.Sealed{env.Sign(lie)}
}

// Answer is as Say.
func (s *smallScope) Answer(env Env, m *wire.Sealed) []*wire.Sealed { return s.Say(env, env.ID(), m) }

// memory holds values of fields of messages, by their types.
type memory struct {
	values map[reflect.Type][]reflect.Value
}

func newMemory() *memory { return &memory{map[reflect.Type][]reflect.Value{}} }

// note remembers a value of m.
func (s *memory) note(rng *rand.Rand, m wire.Message) {
	if v, _, ok := pick(rng, reflect.ValueOf(m).Elem()); ok {
		kept := s.values[v.Type()]
		if len(kept) < rememberedMax {
			s.values[v.Type()] = append(kept, v)
			return
		}
		kept[rng.IntN(rememberedMax)] = v
	}
}

// mutate returns a copy of m with one field changed, and the field's name; nil if
// m has none. The batch that a proposal names is most often the one that it has.
func (s *memory) mutate(rng *rand.Rand, m wire.Message) (wire.Message, string) {
	if _, signed := m.(*wire.Request); signed {
		return nil, "" // by its client
	}
	lie, ok := deepCopy(reflect.ValueOf(m)).Interface().(wire.Message)
	if !ok {
		return nil, ""
	}
	v, field, ok := pick(rng, reflect.ValueOf(lie).Elem())
	if !ok || !s.change(rng, v) {
		return nil, ""
	}
	if pp, ok := lie.(*wire.PrePrepare); ok && rng.IntN(4) > 0 {
		if pp.Batch.IsNull() {
			pp.Batch.Time = 0
		}
		pp.Digest = pp.Batch.Digest()
	}
	return lie, field
}

// change gives v a value that it did not have, if it can.
func (s *memory) change(rng *rand.Rand, v reflect.Value) bool {
	if known := s.values[v.Type()]; len(known) > 0 && rng.IntN(2) == 0 {
		if value := known[rng.IntN(len(known))]; !reflect.DeepEqual(value.Interface(), v.Interface()) {
			v.Set(deepCopy(value))
			return true
		}
	}
	switch v.Kind() {
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		v.SetUint(v.Uint() + []uint64{1, ^uint64(0)}[rng.IntN(2)])
	case reflect.Int64:
		v.SetInt(v.Int() + []int64{1, -1}[rng.IntN(2)])
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.String:
		v.SetString(v.String() + "?")
	case reflect.Array:
		b := v.Index(rng.IntN(v.Len()))
		b.SetUint(b.Uint() ^ 1<<rng.IntN(8))
	case reflect.Slice:
		return changeList(rng, v)
	default:
		return false
	}
	return true
}

// changeList drops an element, doubles one, or swaps two.
func changeList(rng *rand.Rand, v reflect.Value) bool {
	n := v.Len()
	if n == 0 {
		return false
	}
	i := rng.IntN(n)
	switch rng.IntN(3) {
	case 0:
		v.Set(reflect.AppendSlice(v.Slice3(0, i, i), v.Slice(i+1, n)))
	case 1:
		v.Set(reflect.Append(v.Slice3(0, n, n), v.Index(i)))
	default:
		j := (i + 1) % n
		a, b := v.Index(i).Interface(), v.Index(j).Interface()
		if reflect.DeepEqual(a, b) {
			return false
		}
		v.Index(i).Set(reflect.ValueOf(b))
		v.Index(j).Set(reflect.ValueOf(a))
	}
	return true
}

// pick draws a field of a message, or one of what is nested in it: at each level
// with equal chances, or else the longest list would get all. What a signature
// covers is picked, the message's own sender and signature are not; nor is what
// clients signed.
func pick(rng *rand.Rand, v reflect.Value) (field reflect.Value, name string, ok bool) {
	fields := fieldsOf(v)
	for len(fields) > 0 {
		i := rng.IntN(len(fields))
		v, name = v.Field(fields[i]), v.Type().Field(fields[i]).Name
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				return v, name, false
			}
			v = v.Elem()
		}
		if v.Kind() == reflect.Slice && v.Len() > 0 && v.Type().Elem().Kind() == reflect.Struct && rng.IntN(2) == 0 {
			v = v.Index(rng.IntN(v.Len()))
		}
		if v.Kind() != reflect.Struct {
			return v, name, true
		}
		fields = fieldsOf(v)
		if v.Type() == reflect.TypeFor[wire.Vote]() {
			fields = fields[:len(fields)-2] // the message is the vote: not its sender and signature
		}
	}
	return v, name, false
}

// fieldsOf returns which fields of a struct may be picked.
func fieldsOf(v reflect.Value) []int {
	var out []int
	_, message := v.Addr().Interface().(wire.Message)
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if !f.IsExported() || message && slices.Contains([]string{"Sender", "Signature"}, f.Name) {
			continue
		}
		out = append(out, i)
	}
	return out
}

// deepCopy copies v and all that it points to, but for requests, which only
// their clients can sign.
func deepCopy(v reflect.Value) reflect.Value {
	c := reflect.New(v.Type()).Elem()
	c.Set(v)
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() && v.Type() != reflect.TypeFor[*wire.Request]() {
			c.Set(deepCopy(v.Elem()).Addr())
		}
	case reflect.Struct:
		copyFields(c, v)
	case reflect.Slice:
		if v.IsNil() {
			break
		}
		c.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
		if v.Type().Elem().Kind() == reflect.Uint8 {
			reflect.Copy(c, v)
			break
		}
		for i := range v.Len() {
			c.Index(i).Set(deepCopy(v.Index(i)))
		}
	default:
	}
	return c
}

// copyFields copies what the exported fields of v point to into c, a copy of v.
func copyFields(c, v reflect.Value) {
	for i := range v.NumField() {
		if v.Type().Field(i).IsExported() {
			c.Field(i).Set(deepCopy(v.Field(i)))
		}
	}
}
