package adversary_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
	"github.com/quorate/quorate/test/adversary"
	"github.com/quorate/quorate/test/sim"
)

// sent is a message that a strategy lets go past itself.
type sent struct {
	to      wire.ReplicaID
	message *wire.Sealed
}

// later is something that a strategy does after a while.
type later struct {
	at time.Duration
	do func()
}

// stage is an Env without a world: it keeps what a strategy does.
type stage struct {
	tb      testing.TB
	id      wire.ReplicaID
	n       int
	now     time.Duration
	rng     *rand.Rand
	domain  crypto.Domain
	scheme  *sim.Scheme
	signers []crypto.Signer
	opener  *wire.Opener
	bribed  []wire.ReplicaID // whose keys the adversary has, beside the own

	sent   []sent
	agenda []later
	notes  []string
}

// newStage returns a stage for replica id of four.
func newStage(tb testing.TB, id wire.ReplicaID, seed uint64) *stage {
	tb.Helper()
	e := &stage{
		tb: tb, id: id, n: 4, rng: rand.New(rand.NewPCG(seed, 1)), scheme: sim.NewScheme(),
		domain: crypto.Domain{Cluster: crypto.Sum([]byte("stage"))},
	}
	keys := make([]crypto.PublicKey, e.n)
	for i := range keys {
		e.signers = append(e.signers, e.signer(i))
		keys[i] = e.signers[i].Public()
	}
	e.opener = wire.NewOpener(e.domain, keys, wire.DefaultLimits(e.n), e.scheme)
	return e
}

func (e *stage) signer(number int) crypto.Signer {
	e.tb.Helper()
	var seed [crypto.SeedSize]byte
	binary.BigEndian.PutUint64(seed[:], uint64(number)+1)
	key, err := crypto.NewPrivateKey(seed[:])
	if err != nil {
		e.tb.Fatal(err)
	}
	return e.scheme.Signer(key)
}

func (e *stage) ID() wire.ReplicaID     { return e.id }
func (e *stage) Replicas() int          { return e.n }
func (e *stage) Faults() int            { return (e.n - 1) / 3 }
func (e *stage) Now() time.Duration     { return e.now }
func (e *stage) Timeout() time.Duration { return 500 * time.Millisecond }
func (e *stage) Interval() wire.Seq     { return 4 }
func (e *stage) Window() wire.Seq       { return 8 }
func (e *stage) Rand() *rand.Rand       { return e.rng }

func (e *stage) Sign(m wire.Message) *wire.Sealed {
	return wire.Seal(e.signers[e.id], e.domain, m)
}

func (e *stage) SignAs(id wire.ReplicaID, m wire.Message) (*wire.Sealed, bool) {
	if id != e.id && !slices.Contains(e.bribed, id) {
		return nil, false
	}
	return wire.Seal(e.signers[id], e.domain, m), true
}

func (e *stage) SignRequest(client int, m *wire.Request) *wire.Sealed {
	own := *m
	signer := e.signer(clientKeys + client)
	own.Client = signer.Public()
	return wire.Seal(signer, e.domain, &own)
}

func (e *stage) Send(to wire.ReplicaID, m *wire.Sealed) { e.sent = append(e.sent, sent{to, m}) }

func (e *stage) After(d time.Duration, do func()) { e.agenda = append(e.agenda, later{e.now + d, do}) }

func (e *stage) Note(format string, args ...any) {
	e.notes = append(e.notes, fmt.Sprintf(format, args...))
}

// request returns the request of a client of the stage.
func (e *stage) request(client int, number wire.Number) *wire.Request {
	e.tb.Helper()
	m, ok := e.SignRequest(client, &wire.Request{Session: 1, Number: number, Ops: [][]byte{[]byte("op")}}).Message().(*wire.Request)
	if !ok {
		e.tb.Fatal("a request is none")
	}
	return m
}

// signed returns the part of a certificate that some replicas sign.
func (e *stage) signed(m func(wire.ReplicaID) wire.Message, ids ...wire.ReplicaID) []wire.Signed {
	e.tb.Helper()
	var out []wire.Signed
	for _, id := range ids {
		var s crypto.Signature
		switch m := wire.Seal(e.signers[id], e.domain, m(id)).Message().(type) { //nolint:gochecksumtype // votes only
		case *wire.Prepare:
			s = m.Signature
		case *wire.Commit:
			s = m.Signature
		case *wire.PrePrepare:
			s = m.Signature
		case *wire.Checkpoint:
			s = m.Signature
		default:
			e.tb.Fatalf("a %s is no part of a certificate", m.Kind())
		}
		out = append(out, wire.Signed{Sender: id, Signature: s})
	}
	return out
}

// samples returns messages as an honest core of the stage's replica, the primary
// of view 4 if it is 0, sends them, number seq being the next, and the last checkpoint two
// before it.
func (e *stage) samples(view wire.View, seq wire.Seq) []wire.Message {
	e.tb.Helper()
	batch := &wire.Batch{Time: 1 << 60, Requests: []*wire.Request{e.request(1, 1), e.request(2, 1)}}
	v := wire.Vote{View: view, Seq: seq, Digest: batch.Digest(), Sender: e.id}
	by := func(id wire.ReplicaID) wire.Vote { v := v; v.Sender = id; return v }
	primary := view.Primary(e.n)
	var backups []wire.ReplicaID
	for id := range wire.ReplicaID(4) {
		if id != primary {
			backups = append(backups, id)
		}
	}
	stable := wire.CheckpointCert{Seq: seq - 2, State: crypto.Sum([]byte("state"))}
	checkpoint := func(id wire.ReplicaID) wire.Message {
		return &wire.Checkpoint{Seq: stable.Seq, State: stable.State, Sender: id}
	}
	stable.Signers = e.signed(checkpoint, 0, 1, 2)
	prepared := wire.PreparedCert{View: view, Seq: seq, Digest: v.Digest}
	prepared.PrePrepare = e.signed(func(wire.ReplicaID) wire.Message { return &wire.PrePrepare{Vote: by(primary)} }, primary)[0].Signature
	prepared.Prepares = e.signed(func(id wire.ReplicaID) wire.Message { return &wire.Prepare{Vote: by(id)} }, backups[:2]...)
	committed := wire.CommitCert{View: view, Seq: seq, Digest: v.Digest}
	committed.Commits = e.signed(func(id wire.ReplicaID) wire.Message { return &wire.Commit{Vote: by(id)} }, 0, 1, 2)
	next := view + 1
	refs := []wire.ViewChangeRef{{Sender: 0}, {Sender: 1}, {Sender: 2}}
	out := []wire.Message{
		&wire.Commit{Vote: v}, checkpoint(e.id),
		&wire.ViewChange{View: next, Stable: stable, Prepared: []wire.PreparedCert{prepared}, Sender: e.id},
		&wire.Status{View: view, Active: true, Stable: stable.Seq, Executed: seq - 1, Sender: e.id},
		&wire.FetchBatches{Digests: []crypto.Digest{v.Digest}, Sender: e.id}, &wire.BatchBody{Batch: batch},
		&wire.FetchCommitted{First: 1, Last: 2, Sender: e.id}, &wire.Committed{Cert: committed, Batch: batch},
		&wire.FetchViewChange{View: next, Refs: refs, Sender: e.id}, &wire.StableProof{Cert: stable},
		&wire.FetchPieces{Seq: stable.Seq, Root: stable.State, Digests: []crypto.Digest{stable.State}, Sender: e.id},
		&wire.Piece{Root: stable.State, Data: []byte("data")}, batch.Requests[0],
		&wire.Replies{
			View: view, Client: batch.Requests[0].Client, Session: 1, Outer: wire.Place{Leaves: 1}, Sender: e.id,
			Answers: []wire.Answer{{Number: 1, Seq: seq, Result: []byte("r")}},
		},
		&wire.Results{
			Client: batch.Requests[0].Client, Nonce: uint64(seq), Seq: seq, Results: []wire.QueryResult{{Result: []byte("r")}}, Sender: e.id,
		},
	}
	if primary != e.id {
		return append(out, &wire.Prepare{Vote: v})
	}
	choices := []wire.Choice{{Seq: seq - 1, Digest: wire.NullDigest()}, {Seq: seq, Digest: v.Digest}}
	return append(out, &wire.PrePrepare{Vote: v, Batch: batch},
		&wire.NewView{View: view, ViewChanges: refs, Stable: stable.Seq, StableState: stable.State, Choices: choices, Sender: e.id})
}

// scene gives a strategy what a core sends and hears, and returns what the others
// get, for each message that is not as the core sent it.
func (e *stage) scene(s adversary.Strategy, messages []wire.Message) (changed []*wire.Sealed, muted int) {
	e.tb.Helper()
	for _, m := range messages {
		honest := e.Sign(m)
		if _, ok := m.(*wire.Request); ok {
			honest = wire.Reseal(m)
		}
		before := slices.Clone(honest.Frame())
		var out []*wire.Sealed
		for to := range wire.ReplicaID(4) {
			if to == e.id {
				continue
			}
			said := s.Say(e, to, honest)
			if len(said) == 0 {
				muted++
			}
			out = append(out, said...)
			s.Hear(e, to, honest)
		}
		if m.Kind() == wire.KindReplies || m.Kind() == wire.KindResults {
			out = append(out, s.Answer(e, honest)...)
		}
		for _, o := range out {
			if !slices.Equal(o.Frame(), before) {
				changed = append(changed, o)
			}
		}
		if now := wire.Reseal(honest.Message()).Frame(); !slices.Equal(now, before) {
			e.tb.Errorf("the strategy changed the %s that it was shown", m.Kind())
		}
	}
	return changed, muted
}

// pass lets time pass, tick by tick.
func (e *stage) pass(s adversary.Strategy, d time.Duration) {
	for end := e.now + d; e.now < end; {
		e.now += e.Timeout() / 100
		for i := 0; i < len(e.agenda); i++ {
			if l := e.agenda[i]; l.at <= e.now {
				e.agenda = slices.Delete(e.agenda, i, i+1)
				i--
				l.do()
			}
		}
		s.Tick(e)
	}
}
