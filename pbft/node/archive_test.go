package node

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// fakeArchive keeps messages in memory, until it fails.
type fakeArchive struct {
	mu         sync.Mutex
	past, kept []wire.Message
	failing    error
	calls      int
}

func (a *fakeArchive) Add(messages ...wire.Message) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.past = append(a.past, messages...)
	a.calls++
	return a.failing
}

func (a *fakeArchive) Keep(messages ...wire.Message) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.kept = append(a.kept, messages...)
	return nil
}

// certificates returns the numbers that the archive has commit certificates of.
func (a *fakeArchive) certificates() map[wire.Seq]bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := map[wire.Seq]bool{}
	for _, m := range a.past {
		if c, ok := m.(*wire.CommitProof); ok {
			out[c.Cert.Seq] = true
		}
	}
	return out
}

// proofs returns the evidence that the archive has against a replica.
func (a *fakeArchive) proofs(culprit wire.ReplicaID) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 0
	for _, m := range a.kept {
		if e, ok := m.(*wire.Evidence); ok && e.Culprit == culprit {
			n++
		}
	}
	return n
}

func TestEveryCertificateIsArchivedBeyondItsCheckpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMembers(t, 4)
		archives := make([]*fakeArchive, 4)
		for i := range archives {
			archives[i] = &fakeArchive{}
			m.configs[i].Archive = archives[i]
		}
		m.startAll()
		defer m.stopAll()
		c := m.caller(1)
		for range 20 {
			c.call([]int{0, 1, 2, 3}, 4, "op")
		}
		m.await("every certificate", func() bool {
			for _, a := range archives {
				if len(a.certificates()) < 20 {
					return false
				}
			}
			return true
		})
	})
}

func TestAFailedArchiveStopsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMembers(t, 4)
		a := &fakeArchive{failing: errors.New("the disk is full")}
		m.configs[2].Archive = a
		m.startAll()
		defer m.stopAll()
		c := m.caller(1)
		for range 10 {
			c.call([]int{0, 1, 2, 3}, 4, "op")
		}
		synctest.Wait()
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.calls != 1 {
			t.Errorf("the archive was called %d times, want once and never again", a.calls)
		}
	})
}

// spoiled returns the frame of a proposal with a bad signature in it, which its
// primary signs.
func (m *members) spoiled(frame []byte) []byte {
	limits := m.configs[0].Limits
	proposal, err := wire.Decode(frame, &limits)
	pp, ok := proposal.(*wire.PrePrepare)
	if err != nil || !ok {
		return frame
	}
	request := *pp.Batch.Requests[0]
	request.Signature[0]++
	batch := &wire.Batch{Time: pp.Batch.Time, Requests: []*wire.Request{&request}}
	vote := wire.Vote{View: pp.View, Seq: pp.Seq, Digest: batch.Digest(), Sender: pp.Sender}
	return wire.Seal(m.keys[pp.Sender], testDomain(), &wire.PrePrepare{Vote: vote, Batch: batch}).Frame()
}

// TestAPrimaryIsConvictedByAnUnsignedRequest has the first primary spoil what it
// proposes: the others convict it, go on without it, and keep the proof over a
// restart.
func TestAPrimaryIsConvictedByAnUnsignedRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMembers(t, 4)
		m.hub.tamper(func(from, _ wire.ReplicaID, frame []byte) [][]byte {
			if from == 0 && wire.Kind(frame[1]) == wire.KindPrePrepare {
				frame = m.spoiled(frame)
			}
			return [][]byte{frame}
		})
		a := &fakeArchive{}
		m.configs[2].Archive = a
		m.startAll()
		defer m.stopAll()
		m.caller(1).call([]int{0, 1, 2, 3}, 3, "op")
		m.await("a proof", func() bool { return a.proofs(0) > 0 })
		if view := m.nodes[2].Report().View; view == 0 {
			t.Error("the view of the liar was not left")
		}
		if err := m.stop[2](); err != nil {
			t.Fatal(err)
		}
		again := &fakeArchive{}
		m.configs[2].Archive, m.configs[2].Records = again, m.journals[2].durable()
		m.states[2] = newFakeState() // its last snapshot is that of number 0
		m.configs[2].State = m.states[2]
		m.start(2)
		m.await("the proof after a restart", func() bool { return again.proofs(0) > 0 })
	})
}

func TestRecordsArchiveWhatProvesSomething(t *testing.T) {
	signed := &wire.ViewChange{View: 1, Signature: [64]byte{1}}
	for _, c := range []struct {
		record     core.Record
		past, kept int
	}{
		{core.CommittedRecord{}, 1, 0},
		{core.StableRecord{Cert: wire.CheckpointCert{Seq: 8}}, 1, 0},
		{core.StableRecord{}, 0, 0},
		{core.ViewChangeRecord{ViewChange: signed}, 1, 0},
		{core.ViewChangeRecord{ViewChange: &wire.ViewChange{View: 1}}, 0, 0},
		{core.NewViewRecord{NewView: &wire.NewView{Signature: [64]byte{1}}}, 1, 0},
		{core.NewViewRecord{NewView: &wire.NewView{}}, 0, 0},
		{core.EvidenceRecord{Evidence: &wire.Evidence{}}, 0, 1},
		{core.ConflictRecord{}, 0, 2},
		{core.ViewRecord{}, 0, 0},
	} {
		past, kept := core.Archived(c.record)
		if len(past) != c.past || len(kept) != c.kept {
			t.Errorf("%T: %d and %d messages, want %d and %d", c.record, len(past), len(kept), c.past, c.kept)
		}
	}
}
