//go:build !linux

package disk

import "os"

// syncData is a full sync where there is nothing less.
func syncData(f *os.File) error { return f.Sync() }
