// Package ablation shows what each of the things is worth that make the product fast: it
// takes one away, by a change of the source, and measures the command with and without
// it, in turn, in one run on one machine. What is worth nothing is to be taken out.
//
// Measure all, which takes an hour or two, on a machine that does nothing else:
//
//	go test ./test/ablation -run Measure -v -rounds 4 -timeout 3h
package ablation
