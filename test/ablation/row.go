package ablation

import (
	"fmt"

	"github.com/quorate/quorate/test/bench"
)

// Row returns o as a row of a Markdown table: the win, the ablation, the load, and for
// throughput, median latency and processor time what it was without and with it, and the
// interval of the ratio.
func (o Outcome) Row() string {
	return fmt.Sprintf("| %d | `%s` | %s | %s | %s | %s |", o.Ablation.Win, o.Ablation.Name, o.Ablation.Load.Name,
		o.cell("throughput", func(v float64) string { return fmt.Sprintf("%.0f", v) }),
		o.cell("p50", func(v float64) string { return fmt.Sprintf("%.1f ms", v/1e6) }),
		o.cell("processor time", func(v float64) string { return fmt.Sprintf("%.0f µs", v/1e3) }))
}

// cell returns one figure, or a question mark if it is not known.
func (o Outcome) cell(name string, spell func(float64) string) string {
	c, known := o.Change(name)
	if !known {
		return "?"
	}
	return fmt.Sprintf("%s → %s, × %.2f%s", spell(c.A), spell(c.B), c.Ratio, interval(c))
}

// interval says what holds the ratio, or that it shows nothing.
func interval(c bench.Change) string {
	if c.Verdict == bench.Open {
		return " (not shown)"
	}
	return fmt.Sprintf(" (%.2f to %.2f)", c.Low, c.High)
}
