package bench

import (
	"math"

	"github.com/quorate/quorate/app/kv"
	"github.com/quorate/quorate/test/roofline"
)

// Hold puts every run beside what this machine can do at best with the batches
// that it reached. The replicas must have run here.
func (r *Report) Hold(m *roofline.Meter) error {
	for i := range r.Runs {
		run := &r.Runs[i]
		shape, ok := r.shape(run.Reached)
		if !ok || run.Unordered > 0 {
			continue // it answered nothing, or not all by what the limit counts
		}
		l, err := m.Limit(shape)
		if err != nil {
			return err
		}
		shape.Single = true
		single, err := m.Limit(shape)
		if err != nil {
			return err
		}
		run.Limit = &l
		run.Share, run.OfSingle = run.PerSecond/l.PerSecond, run.PerSecond/single.PerSecond
	}
	if r.Load.oneOpen() && !r.Load.FastReads {
		u, err := m.Unloaded(r.base())
		if err != nil {
			return err
		}
		r.Unloaded = &u
	}
	c := m.Constants()
	r.Machine = &c
	return nil
}

// oneOpen tells whether only one operation is open at a time. Of clients that do not wait,
// Outstanding bounds nothing.
func (l Load) oneOpen() bool { return l.Clients*l.Outstanding == 1 && !l.NoWait }

// base is the part of a shape that all runs share.
func (r *Report) base() roofline.Shape {
	s := Shape(r.Load.Payload, r.Load.ReadShare)
	s.Replicas, s.Faults, s.Cores = r.Included.Replicas, r.Included.Faults, r.Included.Machine.Cores
	return s
}

// shape is what a run reached; !ok if it reached nothing.
func (r *Report) shape(reached Reached) (s roofline.Shape, ok bool) {
	open := r.Load.Clients * r.Load.Outstanding
	if r.Load.Rate > 0 {
		open = math.MaxInt
	}
	return reached.shape(r.base(), open), reached.Batches > 0
}

// shape is base with what was reached while so many operations were open.
func (reached Reached) shape(base roofline.Shape, open int) roofline.Shape {
	s := base
	s.OpsPerSignature = max(1, reached.OpsPerSignature)
	s.OpsPerBatch = max(reached.OpsPerBatch, s.OpsPerSignature)
	s.ClientsPerBatch = min(max(1, reached.ClientsPerBatch), s.OpsPerBatch)
	s.InFlight = max(1, int(min(float64(roofline.InFlightMax()), math.Round(float64(open)/s.OpsPerBatch))))
	return s
}

// Shape returns a shape with the mean lengths of the load's operations and
// results, and nothing else.
func Shape(payload int, readShare float64) roofline.Shape {
	const key = "bench/0000"
	put, get := len(kv.Put(key, make([]byte, payload))), len(kv.Get(key))
	return roofline.Shape{
		OpBytes:     int(math.Round(float64(put)*(1-readShare) + float64(get)*readShare)),
		ResultBytes: int(math.Round(float64(payload) * readShare)),
	}
}
