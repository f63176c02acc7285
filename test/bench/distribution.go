package bench

import (
	"maps"
	"math"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Point is one point of the latency curve: the share Quantile, 0 to 1, of all
// operations took at most Latency.
type Point struct {
	Quantile float64       `json:"quantile"`
	Latency  time.Duration `json:"latency_ns"`
}

// Class is one class of the histogram: the operations that took From to To.
type Class struct {
	From       time.Duration `json:"from_ns"`
	To         time.Duration `json:"to_ns"`
	Operations int64         `json:"operations"`
}

// classesPerDoubling is how many classes of the histogram lie between a latency
// and twice that.
const classesPerDoubling = 8

// classes returns the histogram in classes of equal ratio, from the first to the
// last that holds an operation.
func classes(h *hdrhistogram.Histogram) []Class {
	counts := make(map[int]int64)
	for _, bar := range h.Distribution() {
		if bar.Count > 0 {
			counts[int(math.Floor(classesPerDoubling*math.Log2(float64(max(1, bar.From)))))] += bar.Count
		}
	}
	if len(counts) == 0 {
		return nil
	}
	edge := func(i int) time.Duration {
		return time.Duration(math.Exp2(float64(i)/classesPerDoubling) * float64(time.Microsecond))
	}
	held := slices.Sorted(maps.Keys(counts))
	var all []Class
	for i := held[0]; i <= held[len(held)-1]; i++ {
		all = append(all, Class{edge(i), edge(i + 1), counts[i]})
	}
	return all
}

// curve returns points of the distribution, denser towards its end, as far as
// there are operations to tell apart.
func curve(total int64, at func(q float64) time.Duration) []Point {
	const steps = 20 // for each halving of what lies above
	var points []Point
	if total == 0 {
		return points
	}
	for left := 1.0; left*float64(total) >= 1; left /= 2 {
		for i := range steps {
			q := 1 - left*(1-float64(i)/(2*steps))
			points = append(points, Point{q, at(q)})
		}
	}
	return append(points, Point{1, at(1)})
}
