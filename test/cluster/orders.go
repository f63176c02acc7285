package cluster

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/quorate/quorate/pbft"
)

// The orders that quorate node --orders reads from its standard input, one a line:
// a number, a word and, for a profile, the path of its file. Each is answered by one
// line on the standard output: AnswerPrefix, the number, and a JSON text.
const (
	// OrderStats asks for Stats.
	OrderStats = "stats"
	// OrderProfile begins a processor profile, and OrderProfileEnd ends it.
	OrderProfile    = "profile"
	OrderProfileEnd = "profile-end"
	// AnswerPrefix begins each answer.
	AnswerPrefix = "answer "
)

// OrderOutcome is the answer to an order: Error is empty if it was done.
type OrderOutcome struct {
	Error string `json:"error,omitempty"`
	Stats *Stats `json:"stats,omitempty"`
}

// Stats are what the process of a replica tells of itself.
type Stats struct {
	Goroutines int         `json:"goroutines"`
	Counts     pbft.Counts `json:"counts"`
}

const (
	// orderWait bounds how long an order is waited for: a replica that is paused
	// answers none.
	orderWait = 5 * time.Second
	// answerBytesMax bounds a line that may be an answer.
	answerBytesMax = 64 << 10
)

// errNoOrders says that a replica was not started to take orders.
var errNoOrders = errors.New("it takes no orders: start the cluster with Options.Orders")

// Stats asks replica i what its process holds. The cluster must have been started
// with Options.Orders.
func (c *Cluster) Stats(ctx context.Context, i int) (Stats, error) {
	out, err := c.order(ctx, i, OrderStats)
	if err == nil && out.Stats == nil {
		err = fmt.Errorf("replica %d: an answer without stats", i)
	}
	if err != nil {
		return Stats{}, err
	}
	return *out.Stats, nil
}

// StartProfile has the process of replica i write a processor profile into a file,
// until EndProfile, or until it ends by itself.
func (c *Cluster) StartProfile(ctx context.Context, i int, path string) error {
	_, err := c.order(ctx, i, OrderProfile+" "+path)
	return err
}

// EndProfile ends what StartProfile began.
func (c *Cluster) EndProfile(ctx context.Context, i int) error {
	_, err := c.order(ctx, i, OrderProfileEnd)
	return err
}

func (c *Cluster) order(ctx context.Context, i int, order string) (OrderOutcome, error) {
	p := c.process(i)
	out, err := p.orders.give(ctx, p.done, order)
	if err != nil {
		return out, fmt.Errorf("replica %d: order %q: %w", i, order, err)
	}
	return out, nil
}

// orders carries orders to one process, one at a time. The nil orders carries none.
type orders struct {
	to      io.Writer
	answers chan string // has room for one: who gives an order takes all others away

	mu   sync.Mutex // held while an order is under way
	last int
}

// give gives an order, and returns the answer to it.
func (o *orders) give(ctx context.Context, ended <-chan struct{}, order string) (out OrderOutcome, err error) {
	if o == nil {
		return out, errNoOrders
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, orderWait)
	defer cancel()
	o.last++
	if _, err := fmt.Fprintf(o.to, "%d %s\n", o.last, order); err != nil {
		return out, err
	}
	mine := fmt.Sprintf("%d ", o.last)
	for {
		select {
		case line := <-o.answers:
			text, is := strings.CutPrefix(line, mine)
			if !is {
				continue // to an order that nobody waits for any more
			}
			if err := json.Unmarshal([]byte(text), &out); err != nil {
				return out, fmt.Errorf("its answer: %w", err)
			}
			if out.Error != "" {
				return out, errors.New(out.Error)
			}
			return out, nil
		case <-ended:
			return out, errors.New("the process has ended")
		case <-ctx.Done():
			return out, ctx.Err()
		}
	}
}

// sorter is a process's standard output: answers go to who waits for them, all else
// to the log. One goroutine writes to it.
type sorter struct {
	log     io.Writer
	answers chan string // the last one, until it is taken
	line    []byte      // that has not ended yet
}

// Write never fails.
func (s *sorter) Write(p []byte) (int, error) {
	s.line = append(s.line, p...)
	for {
		end := bytes.IndexByte(s.line, '\n')
		if end < 0 {
			break
		}
		s.pass(s.line[:end+1])
		s.line = s.line[end+1:]
	}
	if len(s.line) > answerBytesMax {
		s.pass(s.line)
		s.line = nil
	}
	return len(p), nil
}

func (s *sorter) pass(line []byte) {
	text, is := strings.CutPrefix(strings.TrimSpace(string(line)), AnswerPrefix)
	if !is {
		_, _ = s.log.Write(line) // a tail never fails
		return
	}
	select {
	case <-s.answers: // who has given the next order may not have taken this one away yet
	default:
	}
	select {
	case s.answers <- text:
	default: // nobody can take answers
	}
}

// ReadOrders has do carry out each order of a stream, and writes its answers, until
// the stream ends. It is the other end of what Cluster.Stats and its like do.
func ReadOrders(from io.Reader, to io.Writer, do func(order, argument string) OrderOutcome) error {
	lines := bufio.NewScanner(from)
	for lines.Scan() {
		number, rest, _ := strings.Cut(lines.Text(), " ")
		order, argument, _ := strings.Cut(rest, " ")
		text, err := json.Marshal(do(order, argument))
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(to, "%s%s %s\n", AnswerPrefix, number, text); err != nil {
			return err
		}
	}
	return lines.Err()
}
