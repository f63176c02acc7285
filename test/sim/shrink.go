package sim

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"time"
)

// Broken returns the name of the first oracle whose property did not hold, or
// nothing. It is nothing too where the Options were not valid.
func (r Result) Broken() string {
	if r.Violation == nil {
		return ""
	}
	for _, v := range r.Oracles {
		if v.Err != nil && (!r.Options.Excess || survives(v.Name)) {
			return v.Name
		}
	}
	return ""
}

// survives tells whether a property holds however many replicas lie.
func survives(name string) bool {
	for l := lawConflict; int(l) < laws; l++ {
		if l.String() == name {
			return true
		}
	}
	return false
}

// Shrink looks for a simpler run that breaks the same property as a run of o
// does: without classes of faults, with fewer faults, fewer operations, and
// fewer events. Every simplification changes what the seed means, so each is
// tried with some seeds. It stops when nothing helps, or after so many runs, and
// returns the simplest run, and how many runs it took. A run that holds is
// returned as it is.
func Shrink(o Options, runs int) (Result, int) {
	s := shrinking{best: Run(o), left: runs - 1}
	s.law = s.best.Broken()
	if s.law == "" {
		return s.best, 1
	}
	s.o = o.withDefaults()
	if s.o.Replicas > 4 {
		s.try(s.o.On(4)) // the number of faults must follow, which no single field does
	}
	for changed := true; changed && s.left > 0; {
		changed = s.withoutClasses()
		changed = s.withFewer() || changed
	}
	s.withFewerEvents()
	return s.best, runs - s.left
}

// shrinking is a search under way.
type shrinking struct {
	law  string
	o    Options // the simplest so far, whole
	best Result
	left int // runs
}

// seedsPerStep is how many seeds a simplification is tried with.
const seedsPerStep = 6

// try tells whether o, with some seed, breaks the law too; then it is the
// simplest.
func (s *shrinking) try(o Options) bool {
	seed := s.o.Seed
	for i := range uint64(seedsPerStep) {
		if s.left == 0 {
			return false
		}
		s.left--
		o.Seed = seed + i
		if res := Run(o); res.Broken() == s.law {
			s.o, s.best = o.withDefaults(), res
			return true
		}
	}
	return false
}

// kept are the fields that are no class of faults.
func keptFields() []string {
	return []string{"Seed", "Operations", "Turbulence", "Patience", "Excess", "Machine", "Operation", "Query"}
}

// withoutClasses sets one field after the other to nothing, or its default.
func (s *shrinking) withoutClasses() (changed bool) {
	for i := range reflect.TypeFor[Options]().NumField() {
		if slices.Contains(keptFields(), reflect.TypeFor[Options]().Field(i).Name) {
			continue
		}
		o := s.o
		field := reflect.ValueOf(&o).Elem().Field(i)
		if !simple(field) {
			continue
		}
		field.SetZero()
		if !equalField(o.withDefaults(), s.o, i) && s.try(o) {
			changed = true
		}
	}
	return changed
}

// withFewer halves, and then lowers by one, every number above one.
func (s *shrinking) withFewer() (changed bool) {
	for i := range reflect.TypeFor[Options]().NumField() {
		switch reflect.TypeFor[Options]().Field(i).Name {
		case "Seed", "Tick", "StatusEvery": // who ticks more often does more
			continue
		case "Patience", "AnswerMax": // bounds of an oracle: lower ones are broken by any run
			continue
		}
		for _, smaller := range []func(n int64) int64{
			func(n int64) int64 { return n / 2 },
			func(n int64) int64 { return n - 1 },
		} {
			for s.lower(i, smaller) {
				changed = true
			}
		}
	}
	return changed
}

// lower makes field i smaller, if it is a number and that helps.
func (s *shrinking) lower(i int, smaller func(n int64) int64) bool {
	o := s.o
	field := reflect.ValueOf(&o).Elem().Field(i)
	if !field.CanInt() || field.Int() < 2 {
		return false
	}
	n := smaller(field.Int())
	if _, ok := field.Interface().(time.Duration); ok {
		n = int64(time.Duration(n).Truncate(time.Millisecond))
		if field.Int()-n < int64(time.Millisecond) {
			return false // a finer time is no simpler one
		}
		if field.Int()-n < field.Int()/4 {
			return false
		}
	}
	if n < 1 {
		return false
	}
	field.SetInt(n)
	return s.try(o)
}

// withFewerEvents looks for a seed with the shortest run.
func (s *shrinking) withFewerEvents() {
	rng := rand.New(rand.NewPCG(s.o.Seed, 0x5841)) //nolint:gosec // it need not be secret
	for range min(s.left, 20*seedsPerStep) {
		s.left--
		o := s.o
		o.Seed = rng.Uint64N(1 << 20)
		if res := Run(o); res.Broken() == s.law && res.Events < s.best.Events {
			s.o, s.best = o, res
		}
	}
}

// simple tells whether a field is a number or a switch, and not zero.
func simple(field reflect.Value) bool {
	return !field.IsZero() && (field.CanInt() || field.CanUint() || field.CanFloat() || field.Kind() == reflect.Bool)
}

// equalField tells whether field i of two options is equal.
func equalField(a, b Options, i int) bool {
	return reflect.ValueOf(a).Field(i).Equal(reflect.ValueOf(b).Field(i))
}
