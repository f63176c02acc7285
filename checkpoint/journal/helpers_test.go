package journal

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/quorate/quorate/checkpoint/journal/disk"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

const testDir = "/data/journal"

var testID = Identity{Cluster: crypto.Sum([]byte("cluster")), Epoch: 7, Replica: 2}

// contract is what the driver needs of a journal.
type contract interface {
	Append(records []core.Record) error
	Flush() error
	Rebase(base []core.Record) error
	Work() (more bool, err error)
	Size() int64
	Close() error
}

var _ contract = (*Journal)(nil)

// inMemory returns options for small segments on fsys.
func inMemory(fsys *disk.Memory) Options {
	return Options{Limits: wire.DefaultLimits(4), SegmentBytes: segmentBytesMin, FS: fsys, Foreground: true}
}

func mustCreate(tb testing.TB, opts Options) *Journal {
	tb.Helper()
	j, err := Create(testDir, testID, opts)
	if err != nil {
		tb.Fatal(err)
	}
	return j
}

func mustOpen(tb testing.TB, opts Options) (*Journal, []core.Record) {
	tb.Helper()
	j, records, err := Open(testDir, testID, opts)
	if err != nil {
		tb.Fatal(err)
	}
	return j, records
}

// write appends and flushes each group.
func write(tb testing.TB, j *Journal, groups ...[]core.Record) {
	tb.Helper()
	for _, g := range groups {
		if err := j.Append(g); err != nil {
			tb.Fatal(err)
		}
		if err := j.Flush(); err != nil {
			tb.Fatal(err)
		}
	}
}

func mustClose(tb testing.TB, j *Journal) {
	tb.Helper()
	if err := j.Close(); err != nil {
		tb.Fatal(err)
	}
}

func same(tb testing.TB, got, want []core.Record) {
	tb.Helper()
	if bytes.Equal(encoded(tb, got), encoded(tb, want)) {
		return // cmp.Diff is slow
	}
	if diff := cmp.Diff(got, want, cmpopts.EquateEmpty(), cmp.Comparer(bytes.Equal)); diff != "" {
		tb.Fatalf("records (-got +want):\n%s", diff)
	}
}

func encoded(t fataler, records []core.Record) []byte {
	t.Helper()
	var b []byte
	for _, r := range records {
		payload, err := encodeRecord(nil, r)
		if err != nil {
			t.Fatal(err)
		}
		b = appendRecord(b, payload, link{})
	}
	return b
}

// fataler is a testing.TB or a rapid.T.
type fataler interface {
	Helper()
	Fatal(args ...any)
}

// views returns n records that differ.
func views(from, n int) []core.Record {
	var records []core.Record
	for i := range n {
		records = append(records, core.ViewRecord{View: wire.View(from + i), Active: i%2 == 0})
	}
	return records
}

func segmentPath(serial uint64) string { return filepath.Join(testDir, segmentName(serial)) }

func testBatch(bytes int) *wire.Batch {
	return &wire.Batch{Time: 5, Requests: []*wire.Request{{
		Client: wire.ClientID{1}, Session: 2, Number: 3, Ops: [][]byte{make([]byte, bytes)}, Signature: crypto.Signature{4},
	}}}
}

func accepted(seq wire.Seq, bytes int) core.Record {
	b := testBatch(bytes)
	return core.AcceptedRecord{PrePrepare: &wire.PrePrepare{
		Vote: wire.Vote{View: 4, Seq: seq, Digest: b.Digest(), Sender: 0}, Batch: b,
	}}
}

// allRecords returns one record of each type, the signatures of the replica's
// own messages not yet made.
func allRecords() []core.Record {
	digest := crypto.Sum([]byte("x"))
	signed := func(ids ...wire.ReplicaID) []wire.Signed {
		var s []wire.Signed
		for _, id := range ids {
			s = append(s, wire.Signed{Sender: id, Signature: crypto.Signature{byte(id) + 1}})
		}
		return s
	}
	prepared := wire.PreparedCert{
		View: 4, Seq: 11, Digest: digest, PrePrepare: crypto.Signature{9}, Prepares: signed(1, 2),
	}
	stable := wire.CheckpointCert{Seq: 10, State: digest, Signers: signed(0, 1, 3)}
	vote := wire.Vote{View: 4, Seq: 11, Digest: digest, Sender: 3}
	other := wire.Vote{View: 4, Seq: 11, Sender: 3}
	evidence, _ := wire.NewEvidence(wire.EvidenceCommits, 3, &wire.Commit{Vote: vote}, &wire.Commit{Vote: other})
	return []core.Record{
		core.ViewRecord{View: 4, Active: true},
		accepted(12, 200),
		core.VotedRecord{Vote: wire.Vote{View: 5, Seq: 12, Digest: digest, Sender: 1, Signature: crypto.Signature{7}}},
		core.ReservationRecord{View: 4, Seq: 40},
		core.BatchRecord{Seq: 13, Batch: wire.NullBatch()},
		core.BatchRecord{Seq: 14, Batch: testBatch(10)},
		core.PreparedRecord{Cert: prepared},
		core.CommittedRecord{Cert: wire.CommitCert{View: 4, Seq: 11, Digest: digest, Commits: signed(0, 1, 2)}},
		core.ViewChangeRecord{ViewChange: &wire.ViewChange{
			View: 5, Stable: stable, Prepared: []wire.PreparedCert{prepared}, Sender: 2,
		}},
		core.NewViewRecord{NewView: &wire.NewView{
			View:        6,
			ViewChanges: []wire.ViewChangeRef{{Sender: 0, Digest: digest}, {Sender: 1, Digest: digest}},
			Stable:      10, StableState: digest,
			Choices: []wire.Choice{{Seq: 11, Digest: digest}},
			Sender:  2,
		}},
		core.CheckpointRecord{Seq: 128, State: digest},
		core.StableRecord{Cert: stable},
		core.StableRecord{Cert: wire.CheckpointCert{State: digest}},
		core.RejoinRecord{Open: true, Over: false, Until: 77, View: 88},
		core.RejoinRecord{Open: false, Over: true, Until: 1, View: 2},
		core.EvidenceRecord{Evidence: evidence},
		core.ConflictRecord{
			Own:   wire.CommitCert{View: 4, Seq: 11, Digest: digest, Commits: signed(0, 1, 2)},
			Other: wire.CommitCert{View: 5, Seq: 11, Commits: signed(0, 1, 3)},
		},
	}
}
