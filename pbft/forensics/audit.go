package forensics

import (
	"cmp"
	"maps"
	"math"
	"slices"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// conflictsMax bounds the conflicts that are listed: the first ones tell enough.
const conflictsMax = 100

// Conflict is two certificates of which at most one can be while at most f
// replicas lie: for different batches at one number or, if Stable, for different
// states after it.
type Conflict struct {
	Seq           wire.Seq
	Stable        bool
	First, Second crypto.Digest
	// FirstView and SecondView are the views of two commit certificates.
	FirstView, SecondView wire.View
}

// Findings is what an audit finds.
type Findings struct {
	// Convictions has the first lie of each kind of each replica, ascending.
	Convictions []Conviction
	// Conflicts are where the agreement is broken, ascending by number.
	Conflicts []Conflict
	// Messages is how many were looked at.
	Messages int
}

// Culprits returns the replicas that are convicted, ascending.
func (f *Findings) Culprits() []wire.ReplicaID {
	var out []wire.ReplicaID
	for i := range f.Convictions {
		out = append(out, f.Convictions[i].Culprit)
	}
	return slices.Compact(out)
}

// Proofs returns the evidence of all convictions that have one.
func (f *Findings) Proofs() []*wire.Evidence {
	var out []*wire.Evidence
	for i := range f.Convictions {
		if e := f.Convictions[i].Evidence; e != nil {
			out = append(out, e)
		}
	}
	return out
}

// Audit looks for lies in what one replica kept, or several of them together. It
// holds everything against everything else, so it finds what no replica saw while
// it ran. It accuses nobody without a proof that holds for itself.
func Audit(c *Cluster, logs ...*Log) *Findings {
	a := &auditor{
		c: c, found: map[charge]Conviction{}, commits: map[wire.Seq][]*wire.CommitCert{},
		states: map[wire.Seq][]*wire.CheckpointCert{}, votes: map[ballot]wire.Message{},
		changes: map[asked][]*wire.ViewChange{}, named: map[crypto.Digest]*wire.ViewChange{},
	}
	for _, l := range logs {
		for _, m := range l.Messages {
			a.take(m)
			a.out.Messages++
		}
	}
	a.judge()
	return &a.out
}

// charge is one kind of lie of one replica.
type charge struct {
	culprit wire.ReplicaID
	proof   wire.EvidenceKind
}

// ballot is what a replica votes about once.
type ballot struct {
	kind   wire.Kind
	sender wire.ReplicaID
	view   wire.View
	seq    wire.Seq
}

// asked is what a replica says one thing about: a view.
type asked struct {
	sender wire.ReplicaID
	view   wire.View
}

type auditor struct {
	c       *Cluster
	out     Findings
	found   map[charge]Conviction
	commits map[wire.Seq][]*wire.CommitCert // no two that say the same
	states  map[wire.Seq][]*wire.CheckpointCert
	votes   map[ballot]wire.Message // the first pre-prepares and prepares
	changes map[asked][]*wire.ViewChange
	named   map[crypto.Digest]*wire.ViewChange
	views   []*wire.NewView
	seqs    []wire.Seq  // of commits, ascending
	oldest  []wire.View // of each of seqs: the lowest in which it or a later one committed
}

// take files one verified message, and what is in it.
func (a *auditor) take(m wire.Message) {
	switch m := m.(type) { //nolint:gochecksumtype // nothing else is archived
	case *wire.Evidence:
		a.convict(m, nil)
	case *wire.CommitProof:
		a.takeCommit(&m.Cert)
	case *wire.StableProof:
		a.takeState(&m.Cert)
	case *wire.ViewChange:
		a.takeChange(m)
	case *wire.NewView:
		a.views = append(a.views, m)
		for i := range m.Choices {
			c := &m.Choices[i]
			a.vote(&wire.PrePrepare{Vote: wire.Vote{
				View: m.View, Seq: c.Seq, Digest: c.Digest, Sender: m.Sender, Signature: c.Signature,
			}})
		}
	default:
	}
}

func (a *auditor) takeCommit(cert *wire.CommitCert) {
	known := slices.ContainsFunc(a.commits[cert.Seq], func(old *wire.CommitCert) bool {
		return old.View == cert.View && old.Digest == cert.Digest && sameSigners(old.Commits, cert.Commits)
	})
	if !known {
		a.commits[cert.Seq] = append(a.commits[cert.Seq], cert)
	}
}

func (a *auditor) takeState(cert *wire.CheckpointCert) {
	known := slices.ContainsFunc(a.states[cert.Seq], func(old *wire.CheckpointCert) bool {
		return old.State == cert.State && sameSigners(old.Signers, cert.Signers)
	})
	if !known && cert.Seq > 0 {
		a.states[cert.Seq] = append(a.states[cert.Seq], cert)
	}
}

func sameSigners(a, b []wire.Signed) bool {
	return slices.EqualFunc(a, b, func(x, y wire.Signed) bool { return x.Sender == y.Sender })
}

func (a *auditor) takeChange(vc *wire.ViewChange) {
	digest, at := vc.Digest(), asked{vc.Sender, vc.View}
	if a.named[digest] != nil {
		return
	}
	a.named[digest] = vc
	a.changes[at] = append(a.changes[at], vc)
	a.takeState(&vc.Stable)
	n := a.c.Quorum.Replicas()
	for i := range vc.Prepared {
		cert := &vc.Prepared[i]
		v := wire.Vote{View: cert.View, Seq: cert.Seq, Digest: cert.Digest}
		v.Sender, v.Signature = cert.View.Primary(n), cert.PrePrepare
		a.vote(&wire.PrePrepare{Vote: v})
		for _, s := range cert.Prepares {
			v.Sender, v.Signature = s.Sender, s.Signature
			a.vote(&wire.Prepare{Vote: v})
		}
	}
}

// vote holds a pre-prepare or a prepare against the first one of its place.
func (a *auditor) vote(m wire.Message) {
	var v wire.Vote
	proof := wire.EvidencePrepares
	switch m := m.(type) { //nolint:gochecksumtype // the two kinds of which there are many
	case *wire.PrePrepare:
		v, proof = m.Vote, wire.EvidencePrePrepares
	case *wire.Prepare:
		v = m.Vote
	default:
	}
	at := ballot{m.Kind(), v.Sender, v.View, v.Seq}
	if first := a.votes[at]; first != nil {
		a.contradict(proof, v.Sender, first, m)
		return
	}
	a.votes[at] = m
}

// convict notes a proof, if it is one and the first of its kind.
func (a *auditor) convict(e *wire.Evidence, err error) {
	if err != nil || e.Check(a.c.Quorum.Replicas()) != nil {
		return
	}
	at := charge{e.Culprit, e.Proof}
	if _, known := a.found[at]; !known {
		a.found[at] = convictionOf(a.c, e)
	}
}

func (a *auditor) contradict(proof wire.EvidenceKind, culprit wire.ReplicaID, first, second wire.Message) {
	if _, known := a.found[charge{culprit, proof}]; !known {
		a.convict(wire.NewEvidence(proof, culprit, first, second))
	}
}

// judge holds everything against everything else.
func (a *auditor) judge() {
	a.seqs = slices.Sorted(maps.Keys(a.commits))
	for _, seq := range a.seqs {
		pairs(a.commits[seq], a.compareCommits)
	}
	a.age()
	for _, seq := range slices.Sorted(maps.Keys(a.states)) {
		pairs(a.states[seq], a.compareStates)
	}
	for _, at := range slices.SortedFunc(maps.Keys(a.changes), func(x, y asked) int {
		return cmp.Or(cmp.Compare(x.view, y.view), cmp.Compare(x.sender, y.sender))
	}) {
		pairs(a.changes[at], func(x, y *wire.ViewChange) { a.contradict(wire.EvidenceViewChanges, x.Sender, x, y) })
		for _, vc := range a.changes[at] {
			a.searchHidden(vc)
		}
	}
	for i, nv := range a.views {
		a.judgeNewView(nv)
		for _, other := range a.views[:i] {
			if other.View == nv.View {
				a.contradict(wire.EvidenceNewViews, nv.Sender, other, nv)
			}
		}
	}
	a.out.Convictions = slices.SortedFunc(maps.Values(a.found), func(x, y Conviction) int {
		return cmp.Or(cmp.Compare(x.Culprit, y.Culprit), cmp.Compare(x.Proof, y.Proof))
	})
}

// age notes, for every number, the lowest view of its commits and of those above it.
func (a *auditor) age() {
	a.oldest = make([]wire.View, len(a.seqs))
	lowest := wire.View(math.MaxUint64)
	for i, seq := range slices.Backward(a.seqs) {
		for _, cert := range a.commits[seq] {
			lowest = min(lowest, cert.View)
		}
		a.oldest[i] = lowest
	}
}

// pairs calls do for every two of list.
func pairs[T any](list []T, do func(a, b T)) {
	for i := range list {
		for k := range i {
			do(list[k], list[i])
		}
	}
}

func (a *auditor) compareCommits(x, y *wire.CommitCert) {
	if x.Digest == y.Digest {
		return
	}
	if q := a.c.Quorum.Strong(); len(x.Commits) >= q && len(y.Commits) >= q {
		a.conflict(Conflict{Seq: x.Seq, First: x.Digest, Second: y.Digest, FirstView: x.View, SecondView: y.View})
	}
	if x.View != y.View {
		return // searchHidden and judgeNewView find who it was
	}
	for _, s := range x.Commits {
		if first, second := x.CommitOf(s.Sender), y.CommitOf(s.Sender); second != nil {
			a.contradict(wire.EvidenceCommits, s.Sender, first, second)
		}
	}
}

func (a *auditor) compareStates(x, y *wire.CheckpointCert) {
	if x.State == y.State {
		return
	}
	if q := a.c.Quorum.Strong(); len(x.Signers) >= q && len(y.Signers) >= q {
		a.conflict(Conflict{Seq: x.Seq, Stable: true, First: x.State, Second: y.State})
	}
	for _, s := range x.Signers {
		for _, o := range y.Signers {
			if s.Sender == o.Sender {
				a.contradict(wire.EvidenceCheckpoints, s.Sender,
					&wire.Checkpoint{Seq: x.Seq, State: x.State, Sender: s.Sender, Signature: s.Signature},
					&wire.Checkpoint{Seq: y.Seq, State: y.State, Sender: o.Sender, Signature: o.Signature})
			}
		}
	}
}

// conflict lists a conflict, unless it is there or there are enough.
func (a *auditor) conflict(c Conflict) {
	if len(a.out.Conflicts) < conflictsMax && !slices.Contains(a.out.Conflicts, c) {
		a.out.Conflicts = append(a.out.Conflicts, c)
	}
}

// searchHidden looks for a commit that a view change hides: only of earlier views, and as
// long as any is left, for of a long log all that came later lies above it.
func (a *auditor) searchHidden(vc *wire.ViewChange) {
	if _, known := a.found[charge{vc.Sender, wire.EvidenceHidden}]; known {
		return
	}
	above, _ := slices.BinarySearch(a.seqs, vc.Stable.Seq+1)
	for i, seq := range a.seqs[above:] {
		if a.oldest[above+i] >= vc.View {
			return
		}
		for _, cert := range a.commits[seq] {
			if commit := cert.CommitOf(vc.Sender); commit != nil && vc.Hides(&commit.Vote) {
				a.contradict(wire.EvidenceHidden, vc.Sender, commit, vc)
				return
			}
		}
	}
}

// judgeNewView holds a new view against the view changes that it names, if they
// are all here.
func (a *auditor) judgeNewView(nv *wire.NewView) {
	var changes []*wire.ViewChange
	for _, ref := range nv.ViewChanges {
		vc := a.named[ref.Digest]
		if vc == nil || vc.View != nv.View {
			return
		}
		changes = append(changes, vc)
	}
	if nv.Follows(changes) {
		return
	}
	e, err := wire.NewChoicesEvidence(nv, changes)
	if err == nil {
		a.convict(e, nil)
		return
	}
	at := charge{nv.Sender, wire.EvidenceChoices} // too large for a message
	if _, known := a.found[at]; !known {
		a.found[at] = Conviction{Culprit: nv.Sender, Proof: wire.EvidenceChoices, View: nv.View}
	}
}
