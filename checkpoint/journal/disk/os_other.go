//go:build !unix || solaris || aix

package disk

import (
	"errors"
	"os"
)

// openFlags adds nothing: these systems have no such flag.
const openFlags = 0

// lock refuses: without a lock, two processes could sign with one key.
func lock(*os.File) error {
	return errors.New("this system has no lock that ends with its process")
}
