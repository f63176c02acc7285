//go:build !adversary

package main

import "github.com/quorate/quorate/pbft"

// interpose refuses: this program cannot be made to lie.
func interpose(_ *console, _ *pbft.Config, _ string) error {
	return usagef("--adversary makes a replica lie, and this program was built without that: " +
		"build one for tests, with go build -tags adversary ./cmd/quorate")
}
