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
	s, err := Open(dir, Options{memTableBytes: memTableBytesMin}) // the least that can be drawn
	if errors.Is(err, ErrDamaged) {
		say("damaged")
		return true
	}
	if err != nil {
		say("error", err)
		return true
	}
	found := content{}
	err = s.Scan(nil, nil, func(k, v []byte) bool { found[string(k)] = string(v); return true })
	seq, _ := s.Last()
	opened := s.Opened()
	switch {
	case err != nil:
		say("fault")
	case opened.Quarantined != "":
		say("quarantined", seq, found.digest())
	case opened.Fallback:
		say("fallback", seq, found.digest())
	default:
		say("whole", seq, found.digest())
	}
	return true
}

func say(words ...any) {
	if _, err := fmt.Fprintln(os.Stdout, words...); err != nil {
		os.Exit(1)
	}
}
