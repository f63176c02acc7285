//go:build !linux

package main

import (
	"context"
	"errors"
	"os"
)

// isTerminal returns false: on this system passphrases come from files or the
// environment.
func isTerminal(*os.File) bool { return false }

func readHidden(context.Context, *os.File) ([]byte, error) {
	return nil, errors.New("no prompts on this system")
}
