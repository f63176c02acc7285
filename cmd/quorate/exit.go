package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft"
	"github.com/quorate/quorate/test/bench"
)

// The exit codes. The help of the root command documents them.
const (
	exitDone        = 0
	exitFailure     = 1
	exitUsage       = 2
	exitUnreachable = 3
	exitRefused     = 4
	exitNotMet      = 5
)

// usageError says that the command line, or a file that it names, is bad.
type usageError struct{ err error }

// Error says what was bad.
func (e usageError) Error() string { return e.err.Error() }

// Unwrap returns what was bad.
func (e usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// refusedError says that the application did not do what was asked.
type refusedError struct{ why string }

// Error says what the application refused.
func (e refusedError) Error() string { return e.why }

func refusedf(format string, args ...any) error { return refusedError{fmt.Sprintf(format, args...)} }

// explain prints an error, if it is one, and returns the exit code for it.
func (c *console) explain(err error) int {
	if err == nil {
		return exitDone
	}
	if c.unread() {
		return exitFailure
	}
	for line := range strings.Lines(err.Error()) {
		line = strings.TrimSuffix(line, "\n")
		if text, canceled := strings.CutSuffix(line, context.Canceled.Error()); canceled {
			line = text + "interrupted"
		}
		c.tell("quorate: %s\n", line)
	}
	if !c.started {
		c.tell("See 'quorate --help', or --help after any command.\n")
		return exitUsage
	}
	return exitCode(err)
}

// exitCode classifies the error of a command that ran.
func exitCode(err error) int {
	var (
		usage      usageError
		refused    refusedError
		unfinished *pbft.UnfinishedError
		missing    unreachableError
		missed     *bench.MissedError
	)
	switch {
	case errors.As(err, &usage), isBadInput(err):
		return exitUsage
	case errors.Is(err, pbft.ErrSessionOld): // which replicas refuse, and not the application
		return exitFailure
	case errors.As(err, &refused), errors.Is(err, pbft.ErrRefused):
		return exitRefused
	case errors.As(err, &unfinished), errors.As(err, &missing), errors.Is(err, context.DeadlineExceeded):
		return exitUnreachable
	case errors.As(err, &missed):
		return exitNotMet
	default:
		return exitFailure
	}
}

// isBadInput tells whether err blames what the user gave.
func isBadInput(err error) bool {
	for _, target := range []error{
		pbft.ErrConfig, pbft.ErrGenesis, pbft.ErrNotMember, pbft.ErrOperation,
		fs.ErrNotExist, fs.ErrExist, fs.ErrPermission, syscall.ENOTDIR, syscall.EISDIR, syscall.EROFS,
		crypto.ErrPassphrase, crypto.ErrKeyFile, crypto.ErrKeyFileUnsafe, crypto.ErrKeyPlain, crypto.ErrKeyEncrypted,
	} {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}
