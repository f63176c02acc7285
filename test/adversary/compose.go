package adversary

import (
	"slices"
	"time"

	"github.com/quorate/quorate/pbft/wire"
)

// All returns the strategy of all at once: what one says is what the next is
// given to say, and so with what is heard and answered.
func All(strategies ...Strategy) Strategy { return all(strategies) }

type all []Strategy

// Say passes m through all.
func (s all) Say(env Env, to wire.ReplicaID, m *wire.Sealed) []*wire.Sealed {
	return s.pass(m, func(s Strategy, m *wire.Sealed) []*wire.Sealed { return s.Say(env, to, m) })
}

// Hear passes m through all.
func (s all) Hear(env Env, from wire.ReplicaID, m *wire.Sealed) []*wire.Sealed {
	return s.pass(m, func(s Strategy, m *wire.Sealed) []*wire.Sealed { return s.Hear(env, from, m) })
}

// Answer passes m through all.
func (s all) Answer(env Env, m *wire.Sealed) []*wire.Sealed {
	return s.pass(m, func(s Strategy, m *wire.Sealed) []*wire.Sealed { return s.Answer(env, m) })
}

// Tick is passed to all.
func (s all) Tick(env Env) {
	for _, one := range s {
		one.Tick(env)
	}
}

func (s all) pass(m *wire.Sealed, through func(Strategy, *wire.Sealed) []*wire.Sealed) []*wire.Sealed {
	messages := []*wire.Sealed{m}
	for _, one := range s {
		var out []*wire.Sealed
		for _, m := range messages {
			out = append(out, through(one, m)...)
		}
		messages = out
	}
	return messages
}

// Only returns the strategy that says and answers messages of these kinds as s
// does, and the others as they are. It hears and does everything that s does.
func Only(s Strategy, kinds ...wire.Kind) Strategy { return only{s, kinds} }

type only struct {
	Strategy

	kinds []wire.Kind
}

// Say returns m, or for one of the kinds what the strategy says.
func (s only) Say(env Env, to wire.ReplicaID, m *wire.Sealed) []*wire.Sealed {
	if !slices.Contains(s.kinds, m.Message().Kind()) {
		return []*wire.Sealed{m}
	}
	return s.Strategy.Say(env, to, m)
}

// Answer is as Say.
func (s only) Answer(env Env, m *wire.Sealed) []*wire.Sealed {
	if !slices.Contains(s.kinds, m.Message().Kind()) {
		return []*wire.Sealed{m}
	}
	return s.Strategy.Answer(env, m)
}

// During returns the strategy that is s from a time until another, since the
// start, and honest before and after. What s began goes on.
func During(from, until time.Duration, s Strategy) Strategy {
	return when{s, func(env Env) bool { return env.Now() >= from && env.Now() < until }}
}

// Sometimes returns the strategy that is s with probability p at each message.
// Every tick is its.
func Sometimes(p float64, s Strategy) Strategy {
	return tireless{when{s, func(env Env) bool { return chance(env, p) }}}
}

// when is a strategy while something holds.
type when struct {
	strategy Strategy
	holds    func(Env) bool
}

// Say is the strategy's or honest.
func (s when) Say(env Env, to wire.ReplicaID, m *wire.Sealed) []*wire.Sealed {
	return s.now(env).Say(env, to, m)
}

// Hear is the strategy's or honest.
func (s when) Hear(env Env, from wire.ReplicaID, m *wire.Sealed) []*wire.Sealed {
	return s.now(env).Hear(env, from, m)
}

// Answer is the strategy's or honest.
func (s when) Answer(env Env, m *wire.Sealed) []*wire.Sealed { return s.now(env).Answer(env, m) }

// Tick is the strategy's or honest.
func (s when) Tick(env Env) { s.now(env).Tick(env) }

func (s when) now(env Env) Strategy {
	if s.holds(env) {
		return s.strategy
	}
	return Honest{}
}

// tireless is a strategy whose ticks all come.
type tireless struct{ when }

// Tick is the strategy's.
func (s tireless) Tick(env Env) { s.strategy.Tick(env) }
