package cluster

import "syscall"

// childAttr lets a child die with the thread that started it, and keeps an
// interrupt from the terminal away from it: what becomes of it is our decision.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
