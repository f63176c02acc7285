package adversary

import (
	"slices"
	"time"
)

// The settings of the catalogue's strategies.
const (
	almostShare   = 0.9  // of the timeout: what a slow primary may just dare
	postponeShare = 0.8  // of the timeout: how long a censor lets requests wait
	rampStep      = 0.02 // of the timeout, a proposal
	lateCommits   = 300 * time.Millisecond
	floodPerTick  = 16 // votes, of which each is signed
	badPerTick    = 64 // votes that nobody signs
	relayPerTick  = 4
	greedyPerTick = 4
	smallScopeP   = 0.1
)

// Catalogue returns every named strategy, sorted by name, as the scenarios, the
// simulator and real nodes find them. Constructors have more settings.
func Catalogue() []Entry {
	out := slices.Concat(primaries(), voters(), changers(), keepers())
	slices.SortFunc(out, func(a, b Entry) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return out
}

// Find returns the strategy of the catalogue with this name.
func Find(name string) (Entry, bool) {
	entries := Catalogue()
	i := slices.IndexFunc(entries, func(e Entry) bool { return e.Name == name })
	if i < 0 {
		return Entry{}, false
	}
	return entries[i], true
}

// primaries are those who lie when they lead.
func primaries() []Entry {
	return []Entry{
		{
			"split-preprepare", "as primary, proposes one batch to f backups and another to the rest",
			func() Strategy { return SplitPrePrepare(false) },
		},
		{
			"split-preprepare-and-votes", "as primary, proposes two batches and commits to both",
			func() Strategy { return SplitPrePrepare(true) },
		},
		{"mute-primary", "as primary, sends nothing", MutePrimary},
		{
			"mute-idle-primary", "as primary, falls silent once there is nothing to propose",
			func() Strategy { return MuteIdlePrimary(0) },
		},
		{
			"almost-timeout-primary", "as primary, delays every proposal by 0.9 of the request timeout",
			func() Strategy { return AlmostTimeoutPrimary(almostShare) },
		},
		{
			"ramping-primary", "as primary, delays proposals more and more, up to 0.9 of the request timeout",
			func() Strategy { return RampingPrimary(rampStep, almostShare) },
		},
		{
			"censor-client", "as primary, leaves out one client and serves the others",
			func() Strategy { return CensorClient() },
		},
		{
			"censor-by-order", "as primary, lets one client wait for 0.8 of the request timeout",
			func() Strategy { return CensorByOrder(postponeShare) },
		},
		{"empty-batches", "as primary, proposes only empty batches", EmptyBatches},
		{"huge-sequence", "as primary, proposes at 0, just above the window, and at numbers up to 2^63", HugeSequence},
		{"wrong-digest", "as primary, names other batches than it sends, or never sends them", WrongDigest},
		{"forged-request", "as primary, proposes requests that no client signed", ForgedRequest},
		{"bad-time", "as primary, proposes times an hour ahead and an hour back", func() Strategy { return BadTime(0) }},
		{"bad-input", "as primary, proposes inputs that no application read, or none", BadInput},
		{"dark-replica", "sends the last replica no proposals, commits or batches", func() Strategy { return DarkReplica() }},
		{"replay-requests", "as primary, proposes old requests again", ReplayRequests},
		{"hollow-batches", "as primary, proposes one old request again and again, and nothing else", HollowBatches},
	}
}

// voters are those who lie in votes.
func voters() []Entry {
	return []Entry{
		{"double-prepare", "as backup, prepares two batches for every number", DoublePrepare},
		{"withheld-commits", "prepares, and never commits", func() Strategy { return WithheldCommits(0) }},
		{"late-commits", "prepares, and commits 300 ms late", func() Strategy { return WithheldCommits(lateCommits) }},
		{
			"future-votes", "floods votes for the whole window and views up to 2^40",
			func() Strategy { return FutureVotes(floodPerTick) },
		},
		{"bad-signature-flood", "floods votes that nobody signed", func() Strategy { return BadSignatureFlood(badPerTick) }},
		{
			"relay-old-votes", "repeats genuine messages of earlier numbers and views",
			func() Strategy { return RelayOldVotes(relayPerTick) },
		},
		{"straddled-epoch", "votes from another epoch, another cluster, and as no member", StraddledEpoch},
		{
			"coalition", "with the others of the first f+1 replicas, breaks agreement on purpose",
			func() Strategy { return NewCoalition().Strategy() },
		},
		{"mutator", "changes, withholds, splits and repeats at random", Mutator},
		{"small-scope", "changes one field of a message in ten by one", func() Strategy { return SmallScope(smallScopeP) }},
	}
}

// changers are those who lie when views change.
func changers() []Entry {
	return []Entry{
		{"view-change-spam", "asks for one view after the other", func() Strategy { return ViewChangeSpam(0) }},
		{"false-alarm", "says all the time that it has lost the primary, or left the view for that", FalseAlarm},
		{"hidden-certificate", "omits what it prepared from its view changes", HiddenCertificate},
		{"inflated-certificate", "claims in its view changes to have prepared in a later view", InflatedCertificate},
		{"thin-certificate", "claims in its view changes null batches that it alone proposed", ThinCertificate},
		{"old-checkpoint", "names in its view changes an old checkpoint, beside what it prepared since", OldCheckpoint},
		{"one-voice-newview", "opens a view on its own view change, repeated", OneVoiceNewView},
		{"stale-newview", "opens a view on view changes of other views, or of nobody", StaleNewView},
		{
			"wrong-choice-newview", "opens a view with a choice dropped, changed or nulled, or too high",
			func() Strategy { return WrongChoiceNewView() },
		},
		{"silent-successors", "never opens a view that it should lead", SilentSuccessor},
	}
}

// keepers are those who lie about the state, or only ask.
func keepers() []Entry {
	return []Entry{
		{"checkpoint-lies", "signs wrong, future and double checkpoints", CheckpointLies},
		{"diverging-app", "has checkpoints and results as if its application differed by a byte", DivergingApp},
		{"poisoned-transfer", "serves spoilt pieces of the state", PoisonedTransfer},
		{"mutating-replies", "gives clients other results than the others do", MutatingReplies},
		{"stale-reads", "answers queries with what was before the last change of it, or makes it up", StaleReads},
		{"greedy-peer", "asks everyone for everything, all the time", func() Strategy { return GreedyPeer(greedyPerTick) }},
		{"decode-bombs", "sends what no decoder may accept", DecodeBombs},
	}
}
