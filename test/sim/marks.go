package sim

import (
	"strings"

	"github.com/quorate/quorate/pbft/core"
)

// Marks count, by name, the ways that the protocol took in a run: why views were
// left and messages refused, which lies were proven. What no run ever reaches is
// not tested.
type Marks map[string]int

// Add adds other to m.
func (m Marks) Add(other Marks) {
	for name, n := range other {
		m[name] += n
	}
}

// observe marks an observation that says why.
func (m Marks) observe(obs core.Observation) {
	switch obs := obs.(type) {
	case core.Suspected:
		m["suspected a primary: "+MarkOf(obs.Why)]++
	case core.LeftView:
		m["left a view: "+MarkOf(obs.Why)]++
	case core.Refused:
		m["refused a "+obs.Kind.String()+": "+MarkOf(obs.Why)]++
	case core.Misbehaved:
		m["proved: "+obs.Evidence.Proof.String()]++
	case core.Diverged:
		m["a state was wrong"]++
	case core.Divided:
		m["no quorum had one state"]++
	case core.FellBehind:
		m["a state was fetched"]++
	case core.CaughtUp:
		m["a state was installed"]++
	case core.AwaitsView:
		m["a replica that rejoins waits for a view"]++
	case core.Rejoined:
		m["a replica rejoined"]++
	case core.EnteredView:
		if obs.Carried > 0 {
			m["a view carried batches over"]++
		}
	case core.Contradicted:
		m["two commit certificates contradict each other"]++
	case core.Abstained:
		m["a replica abstained"]++
	case core.Accepted, core.BecamePrepared, core.BecameCommitted, core.BecameStable:
	}
}

// applications is how reasons begin that end with what an application says.
const applications = "the application does not accept its input: "

// MarkOf returns a reason without the numbers in it, each as "#", and without what an
// application says.
func MarkOf(why string) string {
	if strings.HasPrefix(why, applications) {
		why = applications
	}
	var b strings.Builder
	number := false
	for _, r := range why {
		digit := r >= '0' && r <= '9'
		switch {
		case !digit:
			b.WriteRune(r)
		case !number:
			b.WriteByte('#')
		}
		number = digit
	}
	return b.String()
}
