//go:build unix

package cluster

import "syscall"

// pause stops a child without its knowledge; resume lets it go on.
func (p *process) pause() error  { return p.signal(syscall.SIGSTOP) }
func (p *process) resume() error { return p.signal(syscall.SIGCONT) }
