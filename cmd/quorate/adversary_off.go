//go:build !adversary

package main

import "github.com/quorate/quorate/pbft"

// interpose refuses: this program cannot be made to lie.
func interpose(_ *console, _ *pbft.Config, _ string) error {
	return usagef("--adversary makes a replica lie, and this program was built without that: " +
		"build one for tests, with go build -tags adversary ./cmd/quorate")
}

// spoil refuses: this program's network and clock are what they are.
func spoil(_ *console, _ *pbft.Config, _ string) error {
	return usagef("--faults spoils a replica's network and clock, and this program was built without that: " +
		"build one for tests, with go build -tags adversary ./cmd/quorate")
}

// mayLie tells whether this program has replicas that lie, and how to get one
// that does.
func mayLie() error {
	return usagef("real liars need a program that can lie, which is built for tests alone:\n" +
		"go run -tags adversary ./cmd/quorate scenario run NAME --real")
}
