package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// logBytesMax bounds what is kept of a process's output: the end of it.
	logBytesMax = 256 << 10
	// outputWait bounds how long a dead process's output is waited for.
	outputWait = 2 * time.Second
)

// process is one child. It dies with this process, where the system can do that
// (Linux), and at the latest at Close.
type process struct {
	cmd    *exec.Cmd
	log    *tail
	orders *orders       // nil if it takes none
	done   chan struct{} // closed when it has ended
	err    error         // of Wait; read after done
	// killed says that its end, if it has ended, was asked for.
	killed atomic.Bool
}

// processorsVariable tells a Go program how many processors to use.
const processorsVariable = "GOMAXPROCS"

// processorsMin is how few processors a replica is given: with one, whatever the database
// does in the background would hold up votes for tens of milliseconds at every turn.
const processorsMin = 2

// ProcessorsEach returns how many processors each of n replicas on this machine is
// given: its share, as if it had a machine of its own, but for the least. Otherwise the
// runtime of each wakes threads for processors that the others keep busy, which costs
// all of them up to a sixth of what they could do. The environment may say otherwise
// (GOMAXPROCS).
func ProcessorsEach(n int) int {
	if given, err := strconv.Atoi(os.Getenv(processorsVariable)); err == nil && given > 0 {
		return given
	}
	return max(processorsMin, (runtime.NumCPU()+n-1)/n)
}

// launch is how a child is started.
type launch struct {
	binary     string
	args       []string
	processors int  // that it uses
	orders     bool // it takes orders from its standard input
}

// startProcess starts a child whose output goes to log.
func startProcess(l launch, log *tail) (*process, error) {
	p := &process{cmd: exec.Command(l.binary, l.args...), log: log, done: make(chan struct{})} //nolint:noctx // killed by Close
	p.cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", processorsVariable, l.processors))
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if l.orders {
		to, err := p.cmd.StdinPipe()
		if err != nil {
			return nil, fmt.Errorf("start %s: %w", l.binary, err)
		}
		p.orders = &orders{to: to, answers: make(chan string, 1)}
		p.cmd.Stdout = &sorter{log: log, answers: p.orders.answers}
	}
	p.cmd.SysProcAttr = childAttr()
	p.cmd.WaitDelay = outputWait
	started := make(chan error, 1)
	go p.run(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", l.binary, err)
	}
	return p, nil
}

// run starts the child and waits for it. Its thread lives as long as the child:
// Linux sends a parent-death signal when the thread that started the child ends.
func (p *process) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(p.done)
	p.err = p.cmd.Start()
	started <- p.err
	if p.err == nil {
		p.err = p.cmd.Wait()
	}
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// ended tells whether the child has ended.
func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// kill ends the child at once and returns when it is gone.
func (p *process) kill() error {
	if !p.ended() {
		p.killed.Store(true)
	}
	if err := p.signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.done
	return nil
}

// signal sends s to the child; to one that has ended it does nothing.
func (p *process) signal(s syscall.Signal) error {
	if p.ended() {
		return nil
	}
	err := p.cmd.Process.Signal(s)
	if err != nil && p.ended() {
		return nil
	}
	return err
}

// Run runs the quorate binary to its end and returns its exit code and output.
// The end of ctx kills it.
func Run(ctx context.Context, binary string, args ...string) (code int, output string, err error) {
	log := &tail{}
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.WaitDelay = outputWait
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return -1, log.String(), fmt.Errorf("%s %s did not end: %w", binary, strings.Join(args, " "), ctx.Err())
	case errors.As(err, &exit):
		return exit.ExitCode(), log.String(), nil
	case err != nil:
		return -1, log.String(), err
	}
	return 0, log.String(), nil
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

// Write never fails.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if extra := len(t.text) - logBytesMax; extra > 0 {
		t.text = append(t.text[:0], t.text[extra:]...)
	}
	return len(p), nil
}

// String returns what is kept.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}
