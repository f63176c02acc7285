package adversary

import (
	"slices"

	"github.com/quorate/quorate/pbft/wire"
)

// Recaller is an Env that remembers what was. Where it is none, StaleReads makes up what it
// says.
type Recaller interface {
	// Recall returns what the replica would have said in place of m, with which it is
	// about to answer, so many batches earlier; false if nobody knows.
	Recall(m *wire.Results, back wire.Seq) (*wire.Results, bool)
}

// recallMax is how many batches StaleReads looks back.
const recallMax = 16

// StaleReads returns a replica that answers queries with what was before the last change of
// it, where it can: what correct replicas that are behind would say if they did not wait.
// Otherwise it makes results up, now and then, in a way that its accomplices do too.
func StaleReads() Strategy { return &staleReads{} }

type staleReads struct {
	Honest
	noter
}

// Answer changes results.
func (s *staleReads) Answer(env Env, sealed *wire.Sealed) []*wire.Sealed {
	m, ok := sealed.Message().(*wire.Results)
	if !ok || !mine(env, m) || len(m.Results) == 0 {
		return []*wire.Sealed{sealed}
	}
	recaller, _ := env.(Recaller) // nil if it is none
	for back := wire.Seq(1); recaller != nil && back <= recallMax; back++ {
		old, known := recaller.Recall(m, back)
		if !known {
			break
		}
		if !slices.EqualFunc(old.Results, m.Results, sameQueryResult) {
			s.note(env, "answers a query as it was %d batches ago", back)
			return []*wire.Sealed{env.Sign(old)}
		}
	}
	if m.Nonce%4 != 0 {
		return []*wire.Sealed{sealed}
	}
	s.note(env, "makes the answer to a query up")
	return []*wire.Sealed{env.Sign(invented(m))}
}

// invented returns m with other results.
func invented(m *wire.Results) *wire.Results {
	lie := *m
	lie.Results = slices.Clone(m.Results)
	for i := range lie.Results {
		lie.Results[i] = wire.QueryResult{Result: append(slices.Clone(lie.Results[i].Result), 1)}
	}
	return &lie
}

func sameQueryResult(a, b wire.QueryResult) bool {
	return a.Outcome == b.Outcome && string(a.Result) == string(b.Result)
}
