package sim

import (
	"testing"

	"github.com/quorate/quorate/pbft/wire"
	"github.com/quorate/quorate/test/adversary"
)

// kept are runs that once broke a law. Their Options are written out, so that
// what FromSeed draws may change; but a change of the order in which a run draws
// from its seed makes them other runs, and then they must be found again: take
// the fix back, and search until one fails.
type kept struct {
	law  string
	runs []Options
}

func keptRuns() []kept {
	return []kept{
		{
			"who enters a view keeps, durably, the new view and the view changes it names, for those behind",
			[]Options{
				{
					Seed: 186, Replicas: 4, Faults: 1, Clients: 1, Operations: 42, Outstanding: 3, OpsMax: 1,
					Interval: 2, Window: 6, InFlight: 4, BatchRequests: 8, BatchBytes: 16384, ArchiveBytes: 1024,
					Loss: 0.2, Duplication: 0.1, DelayMin: 1000000, DelayMax: 293000000, FlushMax: 9000000,
					SnapshotMax: 29000000, Crashes: 6, AllCrash: true, Mutes: 3, OutageMax: 5000000000, Scrambles: 42, Ambushes: 2, Losses: 1, Turbulence: 12000000000,
				},
				{
					Seed: 226, Replicas: 4, Faults: 1, Clients: 2, Operations: 49, Outstanding: 4, OpsMax: 1,
					Interval: 1, Window: 2, InFlight: 4, BatchRequests: 1, ArchiveBytes: 1, Loss: 0.05, DelayMin: 1000000, DelayMax: 167000000, FlushMax: 7000000, SnapshotMax: 5000000, Crashes: 4, Mutes: 3,
					OutageMax: 1000000000, Ambushes: 5, Losses: 1, Turbulence: 4000000000,
				},
			},
		},
		{
			"one replica alone may be ahead: what it claims is worth asking for, for the answer proves itself",
			[]Options{
				{
					Seed: 446, Replicas: 4, Faults: 1, Clients: 1, Operations: 40, Outstanding: 1, OpsMax: 1,
					Interval: 1, Window: 4, InFlight: 3, BatchRequests: 8, BatchBytes: 16384, DelayMin: 1000000,
					DelayMax: 175000000, FlushMax: 5000000, SnapshotMax: 22000000, Crashes: 3, Mutes: 2, OutageMax: 2000000000, Scrambles: 42, Losses: 1, Turbulence: 8000000000,
				},
				{
					Seed: 967, Replicas: 4, Faults: 1, Clients: 1, Operations: 40, Outstanding: 2, OpsMax: 3,
					Reads: 0.3, Interval: 5, Window: 20, InFlight: 3, BatchRequests: 1, BatchBytes: 16384,
					DelayMin: 1000000, DelayMax: 37000000, FlushMax: 2000000, SnapshotMax: 60000000, Crashes: 3,
					Partitions: 1, OutageMax: 6000000000, Scrambles: 18, Losses: 1, Turbulence: 5000000000,
				},
			},
		},
		{
			"who hears no quorum does not leave its view: with nothing left to do, nobody would follow it there",
			[]Options{
				{
					Seed: 2033, Replicas: 7, Faults: 1, Clients: 2, Operations: 17, Outstanding: 5, OpsMax: 3,
					Reads: 0.3, Interval: 1, Window: 4, InFlight: 3, BatchRequests: 8, ArchiveBytes: 1, Loss: 0.05,
					Duplication: 0.1, DelayMin: 1000000, DelayMax: 87000000, FlushMax: 5000000, SnapshotMax: 10000000, Partitions: 3, Mutes: 3, OutageMax: 4000000000, Turbulence: 1000000000,
				},
			},
		},
		{
			"what lies beyond a client's window is not ordered, or whoever is behind has it ordered for ever",
			[]Options{
				{
					Seed: 1017506, Replicas: 7, Faults: 2, Clients: 1, Operations: 12, Outstanding: 1, OpsMax: 1,
					Interval: 5, Window: 10, InFlight: 4, BatchRequests: 1, ArchiveBytes: 1, ClientsMax: 2, Loss: 0.01,
					DelayMin: 1000000, DelayMax: 1000000, FlushMax: 9000000, SnapshotMax: 38000000, Crashes: 3,
					OutageMax: 5000000000, Scrambles: 40, Replay: 0.2, Clogs: 5, Shuns: 4, Jumps: 2, Skews: 1,
					Tick: 50000000, StatusEvery: 200000000, Outlaws: 1, Turbulence: 9000000000, SegmentBytes: 65536,
				},
			},
		},
		{
			"a view that was left before its timeout does not make the timeouts longer",
			[]Options{
				{
					Seed: 4088807, Replicas: 4, Faults: 1, Clients: 3, Operations: 46, Outstanding: 2, OpsMax: 1,
					Interval: 3, Window: 6, InFlight: 4, BatchRequests: 8, BatchBytes: 16384, ArchiveBytes: 33554432,
					Duplication: 0.1, DelayMin: 1000000, DelayMax: 20000000, FlushMax: 6000000, SnapshotMax: 34000000,
					Mutes: 1, OutageMax: 1000000000, Scrambles: 22, Shuns: 2, Pauses: 4, FullDisks: 3, Ambushes: 2,
					Losses: 1, StatusEvery: 200000000, Turbulence: 11000000000, Hasty: true, SegmentBytes: 4096,
				},
			},
		},
		{
			"in the simulator, a piece of the state may come before the first question for one",
			[]Options{
				{
					Seed: 10143708, Replicas: 4, Faults: 1, Clients: 2, Operations: 26, Outstanding: 1, OpsMax: 1,
					ValueBytes: 2000, Interval: 1, Window: 2, InFlight: 4, BatchRequests: 8, BatchBytes: 16384,
					ArchiveBytes: 1, Loss: 0.05, Duplication: 0.1, DelayMin: 1000000, DelayMax: 15000000,
					FlushMax: 9000000, SnapshotMax: 1000000, Partitions: 1, OutageMax: 4000000000, Clogs: 3, Cuts: 6,
					Bursts: 5, FullDisks: 1, Liars: 1, Tick: 50000000, StatusEvery: 200000000,
					Turbulence: 3000000000, Hasty: true, RealStorage: true, SegmentBytes: 4096,
				},
			},
		},
		{
			"in the simulator, a cluster that still changes its view is not at rest yet",
			[]Options{
				{
					Seed: 20378272, Replicas: 6, Faults: 1, Clients: 1, Operations: 26, Outstanding: 2, OpsMax: 1,
					Reads: 0.3, Interval: 50, Window: 150, InFlight: 3, BatchRequests: 8, BatchBytes: 1048576,
					ArchiveBytes: 1024, Duplication: 0.1, DelayMin: 1000000, DelayMax: 5000000, FlushMax: 8000000,
					SnapshotMax: 57000000, Crashes: 1, Snipes: 2, Partitions: 3, Mutes: 3, OutageMax: 4000000000,
					Scrambles: 11, Replay: 0.05, Tick: 10000000, StatusEvery: 200000000, Liveness: true,
					Turbulence: 6000000000, RealStorage: true, SegmentBytes: 32768,
				},
			},
		},
		{
			"who fetches the state passes no requests on: one that the full client table forgot would be ordered for ever",
			[]Options{
				{
					Seed: 30135354, Replicas: 4, Faults: 1, Clients: 3, Operations: 5, Outstanding: 5, OpsMax: 4, Reads: 0.3,
					Interval: 2, Window: 4, InFlight: 1, BatchRequests: 1, BatchBytes: 16384, ArchiveBytes: 33554432,
					ClientsMax: 2, Loss: 0.2, DelayMin: 1000000, DelayMax: 83000000, FlushMax: 8000000, SnapshotMax: 44000000,
					Partitions: 1, Mutes: 2, OutageMax: 6000000000, LinkMax: 4, FullDisks: 2, Ambushes: 3, Tick: 10000000,
					StatusEvery: 200000000, Liveness: true, Turbulence: 4000000000, SegmentBytes: 16384,
				},
			},
		},
		{
			"in the simulator, each bad primary in a row beyond f may double the timeouts once more",
			[]Options{
				{
					Seed: 30264053, Replicas: 10, Faults: 1, Clients: 3, Operations: 48, Outstanding: 4, OpsMax: 1, Restless: 2,
					History: true, Interval: 3, Window: 6, InFlight: 4, BatchRequests: 1, BatchBytes: 16384, ArchiveBytes: 1024,
					Loss: 0.3, Duplication: 0.1, DelayMin: 1000000, DelayMax: 236000000, FlushMax: 9000000,
					SnapshotMax: 34000000, OutageMax: 4000000000, Scrambles: 15, Replay: 0.2, Corruption: 0.2, Cuts: 4, Shuns: 2,
					Drift: 0.1, FullDisks: 2, Ambushes: 1, Losses: 1, Tick: 20000000, StatusEvery: 100000000, Liveness: true,
					Turbulence: 11000000000, Hasty: true, SegmentBytes: 4096,
				},
			},
		},
		{
			"in the simulator, no flood of others' messages makes a paused process lose its own flush",
			[]Options{
				{
					Seed: 30742737, Replicas: 4, Faults: 1, Clients: 3, Operations: 9, Outstanding: 3, OpsMax: 1, Restless: 2,
					History: true, Interval: 5, Window: 10, InFlight: 1, BatchRequests: 2, BatchBytes: 16384, ArchiveBytes: 1,
					Loss: 0.05, Duplication: 0.1, DelayMin: 1000000, DelayMax: 89000000, FlushMax: 10000000,
					SnapshotMax: 35000000, Partitions: 1, Mutes: 1, OutageMax: 6000000000, Scrambles: 49, Pauses: 2, Liars: 1,
					Strategy: "greedy-peer", Tick: 10000000, StatusEvery: 200000000, Turbulence: 10000000000, Reencode: true,
					SegmentBytes: 4096,
				},
				{
					Seed: 30188202, Replicas: 4, Faults: 1, Clients: 2, Operations: 27, Outstanding: 7, OpsMax: 5, Restless: 1,
					Interval: 1, Window: 4, InFlight: 1, BatchRequests: 1, BatchBytes: 16384, ArchiveBytes: 33554432,
					DelayMin: 1000000, DelayMax: 233000000, FlushMax: 9000000, SnapshotMax: 5000000, Crashes: 4, Snipes: 1,
					Mutes: 2, OutageMax: 6000000000, Scrambles: 30, Replay: 0.2, Shuns: 3, Pauses: 1, Ambushes: 1, Liars: 1,
					Strategy: "future-votes", Tick: 10000000, StatusEvery: 200000000, Turbulence: 7000000000, Hasty: true,
					SegmentBytes: 8192,
				},
			},
		},
		{
			"in the simulator, what slow disks need for all that is asked is no lack of liveness",
			[]Options{
				{
					Seed: 30096342, Replicas: 4, Faults: 1, Clients: 3, Operations: 49, Outstanding: 3, OpsMax: 1, Interval: 1,
					Window: 2, InFlight: 1, BatchRequests: 1, BatchBytes: 1048576, ArchiveBytes: 33554432, ClientsMax: 4,
					Duplication: 0.1, DelayMin: 1000000, DelayMax: 97000000, FlushMax: 1000000, SnapshotMax: 1000000000,
					Crashes: 3, Snipes: 2, Partitions: 2, OutageMax: 1000000000, Scrambles: 12, Cuts: 4, Pauses: 3, Bursts: 6,
					Losses: 1, Tick: 10000000, StatusEvery: 200000000, Outlaws: 1, Turbulence: 7000000000, Hasty: true,
					SegmentBytes: 16384,
				},
				{
					Seed: 30307765, Replicas: 10, Faults: 3, Clients: 3, Operations: 49, Outstanding: 1, OpsMax: 1, Reads: 0.3,
					History: true, Interval: 1, Window: 2, InFlight: 8, BatchRequests: 1, BatchBytes: 16384,
					ArchiveBytes: 33554432, ClientsMax: 4, Loss: 0.3, Duplication: 0.1, DelayMin: 1000000, DelayMax: 4000000,
					FlushMax: 8000000, SnapshotMax: 1000000000, Mutes: 2, OutageMax: 5000000000, LinkMax: 8, Pauses: 2,
					Ambushes: 3, BadDisks: 1, Tick: 10000000, StatusEvery: 200000000, Outlaws: 1, Turbulence: 6000000000,
					Hasty: true, SegmentBytes: 8192,
				},
			},
		},
		{
			"a censor does not hide behind slow disks: the rule that counts batches never rests",
			[]Options{
				{
					Seed: 30691564, Replicas: 4, Faults: 1, Clients: 2, Operations: 29, Outstanding: 3, OpsMax: 1, Restless: 1,
					Sessions: 1, ValueBytes: 200, Interval: 3, Window: 6, InFlight: 8, BatchRequests: 8, BatchBytes: 1048576,
					ArchiveBytes: 33554432, Loss: 0.3, DelayMin: 1000000, DelayMax: 13000000, FlushMax: 1000000,
					SnapshotMax: 1000000000, Crashes: 2, OutageMax: 3000000000, Corruption: 0.2, LinkMax: 8, Clogs: 1,
					Shuns: 7, Pauses: 1, Jumps: 2, Ambushes: 1, Liars: 1, Strategy: "censor-client", Tick: 50000000,
					StatusEvery: 100000000, Turbulence: 7000000000, Hasty: true, RealStorage: true, SegmentBytes: 32768,
				},
			},
		},
		{
			"batches in which nothing runs pass over who waits: they fill the window of slow disks as well as others",
			[]Options{
				{
					Seed: 51000399, Replicas: 4, Faults: 1, Clients: 1, Operations: 3, Interval: 1, Window: 2, InFlight: 2,
					BatchRequests: 1, BatchBytes: 1024, QueueRequests: 64, DelayMin: 1000000, DelayMax: 1000000,
					FlushMax: 4000000, SnapshotMax: 1000000000, OutageMax: 2500000000, Scrambles: 1, Clogs: 6, Cuts: 3,
					Byzantine: map[wire.ReplicaID]func() adversary.Strategy{0: adversary.HollowBatches}, Tick: 50000000,
					StatusEvery: 50000000, Outlaws: 1, Turbulence: 3500000000, SegmentBytes: 16384,
				},
			},
		},
		{
			"a full queue keeps the oldest requests of its client: others were executed before one of them for 28 seconds",
			[]Options{
				{
					Seed: 60081998, Replicas: 4, Faults: 1, Clients: 3, Operations: 45, Outstanding: 4, OpsMax: 1, Restless: 1,
					Sessions: 3, Interval: 1, Window: 2, InFlight: 1, BatchRequests: 1, BatchBytes: 1048576, QueueRequests: 2,
					ArchiveBytes: 33554432, ClientsMax: 10000, DelayMin: 1000000, DelayMax: 8000000, FlushMax: 6000000,
					SnapshotMax: 1000000000, Crashes: 3, AllCrash: true, Partitions: 3, Mutes: 2, OutageMax: 2000000000,
					Replay: 0.01, Corruption: 0.05, Clogs: 5, Bursts: 1, Drift: 0.02, Ambushes: 4, Liars: 1,
					Strategy: "mute-idle-primary", LiarLeads: true, Tick: 20000000, StatusEvery: 100000000,
					Turbulence: 3000000000, Hasty: true, SegmentBytes: 4096,
				},
			},
		},
		{
			"a quorum at rest may answer one that is behind (of the simulator itself)",
			[]Options{
				{
					Seed: 70079620, Replicas: 4, Faults: 1, Clients: 3, Operations: 18, Outstanding: 2, OpsMax: 1, Restless: 1,
					Reads: 0.3, ValueBytes: 2000, Interval: 20, Window: 40, InFlight: 4, BatchRequests: 8, BatchBytes: 1048576,
					QueueRequests: 256, ArchiveBytes: 33554432, ClientsMax: 10000, Loss: 0.3, DelayMin: 1000000, DelayMax: 14000000,
					FlushMax: 7000000, SnapshotMax: 35000000, Crashes: 2, Mutes: 3, OutageMax: 5000000000, Clogs: 1, Cuts: 5,
					Bursts: 6, Ambushes: 5, Tick: 50000000, StatusEvery: 200000000, Liveness: true, Turbulence: 6000000000,
					RealStorage: true, SegmentBytes: 4096,
				},
				{
					Seed: 70198394, Replicas: 4, Faults: 1, Clients: 3, Operations: 22, Outstanding: 3, OpsMax: 1, Interval: 20,
					Window: 40, InFlight: 8, BatchRequests: 8, BatchBytes: 16384, QueueRequests: 256, ArchiveBytes: 1, ClientsMax: 2, Loss: 0.3, Duplication: 0.1, DelayMin: 1000000, DelayMax: 68000000, FlushMax: 7000000, SnapshotMax: 58000000,
					Snipes: 6, Mutes: 1, OutageMax: 1000000000, FullDisks: 3, Ambushes: 5, Tick: 50000000, StatusEvery: 200000000,
					Liveness: true, Turbulence: 5000000000, SegmentBytes: 16384,
				},
			},
		},
		{
			"with f = 2 two silent primaries in a row have the time of two (of the simulator itself)",
			[]Options{
				{
					Seed: 80022727, Replicas: 7, Faults: 2, Clients: 3, Operations: 38, Outstanding: 1, OpsMax: 1, Reads: 0.3,
					ValueBytes: 200, Interval: 3, Window: 6, InFlight: 4, BatchRequests: 8, BatchBytes: 1048576, QueueRequests: 1,
					ArchiveBytes: 1, ClientsMax: 10000, Loss: 0.2, DelayMin: 1000000, DelayMax: 7000000, FlushMax: 9000000,
					SnapshotMax: 27000000, Crashes: 2, AllCrash: true, Mutes: 2, OutageMax: 2000000000, Scrambles: 13, Corruption: 0.05, Jumps: 4, Drift: 0.1, Ambushes: 6, Losses: 2, Tick: 50000000, StatusEvery: 50000000, Turbulence: 11000000000, Hasty: true, SegmentBytes: 8192,
				},
			},
		},
		{
			"a snapshot is durable only after the certificates of what it holds: two replicas had lost them, and the third never caught up",
			[]Options{
				{
					Seed: 90339377, Replicas: 4, Faults: 1, Clients: 3, Operations: 3, Outstanding: 7, OpsMax: 2, Restless: 1,
					History: true, Interval: 6, Window: 24, InFlight: 4, BatchRequests: 8, BatchBytes: 1048576, QueueRequests: 1,
					ArchiveBytes: 1024, ClientsMax: 5, DelayMin: 1000000, DelayMax: 11000000, FlushMax: 10000000,
					SnapshotMax: 5000000, Snipes: 2, OutageMax: 5000000000, LinkMax: 2, Jumps: 3, FullDisks: 1, Tick: 50000000,
					StatusEvery: 200000000, Liveness: true, Outlaws: 2, Turbulence: 3000000000, Patience: 60000000000,
					AnswerMax: 20000000000, Reencode: true, SegmentBytes: 4096,
				},
			},
		},
		{
			"a client asks for no more than the window lets in while one of its requests waits (of the simulator itself)",
			[]Options{
				{
					Seed: 90184429, Replicas: 4, Faults: 1, Clients: 2, Operations: 49, Outstanding: 9, OpsMax: 2, Restless: 1,
					History: true, Interval: 3, Window: 6, InFlight: 2, BatchRequests: 8, BatchBytes: 16384, QueueRequests: 256,
					ArchiveBytes: 1, ClientsMax: 10000, Loss: 0.2, DelayMin: 1000000, DelayMax: 5000000, FlushMax: 3000000,
					SnapshotMax: 18000000, Crashes: 3, AllCrash: true, Partitions: 3, Mutes: 1, OutageMax: 2000000000,
					Corruption: 0.05, LinkMax: 8, Cuts: 3, Shuns: 3, Jumps: 4, Drift: 0.3, FlushFailures: 1, FullDisks: 2,
					Ambushes: 4, Losses: 1, Tick: 50000000, StatusEvery: 200000000, Turbulence: 8000000000, Hasty: true,
					Patience: 60072000000, AnswerMax: 20000000000, SegmentBytes: 16384,
				},
				{
					Seed: 90548434, Replicas: 10, Faults: 2, Clients: 3, Operations: 26, Outstanding: 8, OpsMax: 4, Restless: 2,
					Reads: 0.3, Interval: 3, Window: 6, InFlight: 2, BatchRequests: 8, BatchBytes: 1048576, QueueRequests: 1,
					ArchiveBytes: 33554432, ClientsMax: 10000, Loss: 0.2, DelayMin: 1000000, DelayMax: 1000000, FlushMax: 4000000,
					SnapshotMax: 1000000, Partitions: 2, Mutes: 3, OutageMax: 5000000000, Clogs: 5, Cuts: 6, Jumps: 1,
					FlushFailures: 1, FullDisks: 3, Losses: 1, Tick: 50000000, StatusEvery: 100000000, Turbulence: 6000000000,
					Hasty: true, Patience: 60003000000, AnswerMax: 20000000000, SegmentBytes: 4096,
				},
			},
		},
		{
			"a primary has no more batches open than its window holds: a censor had time for others' batches as if it could",
			[]Options{
				{
					Seed: 600413991, Replicas: 6, Faults: 1, Clients: 3, Operations: 45, Outstanding: 3, OpsMax: 1, Restless: 2,
					Sessions: 1, ValueBytes: 2000, Interval: 1, Window: 2, InFlight: 8, BatchRequests: 1, BatchBytes: 16384,
					QueueRequests: 2, ArchiveBytes: 1024, ClientsMax: 5, Loss: 0.2, Duplication: 0.1, DelayMin: 1000000,
					DelayMax: 4000000, FlushMax: 2000000, SnapshotMax: 1000000000, Partitions: 3, Mutes: 1, OutageMax: 3000000000,
					Shuns: 3, Jumps: 2, Bursts: 1, Drift: 0.02, Liars: 1, Strategy: "censor-client", LiarLeads: true,
					Tick: 50000000, StatusEvery: 100000000, Outlaws: 2, Turbulence: 3000000000, Hasty: true,
					Patience: 285000000000, AnswerMax: 24000000000, SegmentBytes: 16384, Marks: true,
				},
			},
		},
		{
			"who always fetches the state has nothing ordered again and again: what found no room left no trace in it",
			[]Options{
				{
					Seed: 900036382, Replicas: 4, Faults: 1, Clients: 3, Operations: 7, Outstanding: 9, OpsMax: 5, Reads: 0.3,
					Interval: 3, Window: 12, InFlight: 3, BatchRequests: 8, BatchBytes: 16384, QueueRequests: 512,
					ArchiveBytes: 1024, ClientsMax: 2, Loss: 0.3, Duplication: 0.1, DelayMin: 1000000, DelayMax: 3000000,
					FlushMax: 2000000, SnapshotMax: 14000000, Crashes: 5, AllCrash: true, Snipes: 5, OutageMax: 3000000000,
					Cuts: 1, Shuns: 2, Breaks: 0.5, Flaps: 3, Skews: 1, Tick: 50000000, StatusEvery: 100000000,
					Turbulence: 1000000000, Patience: 60014000000, AnswerMax: 20000000000, SegmentBytes: 32768, Marks: true,
				},
			},
		},
		{
			"what a journal that began anew has made durable leaves before the early votes of the next view (of the simulator itself)",
			[]Options{
				{
					Seed: 12000957, Replicas: 4, Faults: 1, Clients: 2, Operations: 9, Outstanding: 1, OpsMax: 1, History: true,
					Interval: 3, Window: 9, InFlight: 4, BatchRequests: 1, BatchBytes: 1048576, QueueRequests: 512,
					ArchiveBytes: 1024, ClientsMax: 10000, Loss: 0.05, Duplication: 0.1, DelayMin: 1000000, DelayMax: 14000000,
					FlushMax: 5000000, SnapshotMax: 1000000000, Snipes: 4, Mutes: 3, OutageMax: 2000000000, Replay: 0.2,
					Corruption: 0.05, Clogs: 3, Breaks: 0.5, Pauses: 2, Jumps: 2, Drift: 0.1, FlushFailures: 1, FullDisks: 1,
					Liars: 1, Tick: 50000000, StatusEvery: 100000000, Turbulence: 6000000000, Hasty: true,
					Patience: 66000000000, AnswerMax: 20000000000, SegmentBytes: 16384, Marks: true,
				},
			},
		},
	}
}

// TestKeptRunsHold replays the runs that once found something.
func TestKeptRunsHold(t *testing.T) {
	for _, k := range keptRuns() {
		for _, o := range k.runs {
			if res := Run(o); res.Violation != nil {
				t.Errorf("%s: %v", k.law, res.Violation)
			}
		}
	}
}
