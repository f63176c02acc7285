//go:build !linux

package cluster

import "syscall"

// childAttr returns nothing special: children end at Close.
func childAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }
