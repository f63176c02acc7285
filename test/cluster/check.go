package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/app/kv"
)

// checkTimeMax bounds the search for a linearization.
const checkTimeMax = 30 * time.Second

// ErrUnproven says that a proof did not come to an end: neither the promises nor
// a violation are shown.
var ErrUnproven = errors.New("not proven")

// Violation says that a cluster broke a promise.
type Violation struct {
	// What was broken, with the operation or the replicas that show it.
	What string
	// Key is the one whose history shows it; empty if it is none's.
	Key string
	// Dir holds the evidence: the history, a picture of it, the replicas' logs.
	Dir string

	operations []Operation // all that was checked, for the evidence
}

// Error says what was broken and where the evidence is.
func (v *Violation) Error() string {
	if v.Dir == "" {
		return "VIOLATION: " + v.What
	}
	return fmt.Sprintf("VIOLATION: %s; the evidence is in %s", v.What, v.Dir)
}

// Checked is what is known of a history and the state that it led to.
type Checked struct {
	// Acknowledged and Pending operations of the history.
	Acknowledged int
	Pending      int
	// Present is how many acknowledged writes of keys of their own were read back.
	Present int
	// Once is how many operations would have shown a second execution.
	Once int
	// Operations and Keys were found linearizable, in Took; Unordered of the operations
	// are reads that did not go through the order.
	Operations int
	Unordered  int
	Keys       int
	Took       time.Duration
}

// CheckHistory reads the whole state through client and holds it against what
// the clients of a load saw. The error is a *Violation, ErrUnproven, or that of
// the client. Nobody else may write to the load's keys.
func CheckHistory(ctx context.Context, client Submitter, h History) (Checked, error) {
	c := Checked{Acknowledged: h.Acknowledged(), Pending: h.Pending()}
	if len(h.Errs) > 0 {
		return c, &Violation{What: "operations ended as no correct cluster ends them: " + errors.Join(h.Errs...).Error()}
	}
	state, reads, err := readState(ctx, client, h)
	if err != nil {
		return c, err
	}
	all := slices.Concat(h.Operations, reads)
	err = c.present(h, state)
	if err == nil {
		err = c.once(h, state)
	}
	if err == nil {
		err = c.linearizable(ctx, all)
	}
	var violation *Violation
	if errors.As(err, &violation) {
		violation.operations = all
	}
	return c, err
}

// linearizable checks the history of every key.
func (c *Checked) linearizable(ctx context.Context, operations []Operation) error {
	start := time.Now()
	key, err := linearizable(ctx, operations, checkTimeMax)
	if err != nil {
		return err
	}
	if key != "" {
		return &Violation{What: "the history of the key " + key + " is not linearizable", Key: key}
	}
	for i := range operations {
		if o := &operations[i]; o.Finished && o.Op.Kind == kv.KindGet && o.Seq == 0 {
			c.Unordered++
		}
	}
	c.Operations, c.Keys, c.Took = len(operations), len(byKey(operations)), time.Since(start)
	return nil
}

// readState reads all keys, and returns them and the reads as operations on the
// keys of the history. A page of a scan is a read of every key in its range, at
// one point of the order.
func readState(ctx context.Context, client Submitter, h History) (map[string]string, []Operation, error) {
	known := slices.Sorted(maps.Keys(byKey(h.Operations)))
	state := make(map[string]string)
	var reads []Operation
	for from, more := "", true; more; {
		o := Operation{Client: clientsOf(h), Call: time.Since(h.Start), Finished: true}
		got, err := client.Read(ctx, kv.Scan(from, "", kv.ScanLimitMax))
		if err != nil {
			return nil, nil, fmt.Errorf("read back: %w", err)
		}
		page, err := kv.ParseResult(got.Value)
		if err != nil || page.Status != kv.StatusEntries || page.More && len(page.Entries) == 0 {
			return nil, nil, fmt.Errorf("read back: a scan returned %.80q (%w)", got.Value, err)
		}
		o.Return, o.Seq, o.View = time.Since(h.Start), got.Seq, got.View
		for _, e := range page.Entries {
			state[e.Key] = string(e.Value)
			from = e.Key + "\x00"
		}
		more = page.More
		for len(known) > 0 && (!more || known[0] < from) {
			reads = append(reads, o.readOf(known[0], state))
			known = known[1:]
		}
	}
	return state, reads, nil
}

// clientsOf returns the number of the first client that h does not have.
func clientsOf(h History) int {
	n := 0
	for _, o := range h.Operations {
		n = max(n, o.Client+1)
	}
	return n
}

// readOf returns o as the read of one key.
func (o Operation) readOf(key string, state map[string]string) Operation {
	o.Op = kv.Op{Kind: kv.KindGet, Key: key}
	o.Result = kv.Result{Status: kv.StatusNotFound}
	if value, ok := state[key]; ok {
		o.Result = kv.Result{Status: kv.StatusFound, Value: []byte(value)}
	}
	return o
}

// present checks that every acknowledged write of a key of its own is there, and
// that nothing is that no client wrote.
func (c *Checked) present(h History, state map[string]string) error {
	written := make(map[string]string)
	for _, o := range h.Operations {
		if !o.IsWrite() {
			continue
		}
		written[o.Op.Key] = string(o.Op.Value)
		if !o.took() || !strings.HasPrefix(o.Op.Key, uniquePrefix) {
			continue
		}
		switch value, ok := state[o.Op.Key]; {
		case !ok:
			return &Violation{What: fmt.Sprintf("an acknowledged write is lost: %v", o), Key: o.Op.Key}
		case value != string(o.Op.Value):
			return &Violation{What: fmt.Sprintf("an acknowledged write became %q: %v", value, o), Key: o.Op.Key}
		}
		c.Present++
	}
	for _, key := range slices.Sorted(maps.Keys(state)) {
		value := state[key]
		of, ours := written[key]
		switch {
		case !ours && hasLoadPrefix(key):
			return &Violation{What: fmt.Sprintf("the key %s has the value %q, and nobody wrote it", key, value), Key: key}
		case ours && strings.HasPrefix(key, uniquePrefix) && value != of:
			return &Violation{What: fmt.Sprintf("the key %s has the value %q, and only %q was written", key, value, of), Key: key}
		}
	}
	return nil
}

func hasLoadPrefix(key string) bool {
	return strings.HasPrefix(key, sharedPrefix) || strings.HasPrefix(key, swapPrefix) || strings.HasPrefix(key, uniquePrefix)
}

// once checks what one client alone did to its keys: there, any result but
// "done" shows that an operation took effect twice, or not at all.
func (c *Checked) once(h History, state map[string]string) error {
	swaps := make(map[string][]Operation)
	for _, o := range h.Operations {
		own := strings.HasPrefix(o.Op.Key, swapPrefix)
		if own {
			swaps[o.Op.Key] = append(swaps[o.Op.Key], o)
		}
		if !o.Finished || !own && !strings.HasPrefix(o.Op.Key, uniquePrefix) {
			continue
		}
		if o.Result.Status != kv.StatusDone {
			return &Violation{What: fmt.Sprintf("an operation took effect twice, or an earlier one was lost: %v", o), Key: o.Op.Key}
		}
		c.Once++
	}
	for _, key := range slices.Sorted(maps.Keys(swaps)) {
		last := swaps[key][len(swaps[key])-1]
		got, ok := state[key]
		after, before := string(last.Op.Value), string(last.Op.Old)
		fits := got == after || !last.Finished && (got == before || !ok)
		if !fits {
			return &Violation{
				What: fmt.Sprintf("the key %s has the value %q after the last swap: %v", key, got, last), Key: key,
			}
		}
	}
	return nil
}
