// Package bench measures clusters end to end: a load of signed operations from
// real clients, in a closed loop (as fast as answers come) or an open one (at a
// fixed rate, with latencies counted from when an operation was due, so that a
// stall is not hidden by the load that waited for it: coordinated omission). A
// report holds the figures with all that they included; thresholds and
// comparisons judge it. A growth counts what clusters of many sizes do, beside
// what they must.
package bench
