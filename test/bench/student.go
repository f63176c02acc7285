package bench

import "math"

// studentQuantile returns t with P(|T| ≤ t) = confidence for Student's
// distribution with so many degrees of freedom, which need not be whole.
func studentQuantile(confidence, freedom float64) float64 {
	low, high := 0.0, 1.0
	for within(high, freedom) < confidence {
		high *= 2
	}
	for range 60 {
		middle := (low + high) / 2
		if within(middle, freedom) < confidence {
			low = middle
		} else {
			high = middle
		}
	}
	return (low + high) / 2
}

// within is P(|T| ≤ t): the regularized incomplete beta function at
// t²/(freedom+t²), with the parameters 1/2 and freedom/2.
func within(t, freedom float64) float64 {
	return incompleteBeta(t*t/(freedom+t*t), 1.0/2, freedom/2)
}

// incompleteBeta is I_x(a, b), by its continued fraction (Abramowitz & Stegun
// 26.5.8), on the side of the mean where that converges fast.
func incompleteBeta(x, a, b float64) float64 {
	if x <= 0 || x >= 1 {
		return min(max(x, 0), 1)
	}
	if x > (a+1)/(a+b+2) {
		return 1 - incompleteBeta(1-x, b, a)
	}
	const terms = 200
	fraction := 1.0
	for m := terms; m >= 1; m-- {
		k := float64(m)
		even := k * (b - k) * x / ((a + 2*k - 1) * (a + 2*k))
		odd := -(a + k) * (a + b + k) * x / ((a + 2*k) * (a + 2*k + 1))
		fraction = 1 + even/(1+odd/fraction)
	}
	fraction = 1 - (a+b)*x/(a+1)/fraction
	logA, _ := math.Lgamma(a)
	logB, _ := math.Lgamma(b)
	logAB, _ := math.Lgamma(a + b)
	return math.Exp(logAB-logA-logB+a*math.Log(x)+b*math.Log1p(-x)) / a / fraction
}
