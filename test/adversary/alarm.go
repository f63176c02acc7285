package adversary

import "github.com/quorate/quorate/pbft/wire"

// FalseAlarm returns a replica that says all the time, whatever its connections are, that
// it has lost the primary, and suspects it: to some of the others of the view that they are in, and to the
// rest that it has left that view already. Who believes it leaves a primary that works.
func FalseAlarm() Strategy {
	return rewriting("says that it lost the primary",
		func(_ Env, to wire.ReplicaID, m *wire.Status) ([]wire.Message, bool) {
			lie := *m
			lie.LostPrimary, lie.Suspects = true, true
			if to%2 == 1 {
				lie.View, lie.Active = m.View+1, false
			}
			return one(&lie)
		})
}
