package main

import (
	"fmt"
	"strconv"
	"time"

	"github.com/quorate/quorate/test/bench"
)

// benchTable is a report for people.
func benchTable(r bench.Report) table {
	rows := []string{"load", loadLine(r.Load)}
	if r.Planned > len(r.Runs) {
		rows = append(rows, "INCOMPLETE", fmt.Sprintf("%d of %d runs: the next one failed", len(r.Runs), r.Planned))
	}
	if len(r.Runs) > 1 {
		rows = append(rows, medianRows(r)...)
	}
	for i, run := range r.Runs {
		if len(r.Runs) > 1 {
			rows = append(rows, fmt.Sprintf("run %d", i+1), "")
		}
		rows = append(rows, runRows(run)...)
	}
	if r.Unloaded != nil {
		rows = append(rows, "unloaded", fmt.Sprintf("p50 is %.2f × the %s that its parts take alone",
			r.Median(func(run bench.Run) float64 { return float64(run.P50) })/r.Unloaded.Elapsed, micro(time.Duration(r.Unloaded.Elapsed))))
	}
	return pairs(append(rows, includedRows(r.Included)...)...)
}

// medianRows sums several runs up.
func medianRows(r bench.Report) []string {
	rows := []string{
		"medians", fmt.Sprintf("%.0f operations/s, p50 %s, p99 %s, of %d runs",
			r.Median(func(run bench.Run) float64 { return run.PerSecond }),
			milli(time.Duration(r.Median(func(run bench.Run) float64 { return float64(run.P50) }))),
			milli(time.Duration(r.Median(func(run bench.Run) float64 { return float64(run.P99) }))), len(r.Runs)),
	}
	if r.Machine != nil {
		rows = append(rows, "", fmt.Sprintf("%.1f %% of the machine's limit",
			100*r.Median(func(run bench.Run) float64 { return run.Share })))
	}
	return rows
}

func loadLine(l bench.Load) string {
	loop := fmt.Sprintf("closed loop, %d clients × %d outstanding", l.Clients, l.Outstanding)
	if l.Rate > 0 {
		loop = fmt.Sprintf("open loop, %d operations/s offered, %d clients", l.Rate, l.Clients)
	}
	if l.NoWait {
		loop += " that do not wait"
	}
	if l.GreedyShare > 0 {
		loop += fmt.Sprintf(", one of them with %.0f %% of the operations", 100*l.GreedyShare)
	}
	if l.Fill > 0 {
		loop += fmt.Sprintf(", on a state of %d MiB", l.Fill>>20)
	}
	if l.KillAfter > 0 {
		loop += fmt.Sprintf(", primary killed after %v", l.KillAfter)
	}
	if l.LoseDiskAfter > 0 {
		loop += fmt.Sprintf(", one backup lost its data after %v", l.LoseDiskAfter)
	}
	if l.SlowShare > 0 {
		loop += fmt.Sprintf(", one backup stopped for %.0f %% of the time", 100*l.SlowShare)
	}
	signed := "as many operations per signature as wait"
	if l.OpsPerSignature > 0 {
		signed = fmt.Sprintf("at most %d per signature", l.OpsPerSignature)
	}
	reads := "reads"
	if l.FastReads {
		reads = "reads outside of the order"
	}
	return fmt.Sprintf("%s, values of %d B, %.0f %% %s, %s, %v after %v",
		loop, l.Payload, 100*l.ReadShare, reads, signed, l.Duration, l.WarmUp)
}

func runRows(run bench.Run) []string {
	errs := strconv.FormatInt(run.Errors, 10)
	if run.Errors > 0 {
		errs = fmt.Sprintf("%d, of which %d were never answered; the first: %s", run.Errors, run.Unanswered, printable(run.FirstError))
	}
	rows := []string{
		"throughput", fmt.Sprintf("%.0f operations/s", run.PerSecond),
		"latency", fmt.Sprintf("p50 %s  p90 %s  p99 %s  p99.9 %s  max %s",
			milli(run.P50), milli(run.P90), milli(run.P99), milli(run.P999), milli(run.Max)),
		"longest gap", fmt.Sprintf("%s without an answer, from %.1f s on", milli(run.Gap), run.GapAt.Seconds()),
		"errors", errs,
		"reached", fmt.Sprintf("%.1f operations per batch, %.2f per client signature; %.1f clients per batch, %.0f batches/s",
			run.Reached.OpsPerBatch, run.Reached.OpsPerSignature, run.Reached.ClientsPerBatch, run.Reached.BatchesPerSecond),
	}
	if run.Limit != nil {
		rows = append(rows, "limit", fmt.Sprintf("%.1f %% of the %.0f operations/s that this machine can do with that; %.2f × single verification",
			100*run.Share, run.Limit.PerSecond, run.OfSingle))
	}
	if run.Unordered > 0 {
		rows = append(rows, "unordered", fmt.Sprintf("%d of the operations, reads that q replicas answered alike", run.Unordered))
	}
	if run.Refused > 0 {
		rows = append(rows, "refused", fmt.Sprintf("%d operations, for which there was no room; 99 %% of them within %s",
			run.Refused, milli(run.RefusedP99)))
	}
	rows = append(rows, shareRows(run.Shares)...)
	if run.Late > 0 {
		rows = append(rows, "late", fmt.Sprintf("%d operations began late, with all that were open at once, or all processors, busy; "+
			"that is in their latencies", run.Late))
	}
	if run.View > 0 {
		rows = append(rows, "view", fmt.Sprintf("%d at the end: a primary was replaced", run.View))
	}
	if run.NotVoting > 0 {
		rows = append(rows, "not voting", fmt.Sprintf("%d of the replicas at the end: they left the view alone, or were away", run.NotVoting))
	}
	if s := run.Slow; s != nil {
		rows = append(rows, "slow backup", fmt.Sprintf("replica %d was %d numbers behind at the end, and had caught up %s later",
			s.Replica, s.Behind, milli(s.CaughtUp)))
	}
	if l := run.Lost; l != nil {
		rows = append(rows, "lost disk", fmt.Sprintf("replica %d held what the others did %s after it lost its data; %s", l.Replica, milli(l.Held),
			votedAgain(l.Voted)))
	}
	if u := run.Usage; u.Known && u.Replicas == 0 {
		rows = append(rows, "processor", micro(u.Load)+" per operation at the load; the replicas' is unknown")
	} else if u.Known {
		rows = append(rows, "processor", fmt.Sprintf("%s per operation at the replicas, %s at the load; machine idle %.0f %%, other programs %.0f %%",
			micro(u.Replicas), micro(u.Load), 100*u.Idle, 100*u.Others))
		if s := run.Slow; s != nil && len(u.Each) > 1 {
			rows = append(rows, "", fmt.Sprintf("%s at the slow backup, %s at each of the others", micro(u.Each[s.Replica]),
				micro((u.Replicas-u.Each[s.Replica])/time.Duration(len(u.Each)-1))))
		}
	}
	return append(rows, levelRows(run.Levels)...)
}

// shareRows tell how the cluster divided what it did between the clients.
func shareRows(s *bench.Shares) []string {
	if s == nil {
		return nil
	}
	rows := []string{"each client", fmt.Sprintf("%d to %d operations answered; Jain's fairness index %.4f", s.Fewest, s.Most, s.Index)}
	if s.Greedy != nil && s.Others != nil {
		portion := func(p *bench.Portion) string {
			return fmt.Sprintf("%.0f operations/s answered, p50 %s  p99 %s, %d refused", p.PerSecond, milli(p.P50), milli(p.P99), p.Refused)
		}
		rows = append(rows, "", "of the others than the greedy one; they together: "+portion(s.Others),
			"greedy client", portion(s.Greedy))
	}
	return rows
}

func votedAgain(after time.Duration) string {
	if after == 0 {
		return "it did not vote yet at the end"
	}
	return "it voted after " + milli(after)
}

// levelRows tells what the replicas held when the measuring began and at its end.
func levelRows(levels []bench.Level) []string {
	if len(levels) < 2 {
		return nil
	}
	a, b := levels[0], levels[len(levels)-1]
	mib := func(bytes int64) float64 { return float64(bytes) / (1 << 20) }
	rows := []string{
		"replicas hold", fmt.Sprintf("memory %.0f → %.0f MiB, disk %.0f → %.0f MiB, files %d → %d, threads %d → %d, goroutines %d → %d; all together, begin → end",
			mib(a.Own), mib(b.Own), mib(a.Disk), mib(b.Disk), a.Files, b.Files, a.Threads, b.Threads, a.Goroutines, b.Goroutines),
	}
	if b.Own > a.Own+a.Own/4 {
		rows = append(rows, "", "memory that is new costs time once; a longer --warm-up leaves that out")
	}
	return rows
}

func includedRows(in bench.Included) []string {
	shared := "replicas and load share it"
	if !in.Processes {
		shared = "of the load; the replicas' is theirs"
	}
	return []string{
		"replicas", fmt.Sprintf("%d, tolerate f = %d; checkpoint every %d batches", in.Replicas, in.Faults, in.CheckpointInterval),
		"included", in.Signatures,
		"", in.Flush + "; file system: " + in.FileSystem,
		"", in.Transport,
		"machine", fmt.Sprintf("%s, %d cores, %s; %s", in.Machine.CPU, in.Machine.Cores, in.Machine.Kernel, shared),
		"version", fmt.Sprintf("%s %.12s %s", in.Version, in.Commit, in.Go),
	}
}

func milli(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d.Microseconds())/1000) }

func micro(d time.Duration) string { return fmt.Sprintf("%.0f µs", float64(d)/1000) }
