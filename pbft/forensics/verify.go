package forensics

import (
	"errors"
	"fmt"

	"github.com/quorate/quorate/pbft/wire"
)

// ErrProof says that a proof does not hold: it was forged or damaged.
var ErrProof = errors.New("the proof does not hold")

// Conviction is one replica that provably lied.
type Conviction struct {
	Culprit wire.ReplicaID
	Proof   wire.EvidenceKind
	// View and Seq are what the lie was about; either is 0 where it has none.
	View wire.View
	Seq  wire.Seq
	// Evidence is the proof. It is nil for one that is too large for a message:
	// then the archive is the proof.
	Evidence *wire.Evidence
}

func convictionOf(c *Cluster, e *wire.Evidence) Conviction {
	view, seq := e.Place(c.Quorum.Replicas())
	return Conviction{Culprit: e.Culprit, Proof: e.Proof, View: view, Seq: seq, Evidence: e}
}

// VerifyFile verifies every proof of an evidence file with nothing but what the
// genesis says. It convicts in the order of the file. The error is of the first
// thing that is wrong: it wraps ErrFile, ErrOtherCluster or ErrProof.
func VerifyFile(c *Cluster, data []byte) ([]Conviction, error) {
	d, frames, err := DecodeFile(data)
	if err != nil {
		return nil, err
	}
	if err := c.same(d); err != nil {
		return nil, err
	}
	return Verify(c, frames...)
}

// Verify verifies frames of evidence. Errors wrap ErrProof.
func Verify(c *Cluster, frames ...[]byte) ([]Conviction, error) {
	out := make([]Conviction, 0, len(frames))
	for i, o := range c.opener().Open(frames) {
		if o.Err != nil {
			return nil, fmt.Errorf("%w: proof %d: %w", ErrProof, i+1, o.Err)
		}
		e, ok := o.Sealed.Message().(*wire.Evidence)
		if !ok {
			return nil, fmt.Errorf("%w: proof %d is a %s, which proves nothing", ErrProof, i+1, o.Sealed.Message().Kind())
		}
		out = append(out, convictionOf(c, e))
	}
	return out, nil
}

// Said tells in words what the culprit signed.
func (v *Conviction) Said() string {
	at := fmt.Sprintf("view %d, number %d", v.View, v.Seq)
	switch v.Proof {
	case wire.EvidencePrePrepares:
		return "proposed two batches in " + at
	case wire.EvidencePrepares:
		return "prepared two batches in " + at
	case wire.EvidenceCommits:
		return "committed two batches in " + at
	case wire.EvidenceCheckpoints:
		return fmt.Sprintf("signed two states after number %d", v.Seq)
	case wire.EvidenceViewChanges:
		return fmt.Sprintf("asked for view %d with two different messages", v.View)
	case wire.EvidenceNewViews:
		return fmt.Sprintf("opened view %d with two different messages", v.View)
	case wire.EvidenceHidden:
		return "committed a batch in " + at + ", and hid its certificate in a later view change"
	case wire.EvidenceUnsigned:
		return "proposed, in " + at + ", a request that its client did not sign"
	case wire.EvidenceChoices:
		return fmt.Sprintf("opened view %d with something else than its view changes imply", v.View)
	default:
		return v.Proof.String()
	}
}

// Why tells in words why no correct replica does that.
func (v *Conviction) Why() string {
	switch v.Proof {
	case wire.EvidencePrePrepares, wire.EvidencePrepares:
		return "the first, or its number, is on disk before it is sent, and after a restart nothing else is signed there"
	case wire.EvidenceCheckpoints:
		return "the state after a number is one; a replica whose memory or disk failed does this as well"
	case wire.EvidenceHidden:
		return "a certificate is on disk before its commit is sent, and is handed over until a checkpoint covers it"
	case wire.EvidenceUnsigned:
		return "a request is verified before it is proposed"
	case wire.EvidenceChoices:
		return "the choice is computed from exactly the view changes that are named"
	default:
		return "the first is on disk before it is sent, and binds"
	}
}
