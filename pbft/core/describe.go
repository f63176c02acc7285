package core

import "fmt"

// Describe says an observation in one line, for traces and logs.
func Describe(o Observation) string {
	switch o := o.(type) {
	case Refused:
		return fmt.Sprintf("refuses %s from R%d: %s", o.Kind, o.From, o.Why)
	case Misbehaved:
		return fmt.Sprintf("MISBEHAVIOUR peer=%d kind=%q view=%d seq=%d", o.Evidence.Culprit, o.Evidence.Proof, o.View, o.Seq)
	case Accepted:
		return fmt.Sprintf("accepts v%d n%d %s requests %d", o.View, o.Seq, o.Digest.Short(), o.Requests)
	case Abstained:
		return fmt.Sprintf("abstains v%d n%d", o.View, o.Seq)
	case BecamePrepared:
		return fmt.Sprintf("prepared v%d n%d %s", o.View, o.Seq, o.Digest.Short())
	case BecameCommitted:
		return fmt.Sprintf("committed v%d n%d %s", o.View, o.Seq, o.Digest.Short())
	case Suspected:
		return fmt.Sprintf("suspects the primary of view %d: %s", o.View, o.Why)
	case LeftView:
		return fmt.Sprintf("asks for view %d: %s", o.View, o.Why)
	case EnteredView:
		return fmt.Sprintf("enters view %d of primary R%d above %d carrying %d", o.View, o.Primary, o.Stable, o.Carried)
	case BecameStable:
		return fmt.Sprintf("checkpoint %d is stable: %s", o.Seq, o.State.Short())
	case Diverged:
		return fmt.Sprintf("DIVERGED at %d: own %s, quorum %s", o.Seq, o.Own.Short(), o.Quorum.Short())
	case Divided:
		return fmt.Sprintf("DIVIDED at %d: no quorum has one state: %s", o.Seq, o.States)
	case FellBehind:
		return fmt.Sprintf("fetches the state of %d, having executed %d", o.Seq, o.Executed)
	case CaughtUp:
		return fmt.Sprintf("has the state of %d", o.Seq)
	case AwaitsView:
		return fmt.Sprintf("would vote again, but asked for view %d in its lost life, and waits for that", o.View)
	case Rejoined:
		return fmt.Sprintf("votes again above %d in view %d", o.Seq, o.View)
	case Contradicted:
		return fmt.Sprintf("AGREEMENT BROKEN at %d: own %s of view %d, another's %s of view %d",
			o.Seq, o.Own.Short(), o.View, o.Theirs.Short(), o.Other)
	default:
		return fmt.Sprintf("%T", o)
	}
}
