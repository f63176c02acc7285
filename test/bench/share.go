package bench

import (
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Shares tell how a cluster divided what it did between clients.
type Shares struct {
	// Fewest and Most are the operations that one client had answered in the measured time;
	// the greedy one is not among them.
	Fewest int64 `json:"fewest_operations"`
	Most   int64 `json:"most_operations"`
	// Index is Jain's of these numbers: 1 where all clients had as many, 1/n where one had
	// all (Jain, Chiu and Hawe, DEC-TR-301, 1984).
	Index float64 `json:"jain_index"`
	// Greedy is what became of the client that asked for more than the others, if one did,
	// and Others of all others together.
	Greedy *Portion `json:"greedy,omitempty"`
	Others *Portion `json:"others,omitempty"`
}

// Portion is what some clients had of the cluster.
type Portion struct {
	PerSecond float64       `json:"operations_per_second"`
	Refused   int64         `json:"refused"`
	P50       time.Duration `json:"p50_ns"`
	P99       time.Duration `json:"p99_ns"`
}

// greedy is the client that asks for more, if one does.
const greedy = 0

// clientOf returns whose the i-th operation of an open loop without waiting is: the
// clients' in turn or, where one is greedy, its in so many of all, evenly, and the
// others' in turn between them.
func (o Options) clientOf(i int64) int {
	clients := int64(o.Clients)
	if o.GreedyShare == 0 {
		return int(i % clients)
	}
	before, after := int64(float64(i)*o.GreedyShare), int64(float64(i+1)*o.GreedyShare)
	if after > before {
		return greedy
	}
	return int(1 + (i-before)%(clients-1))
}

// shares counts what each client had. The record's lock guards it.
type shares struct {
	answered []int64 // by client, in the measured time
	refused  []int64 // by client: of those that started in it
	greedy   bool    // whether one is
	// µs, of operations that started in the measured time, where one is greedy
	own, others *hdrhistogram.Histogram
}

func newShares(o Options) shares {
	s := shares{answered: make([]int64, o.Clients), refused: make([]int64, o.Clients), greedy: o.GreedyShare > 0}
	if s.greedy {
		s.own, s.others = newHistogram(), newHistogram()
	}
	return s
}

// took notes how long an operation of a client took.
func (s *shares) took(client int, latency time.Duration) {
	if !s.greedy {
		return
	}
	h := s.others
	if client == greedy {
		h = s.own
	}
	_ = h.RecordValue(micros(latency)) // in range
}

// result returns what the clients had in so much time, or nil where there is only one.
func (s *shares) result(measured time.Duration) *Shares {
	answered := s.answered
	if s.greedy {
		answered = answered[greedy+1:]
	}
	if len(s.answered) < 2 {
		return nil
	}
	r := &Shares{Fewest: slices.Min(answered), Most: slices.Max(answered), Index: jain(answered)}
	if s.greedy {
		portion := func(answered, refused []int64, h *hdrhistogram.Histogram) *Portion {
			return &Portion{float64(sum(answered)) / measured.Seconds(), sum(refused), quantile(h, 50), quantile(h, 99)}
		}
		r.Greedy = portion(s.answered[:greedy+1], s.refused[:greedy+1], s.own)
		r.Others = portion(answered, s.refused[greedy+1:], s.others)
	}
	return r
}

// jain returns the fairness index of some numbers, 1 where all are 0.
func jain(of []int64) float64 {
	total, squares := float64(sum(of)), 0.0
	for _, n := range of {
		squares += float64(n) * float64(n)
	}
	if squares == 0 {
		return 1
	}
	return total * total / (float64(len(of)) * squares)
}

func sum(of []int64) (total int64) {
	for _, n := range of {
		total += n
	}
	return total
}
