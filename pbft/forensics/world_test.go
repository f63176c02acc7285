package forensics_test

import (
	"testing"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/forensics"
	"github.com/quorate/quorate/pbft/wire"
)

// world is a cluster of four whose every key the tests hold.
type world struct {
	tb      testing.TB
	cluster *forensics.Cluster
	signers []crypto.Signer
	opener  *wire.Opener
}

func newWorld(tb testing.TB) *world {
	tb.Helper()
	const n = 4
	quorum, err := core.NewQuorum(n)
	if err != nil {
		tb.Fatal(err)
	}
	w := &world{tb: tb, cluster: &forensics.Cluster{
		Domain: crypto.Domain{Cluster: digest("cluster"), Epoch: 3}, Quorum: quorum,
		Limits: wire.DefaultLimits(n), Verifier: crypto.NewVerifier(16),
	}}
	for i := range n {
		seed := digest(string(rune('a' + i)))
		key, err := crypto.NewPrivateKey(seed[:])
		if err != nil {
			tb.Fatal(err)
		}
		w.signers, w.cluster.Keys = append(w.signers, key), append(w.cluster.Keys, key.Public())
	}
	w.opener = wire.NewOpener(w.cluster.Domain, w.cluster.Keys, w.cluster.Limits, w.cluster.Verifier)
	return w
}

func digest(name string) crypto.Digest { return crypto.Sum([]byte(name)) }

func (w *world) identity() forensics.Identity {
	return forensics.Identity{Domain: w.cluster.Domain, Replica: 2}
}

// sign signs a message, which must open.
func (w *world) sign(m wire.Message) wire.Message {
	w.tb.Helper()
	sender, _ := wire.SenderOf(m)
	sealed := wire.Seal(w.signers[sender], w.domain(), m)
	if _, err := w.opener.OpenOne(sealed.Frame()); err != nil && m.Kind() != wire.KindPrePrepare {
		w.tb.Fatal(err)
	}
	return sealed.Message()
}

func (w *world) domain() crypto.Domain { return w.cluster.Domain }

func (w *world) commit(view wire.View, seq wire.Seq, batch string, sender wire.ReplicaID) *wire.Commit {
	m, _ := w.sign(&wire.Commit{Vote: wire.Vote{View: view, Seq: seq, Digest: digest(batch), Sender: sender}}).(*wire.Commit)
	return m
}

// committed returns a commit certificate.
func (w *world) committed(view wire.View, seq wire.Seq, batch string, signers ...wire.ReplicaID) *wire.CommitProof {
	cert := wire.CommitCert{View: view, Seq: seq, Digest: digest(batch)}
	for _, id := range signers {
		cert.Commits = append(cert.Commits, wire.Signed{Sender: id, Signature: w.commit(view, seq, batch, id).Signature})
	}
	return &wire.CommitProof{Cert: cert}
}

// stable returns the certificate of a checkpoint.
func (w *world) stable(seq wire.Seq, state string, signers ...wire.ReplicaID) *wire.StableProof {
	cert := wire.CheckpointCert{Seq: seq, State: digest(state)}
	for _, id := range signers {
		m, _ := w.sign(&wire.Checkpoint{Seq: seq, State: cert.State, Sender: id}).(*wire.Checkpoint)
		cert.Signers = append(cert.Signers, wire.Signed{Sender: id, Signature: m.Signature})
	}
	return &wire.StableProof{Cert: cert}
}

// prepared returns a prepared certificate of the backups that are named.
func (w *world) prepared(view wire.View, seq wire.Seq, batch string, backups ...wire.ReplicaID) wire.PreparedCert {
	cert := wire.PreparedCert{View: view, Seq: seq, Digest: digest(batch)}
	v := wire.Vote{View: view, Seq: seq, Digest: cert.Digest, Sender: view.Primary(len(w.signers))}
	pp, _ := w.sign(&wire.PrePrepare{Vote: v}).(*wire.PrePrepare)
	cert.PrePrepare = pp.Signature
	for _, id := range backups {
		v.Sender = id
		m, _ := w.sign(&wire.Prepare{Vote: v}).(*wire.Prepare)
		cert.Prepares = append(cert.Prepares, wire.Signed{Sender: id, Signature: m.Signature})
	}
	return cert
}

func (w *world) change(view wire.View, sender wire.ReplicaID, certs ...wire.PreparedCert) *wire.ViewChange {
	zero := wire.CheckpointCert{State: digest("zero")}
	vc, _ := w.sign(&wire.ViewChange{View: view, Stable: zero, Prepared: certs, Sender: sender}).(*wire.ViewChange)
	return vc
}

// open returns a new view that rests on changes and says choices.
func (w *world) open(view wire.View, changes []*wire.ViewChange, choices ...string) *wire.NewView {
	nv := &wire.NewView{View: view, StableState: digest("zero"), Sender: view.Primary(len(w.signers))}
	for _, vc := range changes {
		nv.ViewChanges = append(nv.ViewChanges, wire.ViewChangeRef{Sender: vc.Sender, Digest: vc.Digest()})
	}
	for i, batch := range choices {
		nv.Choices = append(nv.Choices, wire.Choice{Seq: wire.Seq(i + 1), Digest: digest(batch)})
	}
	m, _ := w.sign(nv).(*wire.NewView)
	return m
}

// evidence returns a proof of two commits of each replica that is named.
func (w *world) evidence(culprits ...wire.ReplicaID) []*wire.Evidence {
	w.tb.Helper()
	var out []*wire.Evidence
	for _, id := range culprits {
		e, err := wire.NewEvidence(wire.EvidenceCommits, id, w.commit(1, 7, "a", id), w.commit(1, 7, "b", id))
		if err != nil {
			w.tb.Fatal(err)
		}
		out = append(out, e)
	}
	return out
}

// archive returns a new archive in dir.
func (w *world) archive(dir string, bytes int64) *forensics.Archive {
	w.tb.Helper()
	a, err := forensics.OpenArchive(dir, w.identity(), forensics.Options{Bytes: bytes})
	if err != nil {
		w.tb.Fatal(err)
	}
	return a
}

func (w *world) read(dir string) *forensics.Log {
	w.tb.Helper()
	log, err := forensics.ReadArchive(dir, w.cluster)
	if err != nil {
		w.tb.Fatal(err)
	}
	return log
}
