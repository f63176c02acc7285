package core

import "fmt"

// assert checks what holds by our own doing. It is never reachable from a
// frame: a peer's nonsense is an Observation.
func assert(ok bool, format string, args ...any) {
	if !ok {
		panic("core: broken invariant: " + fmt.Sprintf(format, args...))
	}
}
