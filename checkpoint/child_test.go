package checkpoint

import (
	"errors"
	"fmt"
	"os"
)

// childVariable names the directory that a child process opens. Badger meets
// some damage by ending the process, so what may do that runs in a child.
const childVariable = "QUORATE_TEST_CHECKPOINT_CHILD"

// openInChild, in a child process, opens the directory, reads everything and
// prints what it found.
func openInChild() bool {
	dir := os.Getenv(childVariable)
	if dir == "" {
		return false
	}
	s, err := Open(dir, Options{})
	if errors.Is(err, ErrDamaged) {
		fmt.Fprintln(os.Stdout, "damaged")
		return true
	}
	if err != nil {
		fmt.Fprintln(os.Stdout, "error", err)
		return true
	}
	found := content{}
	err = s.Scan(nil, nil, func(k, v []byte) bool { found[string(k)] = string(v); return true })
	seq, _ := s.Last()
	opened := s.Opened()
	switch {
	case err != nil:
		fmt.Fprintln(os.Stdout, "fault")
	case opened.Quarantined != "":
		fmt.Fprintln(os.Stdout, "quarantined", seq, found.digest())
	case opened.Fallback:
		fmt.Fprintln(os.Stdout, "fallback", seq, found.digest())
	default:
		fmt.Fprintln(os.Stdout, "whole", seq, found.digest())
	}
	return true
}
