package disk

import (
	"errors"
	"os"
	"syscall"
)

// syncData calls fdatasync, which spares the write of the times.
func syncData(f *os.File) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var synced error
	err = conn.Control(func(fd uintptr) {
		for {
			synced = syscall.Fdatasync(int(fd)) //nolint:gosec // a descriptor fits an int
			if !errors.Is(synced, syscall.EINTR) {
				return
			}
		}
	})
	return errors.Join(err, synced)
}
