// Package roofline measures what the parts of an operation cost on this machine,
// and computes from that how many operations per second it can reach at best:
// the limit that every result of a benchmark is a share of (the roofline model,
// Williams, Waterman, Patterson, CACM 2009, with one roof, the processors). The
// formula is in docs/PERFORMANCE.md.
package roofline
