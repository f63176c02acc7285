package sim

import (
	"slices"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// liar is the mouth of a Byzantine replica. Its core is honest, and what it hears
// of itself too; but what others hear is changed, withheld, or different from
// replica to replica, and signed with the replica's key all the same.
type liar struct {
	n *node
	// mutes and lies are the probabilities that a message is withheld, or changed.
	mutes, lies float64
	// about has bit k set if it lies in messages of kind k, and not all: who is
	// caught at the first lie gets no chance for a better one.
	about uint32
	// splits says that it tells half of the replicas one story and the others
	// another, each without contradiction.
	splits bool
	other  map[crypto.Digest]crypto.Digest // the other story of a batch
	// echoes are messages of others, which it repeats at any time.
	echoes []*wire.Sealed
}

// echoesMax is how many messages of others a liar remembers.
const echoesMax = 64

func newLiar(n *node) *liar {
	level := func() float64 { return []float64{0, 0.05, 0.3, 0.9}[n.w.rng.IntN(4)] }
	return &liar{
		n: n, mutes: level(), lies: level(), about: n.w.rng.Uint32() | n.w.rng.Uint32(), splits: n.w.rng.IntN(3) == 0,
		other: map[crypto.Digest]crypto.Digest{},
	}
}

// hear remembers what others say.
func (l *liar) hear(sealed *wire.Sealed) {
	if len(l.echoes) < echoesMax {
		l.echoes = append(l.echoes, sealed)
		return
	}
	l.echoes[l.n.w.rng.IntN(echoesMax)] = sealed
}

// echo repeats, now and then, an old message of somebody to a replica.
func (l *liar) echo(to wire.ReplicaID) {
	if w := l.n.w; len(l.echoes) > 0 && w.chance(l.lies/4) {
		w.counters.Echoes++
		w.transmit(l.n, to, l.echoes[w.rng.IntN(len(l.echoes))])
	}
}

// say returns what replica to hears instead of sealed; nil for nothing.
func (l *liar) say(to wire.ReplicaID, sealed *wire.Sealed) *wire.Sealed {
	w := l.n.w
	l.echo(to)
	m := sealed.Message()
	if l.about>>m.Kind()&1 == 0 {
		return sealed
	}
	if w.chance(l.mutes) {
		w.counters.Lies++
		return nil
	}
	if sender, personal := wire.SenderOf(m); personal && sender != l.n.id {
		return sealed // it can forge nobody else
	}
	var lie wire.Message
	switch {
	case l.splits && to%2 == 1:
		lie = l.otherStory(m)
	case w.chance(l.lies):
		lie = l.twist(m)
	}
	if lie == nil {
		return sealed
	}
	w.counters.Lies++
	return wire.Seal(l.n.signer, w.domain, lie)
}

// otherStory returns a message of the story in which every batch of this
// primary's is another one.
func (l *liar) otherStory(m wire.Message) wire.Message {
	switch m := m.(type) { //nolint:gochecksumtype // the others are alike in both stories
	case *wire.PrePrepare:
		lie := *m
		lie.Batch = &wire.Batch{Time: m.Batch.Time + 1, Requests: m.Batch.Requests}
		lie.Digest = lie.Batch.Digest()
		l.other[m.Digest] = lie.Digest
		return &lie
	case *wire.Commit:
		if digest, ok := l.other[m.Digest]; ok {
			lie := *m
			lie.Digest = digest
			return &lie
		}
	default:
	}
	return nil
}

// twist returns m with one thing changed, or nil.
func (l *liar) twist(m wire.Message) wire.Message {
	rng := l.n.w.rng
	switch m := m.(type) { //nolint:gochecksumtype // lies about the others harm nobody
	case *wire.PrePrepare:
		return l.twistProposal(*m)
	case *wire.Prepare:
		return &wire.Prepare{Vote: l.twistVote(m.Vote)}
	case *wire.Commit:
		if rng.IntN(5) == 0 {
			return &wire.Prepare{Vote: m.Vote} // which a primary may not send
		}
		return &wire.Commit{Vote: l.twistVote(m.Vote)}
	case *wire.Checkpoint:
		lie := *m
		if rng.IntN(2) == 0 {
			lie.State[0] ^= 1
		} else {
			lie.Seq += wire.Seq(1 + rng.IntN(40)) //nolint:gosec // small
		}
		return &lie
	case *wire.ViewChange:
		return l.twistViewChange(*m)
	case *wire.NewView:
		return l.twistNewView(*m)
	case *wire.Status:
		lie := *m
		lie.Executed += wire.Seq(rng.IntN(100)) //nolint:gosec // small
		lie.Stable, lie.Slots = min(lie.Executed, lie.Stable+wire.Seq(rng.IntN(100))), nil
		lie.View += wire.View(rng.IntN(3)) //nolint:gosec // small
		return &lie
	default:
		return l.twistAnswer(m)
	}
}

// twistAnswer returns an answer with one thing changed, or nil.
func (l *liar) twistAnswer(m wire.Message) wire.Message {
	switch m := m.(type) { //nolint:gochecksumtype // as above
	case *wire.Committed:
		lie := *m
		lie.Cert.Commits = lie.Cert.Commits[1:]
		return &lie
	case *wire.StableProof:
		return &wire.StableProof{Cert: fewer(m.Cert)}
	case *wire.Piece:
		lie := wire.Piece{Root: m.Root, Data: slices.Clone(m.Data)}
		lie.Data[l.n.w.rng.IntN(len(lie.Data))] ^= 1
		return &lie
	case *wire.Reply:
		lie := *m
		lie.Result = append(slices.Clone(m.Result), 1)
		return &lie
	default:
		return nil
	}
}

func (l *liar) twistProposal(m wire.PrePrepare) wire.Message {
	batch := *m.Batch
	if len(batch.Requests) == 0 { // a null batch, carried over
		return nil
	}
	switch l.n.w.rng.IntN(5) {
	case 0:
		batch.Requests = batch.Requests[1:]
	case 1:
		batch.Requests = append(slices.Clone(batch.Requests), batch.Requests[0])
	case 2:
		batch.Time += 3600e9
	case 3:
		batch.Time-- // and the digest is not the batch's
		m.Batch = &batch
		return &m
	default:
		m.Seq += 5
	}
	m.Batch, m.Digest = &batch, batch.Digest()
	return &m
}

func (l *liar) twistVote(v wire.Vote) wire.Vote {
	switch l.n.w.rng.IntN(4) {
	case 0:
		v.Digest[0] ^= 1
	case 1:
		v.Digest = wire.NullDigest()
	case 2:
		v.Seq += 1 + wire.Seq(l.n.w.rng.IntN(20)) //nolint:gosec // small
	default:
		v.View += 1 + wire.View(l.n.w.rng.IntN(3)) //nolint:gosec // small
	}
	return v
}

// fewer returns a certificate that lacks a signer.
func fewer(cert wire.CheckpointCert) wire.CheckpointCert {
	cert.Signers = cert.Signers[min(1, len(cert.Signers)):]
	return cert
}

// twistViewChange hides a certificate, all of them, or a part of one, or asks for
// another view.
func (l *liar) twistViewChange(m wire.ViewChange) wire.Message {
	switch l.n.w.rng.IntN(5) {
	case 2:
		m.Stable = fewer(m.Stable)
	case 3:
		m.Prepared = slices.Clone(m.Prepared)
		for i := range m.Prepared {
			m.Prepared[i].Prepares = m.Prepared[i].Prepares[1:]
		}
	case 0:
		m.Prepared = nil
	case 1:
		m.Prepared = m.Prepared[:max(0, len(m.Prepared)-1)]
	default:
		m.View++
	}
	return &m
}

// twistNewView drops the last choice, changes one, or names fewer view changes.
func (l *liar) twistNewView(m wire.NewView) wire.Message {
	m.Choices = slices.Clone(m.Choices)
	switch last := len(m.Choices) - 1; {
	case last < 0 || l.n.w.rng.IntN(3) == 0:
		m.ViewChanges = m.ViewChanges[1:]
	case l.n.w.rng.IntN(2) == 0:
		m.Choices = m.Choices[:last]
	default:
		m.Choices[last].Digest = wire.NullDigest()
	}
	return &m
}
