package adversary

import "github.com/quorate/quorate/pbft/wire"

// notesMax bounds what one strategy tells people.
const notesMax = 64

// noter tells people what a strategy does, up to a bound. Strategies embed it.
type noter struct{ told int }

// note tells of one act.
func (n *noter) note(env Env, format string, args ...any) {
	if n.told < notesMax {
		n.told++
		env.Note(format, args...)
	}
}

// chance draws with probability p.
func chance(env Env, p float64) bool { return p > 0 && env.Rand().Float64() < p }

// mine tells whether the replica can sign m: whether m names no sender, or it.
func mine(env Env, m wire.Message) bool {
	sender, personal := wire.SenderOf(m)
	return !personal || sender == env.ID()
}
