package wire_test

import (
	"testing"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// replicas is the size of the tests' cluster.
const replicas = 4

// world is a cluster whose every key the tests hold.
type world struct {
	domain   crypto.Domain
	replicas []crypto.Signer
	keys     []crypto.PublicKey
	clients  []crypto.Signer
	verifier crypto.Verifier
	lim      wire.Limits
}

// newWorld returns a cluster of fixed keys that sign by ed25519.
func newWorld(tb testing.TB) *world {
	tb.Helper()
	w := &world{
		domain:   crypto.Domain{Cluster: crypto.Sum([]byte("the tests' cluster")), Epoch: 7},
		verifier: crypto.NewVerifier(64),
		lim:      wire.DefaultLimits(replicas),
	}
	for i := range replicas {
		k := newKey(tb, byte(i+1))
		w.replicas, w.keys = append(w.replicas, k), append(w.keys, k.Public())
	}
	for i := range 3 {
		w.clients = append(w.clients, newKey(tb, byte(0x80+i)))
	}
	return w
}

// newStubWorld returns the same cluster with signatures that are hashes: fast,
// and as unforgeable, as nothing in the tests computes them but stubSigner.
func newStubWorld(tb testing.TB) *world {
	tb.Helper()
	w := newWorld(tb)
	for i, k := range w.replicas {
		w.replicas[i] = stubSigner(k.Public())
	}
	for i, k := range w.clients {
		w.clients[i] = stubSigner(k.Public())
	}
	w.verifier = stubVerifier{}
	return w
}

func newKey(tb testing.TB, fill byte) crypto.PrivateKey {
	tb.Helper()
	var seed [crypto.SeedSize]byte
	for i := range seed {
		seed[i] = fill
	}
	k, err := crypto.NewPrivateKey(seed[:])
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

func (w *world) opener() *wire.Opener {
	return wire.NewOpener(w.domain, w.keys, w.lim, w.verifier)
}

// sign returns the signature of one vote or checkpoint, as a message's Seal
// makes it.
func (w *world) sign(sender wire.ReplicaID, m wire.Message) crypto.Signature {
	switch m := any(wire.Seal(w.replicas[sender], w.domain, m).Message()).(type) {
	case *wire.PrePrepare:
		return m.Signature
	case *wire.Prepare:
		return m.Signature
	case *wire.Commit:
		return m.Signature
	case *wire.Checkpoint:
		return m.Signature
	default:
		return crypto.Signature{}
	}
}

// seal fills in every signature of m, nested ones too.
func (w *world) seal(m wire.Message) *wire.Sealed {
	switch m := any(m).(type) {
	case *wire.Request:
		return wire.Seal(w.client(m.Client), w.domain, m)
	case *wire.Query:
		return wire.Seal(w.client(m.Client), w.domain, m)
	case *wire.PrePrepare:
		w.signBatch(m.Batch)
		m.Digest = m.Batch.Digest()
	case *wire.BatchBody:
		w.signBatch(m.Batch)
	case *wire.Committed:
		w.signBatch(m.Batch)
		m.Cert.Digest = m.Batch.Digest()
		w.signCommits(&m.Cert)
	case *wire.CommitProof:
		w.signCommits(&m.Cert)
	case *wire.Prepared:
		w.signPrepared(&m.Cert)
	case *wire.StableProof:
		w.signCheckpoints(&m.Cert)
	case *wire.ViewChange:
		w.signCheckpoints(&m.Stable)
		for i := range m.Prepared {
			w.signPrepared(&m.Prepared[i])
		}
	}
	sender, _ := wire.SenderOf(m)
	return wire.Seal(w.replicas[sender], w.domain, m)
}

func (w *world) client(key wire.ClientID) crypto.Signer {
	for _, c := range w.clients {
		if c.Public() == key {
			return c
		}
	}
	return nil
}

func (w *world) signBatch(b *wire.Batch) {
	for i, q := range b.Requests {
		b.Requests[i] = message[*wire.Request](w.seal(q))
	}
}

func (w *world) signCheckpoints(c *wire.CheckpointCert) {
	for i := range c.Signers {
		s := &c.Signers[i]
		s.Signature = w.sign(s.Sender, &wire.Checkpoint{Seq: c.Seq, State: c.State, Sender: s.Sender})
	}
}

func (w *world) signPrepared(c *wire.PreparedCert) {
	v := wire.Vote{View: c.View, Seq: c.Seq, Digest: c.Digest, Sender: c.View.Primary(replicas)}
	c.PrePrepare = w.sign(v.Sender, &wire.PrePrepare{Vote: v})
	for i := range c.Prepares {
		v.Sender = c.Prepares[i].Sender
		c.Prepares[i].Signature = w.sign(v.Sender, &wire.Prepare{Vote: v})
	}
}

func (w *world) signCommits(c *wire.CommitCert) {
	for i := range c.Commits {
		v := wire.Vote{View: c.View, Seq: c.Seq, Digest: c.Digest, Sender: c.Commits[i].Sender}
		c.Commits[i].Signature = w.sign(v.Sender, &wire.Commit{Vote: v})
	}
}

// message returns what is sealed as its type.
func message[M wire.Message](s *wire.Sealed) M {
	m, _ := s.Message().(M)
	return m
}

// stubSigner signs with a hash of its public key and the message.
type stubSigner crypto.PublicKey

func (s stubSigner) Public() crypto.PublicKey { return crypto.PublicKey(s) }

func (s stubSigner) Sign(message []byte) crypto.Signature {
	a, b := crypto.Sum([]byte{1}, s[:], message), crypto.Sum([]byte{2}, s[:], message)
	return crypto.Signature(append(a[:], b[:]...))
}

// stubVerifier verifies what stubSigner signs.
type stubVerifier struct{}

func (stubVerifier) Verify(checks []crypto.Check, ok []bool) bool {
	all := true
	for i, c := range checks {
		ok[i] = stubSigner(c.Key).Sign(c.Message) == c.Signature
		all = all && ok[i]
	}
	return all
}
