package cluster

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/quorate/quorate/app/kv"
	"github.com/quorate/quorate/pbft/wire"
)

// Operation is one operation of a history, as its client saw it.
type Operation struct {
	Client int
	Op     kv.Op
	// Call and Return are when the client called and had its result, since the
	// start of the history.
	Call, Return time.Duration
	// Finished says that there is a result. Without one the operation may have
	// been executed or not, or may still be.
	Finished bool
	Result   kv.Result
	// Seq and View are where and in which view it was executed, if it finished.
	Seq  wire.Seq
	View wire.View
}

// IsWrite tells whether the operation can change the state.
func (o Operation) IsWrite() bool { return o.Op.Kind != kv.KindGet && o.Op.Kind != kv.KindScan }

// took tells whether a write is acknowledged to have taken place.
func (o Operation) took() bool { return o.Finished && o.IsWrite() && o.Result.Status == kv.StatusDone }

// History is everything that the clients of a load did and saw.
type History struct {
	Start      time.Time
	Operations []Operation
	// Errs are the ends of operations that no correct cluster causes: refusals,
	// outcomes other than a result, results that do not parse.
	Errs []error
}

// Acknowledged returns how many operations have a result.
func (h History) Acknowledged() int {
	n := 0
	for _, o := range h.Operations {
		if o.Finished {
			n++
		}
	}
	return n
}

// Pending returns how many operations have no result.
func (h History) Pending() int { return len(h.Operations) - h.Acknowledged() }

// operationText is the layout of a line of a history file.
type operationText struct {
	Client int           `json:"client"`
	Call   time.Duration `json:"call_ns"`
	Return time.Duration `json:"return_ns,omitempty"`
	Op     string        `json:"op"`
	Key    string        `json:"key"`
	Old    string        `json:"old,omitempty"`
	Value  string        `json:"value,omitempty"`
	Status string        `json:"status"`
	Result string        `json:"result,omitempty"`
	Seq    wire.Seq      `json:"seq,omitempty"`
	View   wire.View     `json:"view"`
}

func (o Operation) text() operationText {
	t := operationText{
		Client: o.Client, Call: o.Call, Op: o.Op.Kind.String(), Key: o.Op.Key,
		Old: string(o.Op.Old), Value: string(o.Op.Value), Status: "pending",
	}
	if o.Finished {
		t.Return, t.Status, t.Result = o.Return, statusName(o.Result.Status), string(o.Result.Value)
		t.Seq, t.View = o.Seq, o.View
	}
	return t
}

func statusName(s kv.Status) string {
	switch s {
	case kv.StatusDone:
		return "done"
	case kv.StatusFound:
		return "found"
	case kv.StatusNotFound:
		return "not found"
	case kv.StatusConflict:
		return "conflict"
	case kv.StatusEntries:
		return "entries"
	case kv.StatusInvalid:
		return "invalid"
	default:
		return fmt.Sprintf("status %d", byte(s))
	}
}

// String returns the operation as a line of a history file.
func (o Operation) String() string {
	line, err := json.Marshal(o.text())
	if err != nil {
		return err.Error()
	}
	return string(line)
}

// Save writes the history to a new file at path: one JSON object for each
// operation, one a line.
func (h History) Save(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("history: %w", err)
	}
	w := bufio.NewWriter(f)
	for _, o := range h.Operations {
		fmt.Fprintln(w, o) //nolint:errcheck // Flush returns the error
	}
	if err := w.Flush(); err != nil {
		f.Close() //nolint:errcheck // the first error counts
		return fmt.Errorf("history: %w", err)
	}
	return f.Close()
}
