package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/quorate/quorate/pbft"
)

// growthFormat names the layout of a Growth. It changes when a field changes its
// meaning or goes; new fields may come at any time.
const growthFormat = "quorate-growth/1"

// Bounds of GrowthOptions.
const (
	growthReplicasMin = 4
	growthReplicasMax = 64 // in one process, each with a journal and a state
	growthValuesMax   = 16 // of one dimension
	growthBatchMax    = 1024
)

// GrowthOptions say where to measure how cost grows: at a default point, and at
// others that differ from it in one dimension each.
type GrowthOptions struct {
	// Default is the point that all others differ from in one dimension.
	Default Dimensions
	// The values of each dimension beside the default one.
	Replicas, Payloads, Clients, BatchLimits []int
	States                                   []int64
	Delays                                   []time.Duration
	// Outstanding is how many operations each client keeps open.
	Outstanding int
	// WarmUp is not measured; Duration is, of each point.
	WarmUp, Duration time.Duration
	// RequestTimeout is the replicas'; 0 means pbft.RequestTimeoutDefault.
	RequestTimeout time.Duration
	// Dir is where the replicas' data goes; empty means that of temporary files.
	Dir  string
	Seed uint64

	operations int64 // for tests: measure so many, however long that takes
}

// Dimensions are what a point is at.
type Dimensions struct {
	Replicas   int `json:"replicas"`
	Payload    int `json:"payload_bytes"`
	Clients    int `json:"clients"`
	BatchLimit int `json:"batch_requests_max"`
	// State is how many bytes of other values the state holds, on disk, before the load begins.
	State int64 `json:"state_bytes"`
	// Delay is how long each message takes on its way.
	Delay time.Duration `json:"one_way_delay_ns"`
}

// String names all of them.
func (d Dimensions) String() string {
	return fmt.Sprintf("%d replicas, %d B, %d clients, batches of at most %d, %d MiB of other values, %v apart",
		d.Replicas, d.Payload, d.Clients, d.BatchLimit, d.State>>20, d.Delay)
}

// Planned is a point to measure. Varied is the dimension in which it differs from the
// default point, and empty for that one.
type Planned struct {
	Varied string `json:"varied"`
	Dimensions
}

// The names of the dimensions, as in Planned.Varied.
const (
	VariedReplicas   = "replicas"
	VariedPayload    = "payload"
	VariedClients    = "clients"
	VariedBatchLimit = "batch limit"
	VariedState      = "state"
	VariedDelay      = "delay"
)

// Growth is what was measured: docs/PERFORMANCE.md documents its JSON.
type Growth struct {
	Format      string         `json:"format"`
	Begun       time.Time      `json:"begun"`
	Included    GrowthIncluded `json:"included"`
	Default     Dimensions     `json:"default"`
	Outstanding int            `json:"outstanding_per_client"`
	WarmUp      time.Duration  `json:"warm_up_ns"`
	Duration    time.Duration  `json:"duration_ns"`
	Seed        uint64         `json:"seed"`
	Planned     int            `json:"points_planned"` // of which Points may be fewer, after an interruption
	Points      []GrowthPoint  `json:"points"`
}

// GrowthIncluded is what the figures include.
type GrowthIncluded struct {
	Signatures         string        `json:"signatures"`
	Flush              string        `json:"flush"`
	Transport          string        `json:"transport"`
	RequestTimeout     time.Duration `json:"request_timeout_ns"`
	CheckpointInterval uint64        `json:"checkpoint_interval"`
	Machine            Machine       `json:"machine"`
	FileSystem         string        `json:"filesystem"`
	Version            string        `json:"version"`
	Commit             string        `json:"commit"`
	Go                 string        `json:"go"`
}

// GrowthPoint is what was measured at one point.
type GrowthPoint struct {
	Planned

	Faults     int           `json:"tolerates"`
	Filled     time.Duration `json:"filled_ns,omitempty"` // how long it took until the disks held the state
	Operations int64         `json:"operations"`          // answered in the measured time
	PerSecond  float64       `json:"operations_per_second"`
	Errors     int64         `json:"errors"`
	FirstError string        `json:"first_error,omitempty"`
	P50        time.Duration `json:"p50_ns"`
	P99        time.Duration `json:"p99_ns"`
	Max        time.Duration `json:"max_ns"`
	// Written is how many bytes this process had written to disk for each operation, at all
	// replicas together: journals, checkpoints, and tables put in order. 0 where the system
	// does not tell.
	Written float64 `json:"written_per_operation,omitempty"`
	View    uint64  `json:"view"` // of f+1 replicas at the end; above 0 where a primary was replaced
	// Unsettled says that replicas were not yet done with what they had been asked for when
	// they were counted: the counts are not those of the operations.
	Unsettled bool `json:"unsettled,omitempty"`

	OpsPerBatch     float64 `json:"operations_per_batch"`
	OpsPerSignature float64 `json:"operations_per_signature"`
	ClientsPerBatch float64 `json:"clients_per_batch"`
	InFlight        int     `json:"batches_in_flight"` // as the formula takes it

	// Counted is what all replicas together did for each operation, Needed what the
	// formula of the limit says that the shape which was reached takes at the least,
	// and Ratio the one over the other.
	Counted Work `json:"counted_per_operation"`
	Needed  Work `json:"needed_per_operation"`
	Ratio   Work `json:"counted_over_needed"`
	// Counts are those of all replicas together, for all operations.
	Counts pbft.Counts `json:"counts"`
}

// Work is what all replicas together do for one operation.
type Work struct {
	Signatures float64 `json:"signatures"` // made
	// Verifications are of requests, votes and all else.
	Verifications    float64 `json:"verifications"`
	RequestsVerified float64 `json:"requests_verified"`
	VotesVerified    float64 `json:"votes_verified"`
	// Frames and Bytes are sent: between replicas, and to and from clients.
	Frames  float64 `json:"frames"`
	Bytes   float64 `json:"bytes"`
	Flushes float64 `json:"flushes"`
}

// GrowthDefaults are the dimensions and the point of quorate bench growth.
func GrowthDefaults() GrowthOptions {
	batch := pbft.DefaultGenesisLimits().BatchRequests
	return GrowthOptions{
		Default:  Dimensions{Replicas: 4, Payload: 128, Clients: 16, BatchLimit: batch},
		Replicas: []int{4, 7, 10, 16, 31}, Payloads: []int{0, 128, 1 << 10, 16 << 10, 64 << 10},
		Clients: []int{1, 10, 100, 1000}, BatchLimits: []int{1, 4, 16, batch}, States: []int64{0, 64 << 20, 256 << 20},
		Delays:      []time.Duration{0, 10 * time.Millisecond, 50 * time.Millisecond},
		Outstanding: 1, WarmUp: time.Second / 2, Duration: 2 * time.Second, RequestTimeout: pbft.RequestTimeoutDefault, Seed: 1,
	}
}

// Validate reports everything that is wrong with o, at once.
func (o GrowthOptions) Validate() error {
	var errs []error
	need := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	few := func(name string, values int) int {
		need(values <= growthValuesMax, "%s has %d values, want at most %d", name, values, growthValuesMax)
		return min(values, growthValuesMax)
	}
	each := func(name string, defaultValue int, values []int, low, high int) {
		for _, v := range append([]int{defaultValue}, values[:few(name, len(values))]...) {
			need(v >= low && v <= high, "%s is %d, want %d to %d", name, v, low, high)
		}
	}
	d := o.Default
	each("replicas", d.Replicas, o.Replicas, growthReplicasMin, growthReplicasMax)
	each("payload", d.Payload, o.Payloads, 0, payloadMax)
	each("clients", d.Clients, o.Clients, 1, clientsMax)
	each("batch limit", d.BatchLimit, o.BatchLimits, 1, growthBatchMax)
	for _, v := range append([]int64{d.State}, o.States[:few("state", len(o.States))]...) {
		need(v >= 0 && v <= fillMax, "the state is to hold %d bytes, want 0 to %d", v, int64(fillMax))
	}
	for _, v := range append([]time.Duration{d.Delay}, o.Delays[:few("delay", len(o.Delays))]...) {
		need(v >= 0 && v <= pbft.LocalDelayMax, "delay is %v, want 0 to %v", v, pbft.LocalDelayMax)
	}
	need(o.Outstanding >= 1 && o.Outstanding <= outstandingMax, "outstanding is %d, want 1 to %d", o.Outstanding, outstandingMax)
	need(o.WarmUp >= 0, "warm-up is %v, want 0 or more", o.WarmUp)
	need(o.Duration > 0 && o.Duration <= durationMax, "duration is %v, want more than 0, to %v", o.Duration, durationMax)
	need(o.RequestTimeout == 0 || o.RequestTimeout >= pbft.RequestTimeoutMin && o.RequestTimeout <= pbft.RequestTimeoutMax,
		"request timeout is %v, want %v to %v", o.RequestTimeout, pbft.RequestTimeoutMin, pbft.RequestTimeoutMax)
	return errors.Join(errs...)
}

// Plan returns the points: the default one first, and each other once.
func (o GrowthOptions) Plan() []Planned {
	plan := []Planned{{"", o.Default}}
	add := func(name string, d Dimensions) {
		if !slices.ContainsFunc(plan, func(p Planned) bool { return p.Dimensions == d }) {
			plan = append(plan, Planned{name, d})
		}
	}
	vary := func(name string, values []int, set func(*Dimensions, int)) {
		for _, v := range values {
			d := o.Default
			set(&d, v)
			add(name, d)
		}
	}
	vary(VariedReplicas, o.Replicas, func(d *Dimensions, v int) { d.Replicas = v })
	vary(VariedPayload, o.Payloads, func(d *Dimensions, v int) { d.Payload = v })
	vary(VariedClients, o.Clients, func(d *Dimensions, v int) { d.Clients = v })
	vary(VariedBatchLimit, o.BatchLimits, func(d *Dimensions, v int) { d.BatchLimit = v })
	for _, v := range o.States {
		d := o.Default
		d.State = v
		add(VariedState, d)
	}
	for _, v := range o.Delays {
		d := o.Default
		d.Delay = v
		add(VariedDelay, d)
	}
	return plan
}

// What a point takes beside its warm-up and duration, about: to start and stop each
// replica, and to connect each client.
const (
	growthPointTime   = time.Second
	growthReplicaTime = 100 * time.Millisecond
	growthClientTime  = 2 * time.Millisecond
	growthFillTime    = 250 * time.Millisecond // for each MiB of a state
)

// Takes returns about how long the measurement takes.
func (o GrowthOptions) Takes() time.Duration {
	sum := time.Duration(0)
	for _, p := range o.Plan() {
		sum += o.WarmUp + o.Duration + growthPointTime +
			time.Duration(p.Replicas)*growthReplicaTime + time.Duration(p.Clients)*growthClientTime
		if p.State > 0 {
			sum += time.Duration(p.State>>20)*growthFillTime + settleFor
		}
	}
	return sum
}

// WriteJSON writes g for programs.
func (g Growth) WriteJSON(to io.Writer) error {
	e := json.NewEncoder(to)
	e.SetIndent("", "  ")
	return e.Encode(g)
}
