package main

import (
	"context"
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// isTerminal tells whether f is one.
func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS) //nolint:gosec // a descriptor is small
	return err == nil
}

// readHidden reads a line from a terminal that does not show it. An interrupt
// is read as a byte, and the end of ctx ends it, so that the terminal is never left hidden.
func readHidden(ctx context.Context, f *os.File) ([]byte, error) {
	fd := int(f.Fd()) //nolint:gosec // a descriptor is small
	was, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return nil, err
	}
	hidden := *was
	hidden.Lflag = hidden.Lflag&^(unix.ECHO|unix.ISIG) | unix.ICANON
	hidden.Cc[unix.VEOL] = interruptByte
	hidden.Iflag |= unix.ICRNL
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &hidden); err != nil {
		return nil, err
	}
	line, err := awaited(ctx, func() ([]byte, error) { return readLine(f) })
	return line, errors.Join(err, unix.IoctlSetTermios(fd, unix.TCSETS, was))
}
