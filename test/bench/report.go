package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/quorate/quorate/test/roofline"
)

// reportFormat names the layout of a report. It changes when a field changes its
// meaning or goes; new fields may come at any time.
const reportFormat = "quorate-bench/1"

// reportBytesMax bounds a report that is read: hours of seconds, many runs.
const reportBytesMax = 256 << 20

// Report is a measurement: one or more runs of the same load, with all that
// their figures included. docs/PERFORMANCE.md documents its JSON.
type Report struct {
	Format   string    `json:"format"`
	Begun    time.Time `json:"begun"`
	Load     Load      `json:"load"`
	Included Included  `json:"included"`
	// Planned is how many runs there were to be: more than there are where one failed.
	// 0 where that is not known.
	Planned int   `json:"runs_planned,omitempty"`
	Runs    []Run `json:"runs"`
	// Machine is what the parts cost on this machine, measured right after the
	// runs. It is missing where the replicas are elsewhere.
	Machine *roofline.Constants `json:"constants,omitempty"`
	// Unloaded is the sum of the parts of one operation, where the load had only
	// one open at a time.
	Unloaded *roofline.Unloaded `json:"unloaded,omitempty"`
}

// Load is the load that was put on, as in Options.
type Load struct {
	Loop            string        `json:"loop"` // closed or open
	Clients         int           `json:"clients"`
	Outstanding     int           `json:"outstanding_per_client"`
	Rate            int           `json:"rate_offered"` // 0 in the closed loop
	NoWait          bool          `json:"no_wait"`
	GreedyShare     float64       `json:"greedy_share,omitempty"` // of all operations; 0: no client was greedy
	Payload         int           `json:"payload_bytes"`
	ReadShare       float64       `json:"read_share"`
	FastReads       bool          `json:"fast_reads"`                   // outside of the order
	OpsPerSignature int           `json:"operations_per_signature_max"` // 0: as many as waited
	WarmUp          time.Duration `json:"warm_up_ns"`
	Duration        time.Duration `json:"duration_ns"`
	Seed            uint64        `json:"seed"`
	Fill            int64         `json:"state_bytes"`                       // held beside, before the load began
	KillAfter       time.Duration `json:"primary_killed_after_ns,omitempty"` // 0: it was not
	LoseDiskAfter   time.Duration `json:"disk_lost_after_ns,omitempty"`      // 0: none was
	SlowShare       float64       `json:"slow_backup_share,omitempty"`       // of the measured time that it was stopped for
}

// Included is what the figures of a report include: what they are worth.
type Included struct {
	Replicas           int           `json:"replicas"`
	Faults             int           `json:"tolerates"`
	Processes          bool          `json:"own_processes"` // replicas are processes of their own on this machine
	Signatures         string        `json:"signatures"`
	Flush              string        `json:"flush"`
	Transport          string        `json:"transport"`
	RequestTimeout     time.Duration `json:"request_timeout_ns"`
	CheckpointInterval uint64        `json:"checkpoint_interval"`
	BatchRequests      int           `json:"batch_requests_max"`
	ArchiveBytes       int64         `json:"archive_bytes,omitempty"` // for audits, at each replica; 0 where it is not known
	Machine            Machine       `json:"machine"`
	FileSystem         string        `json:"filesystem"` // of the replicas' data
	Version            string        `json:"version"`
	Commit             string        `json:"commit"`
	Go                 string        `json:"go"`
}

// Run is one run of a report.
type Run struct {
	Result
	View uint64 `json:"view"` // of f+1 replicas at the end; above 0 where a primary was replaced
	// NotVoting is how many replicas did not vote at the end: they had left the view
	// alone, rejoined, had a wrong state, or did not answer.
	NotVoting int `json:"not_voting"`
	// Slow tells of the slow backup, if the load had one.
	Slow *SlowBackup `json:"slow_backup,omitempty"`
	// Lost tells of the backup that lost its data, if one did.
	Lost *LostDisk `json:"lost_disk,omitempty"`
	// Limit is what the machine can do at best with what was reached, and Share
	// how much of it the throughput is. OfSingle is the throughput over the limit
	// of one that makes and verifies every signature alone, with the standard
	// library.
	Limit    *roofline.Limit `json:"limit,omitempty"`
	Share    float64         `json:"share_of_limit"`
	OfSingle float64         `json:"times_single_verification"`
}

// SlowBackup is what became of a backup that was stopped for a share of the time.
type SlowBackup struct {
	Replica int `json:"replica"`
	// Behind is how many numbers fewer than the most it had executed when it was
	// stopped no more, and CaughtUp how long it then took to execute what the others had.
	Behind   uint64        `json:"numbers_behind"`
	CaughtUp time.Duration `json:"caught_up_ns"`
}

// LostDisk is what became of a backup that lost its data.
type LostDisk struct {
	Replica int `json:"replica"`
	// Held is how long after the loss it had executed what the others had a moment
	// before, and Voted how long after it voted again: 0 if that was not in the measured
	// time.
	Held  time.Duration `json:"held_ns"`
	Voted time.Duration `json:"voted_ns"`
}

// NewReport returns a report without runs.
func NewReport(o Options, in Included) Report {
	r := Report{
		Format: reportFormat, Begun: time.Now().UTC().Truncate(time.Second), Included: in,
		Load: Load{
			Loop: o.loop(), Clients: o.Clients, Outstanding: o.Outstanding, Rate: o.Rate, NoWait: o.NoWait,
			GreedyShare: o.GreedyShare, Payload: o.Payload,
			ReadShare: o.ReadShare, FastReads: o.FastReads, OpsPerSignature: o.OpsPerSignature, WarmUp: o.WarmUp, Duration: o.Duration, Seed: o.Seed,
			Fill: o.Fill, SlowShare: o.SlowShare,
		},
	}
	if o.StrikeLosesDisk {
		r.Load.LoseDiskAfter = o.StrikeAfter
	} else {
		r.Load.KillAfter = o.StrikeAfter
	}
	return r
}

// WriteJSON writes r for programs.
func (r Report) WriteJSON(to io.Writer) error {
	e := json.NewEncoder(to)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// ReadReport reads what WriteJSON wrote.
func ReadReport(path string) (Report, error) {
	f, err := os.Open(path)
	if err != nil {
		return Report{}, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	var r Report
	if err := json.NewDecoder(io.LimitReader(f, reportBytesMax)).Decode(&r); err != nil {
		return Report{}, fmt.Errorf("%s is no report of quorate bench: %w", path, err)
	}
	if r.Format != reportFormat {
		return Report{}, fmt.Errorf("%s has the format %q, want %q: measure it again with this version", path, r.Format, reportFormat)
	}
	if len(r.Runs) == 0 {
		return Report{}, errors.New(path + " holds no run")
	}
	return r, nil
}
