package roofline

// Unloaded is the least time that one durable write can take in an idle cluster
// on this machine: the parts on its way, one after the other, each as long as it
// takes alone.
type Unloaded struct {
	Terms   []Term  `json:"terms"` // elapsed
	Elapsed float64 `json:"elapsed_ns"`
}

// unloaded follows one operation of a valid shape: the request, three phases, and
// the reply. It waits for one flush, that of a backup before its commit: pre-prepare
// and prepare leave before theirs where their number is reserved.
func unloaded(s Shape, c Costs, b Base) Unloaded {
	const hops, flushes = 5, 1
	q, weak := s.quorum(), float64(s.Faults+1)
	votes := 1 + max(0, q-2) + (q - 1) // at a backup: the pre-prepare, prepares, commits
	u := Unloaded{Terms: []Term{
		{"client signs the request", c.SignRequest},
		{"primary and a backup verify it", 2 * c.VerifyRequest},
		{"messages, one way each", hops * b.RoundTrip / 2},
		{"flushes", flushes * b.FlushWall},
		{"votes and the reply are signed", 4 * b.Sign},
		{"a backup verifies votes", votes * b.One},
		{"client verifies replies", weak * b.One},
	}}
	for _, t := range u.Terms {
		u.Elapsed += t.PerOp
	}
	return u
}

// Unloaded returns the parts of one operation of the shape's lengths, alone.
func (m *Meter) Unloaded(s Shape) (Unloaded, error) {
	s.OpsPerBatch, s.OpsPerSignature, s.ClientsPerBatch, s.InFlight, s.Single = 1, 1, 1, 1, false
	l, err := m.Limit(s)
	if err != nil {
		return Unloaded{}, err
	}
	return unloaded(s, l.Costs, m.base), nil
}
