package adversary_test

import (
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// sign signs a message as the network hands it to a replica: one that does not
// open would attack nobody.
func (l *lab) sign(signer crypto.Signer, m wire.Message) *wire.Sealed {
	l.tb.Helper()
	opened, err := l.opener.OpenOne(wire.Seal(signer, l.domain, m).Frame())
	if err != nil {
		l.tb.Fatalf("a forged %s does not open: %v", m.Kind(), err)
	}
	return opened
}

// forge signs a message with the key of the replica that it names as its sender.
func (l *lab) forge(m wire.Message) *wire.Sealed {
	l.tb.Helper()
	sender, ok := wire.SenderOf(m)
	if !ok {
		l.tb.Fatalf("a %s has no sender who could sign it", m.Kind())
	}
	return l.sign(l.signers[sender], m)
}

// inject puts a forged message in flight, as its sender's.
func (l *lab) inject(m wire.Message, to ...wire.ReplicaID) *wire.Sealed {
	l.tb.Helper()
	packets, sealed := l.packets(m, to)
	l.net = append(l.net, packets...)
	return sealed
}

// rush is inject ahead of all that is in flight.
func (l *lab) rush(m wire.Message, to ...wire.ReplicaID) {
	l.tb.Helper()
	packets, _ := l.packets(m, to)
	l.net = append(packets, l.net...)
}

func (l *lab) packets(m wire.Message, to []wire.ReplicaID) ([]packet, *wire.Sealed) {
	l.tb.Helper()
	sealed := l.forge(m)
	from, _ := wire.SenderOf(m)
	var out []packet
	for _, id := range to {
		out = append(out, packet{from, id, sealed})
	}
	return out, sealed
}

// give hands sealed messages to one replica, one after the other.
func (l *lab) give(h *host, from wire.ReplicaID, messages ...*wire.Sealed) {
	l.tb.Helper()
	for _, sealed := range messages {
		l.step(h, core.Received{From: from, Message: sealed})
	}
	l.run()
}

// request returns the signed request of a client for one operation.
func (l *lab) request(client int, number wire.Number, op string) *wire.Sealed {
	l.tb.Helper()
	signer := l.signer(clientKeys + client)
	return l.sign(signer, &wire.Request{
		Client: signer.Public(), Session: 1, Number: number, Ops: [][]byte{[]byte(op)},
	})
}

// batch returns a batch of one new request of a client.
func (l *lab) batch(client int, op string) *wire.Batch {
	l.tb.Helper()
	return &wire.Batch{Time: l.now, Requests: []*wire.Request{content[*wire.Request](l, l.request(client, 1, op))}}
}

// content returns the message that sealed holds, which is of type M.
func content[M wire.Message](l *lab, sealed *wire.Sealed) M {
	l.tb.Helper()
	m, ok := sealed.Message().(M)
	if !ok {
		l.tb.Fatalf("a %s is not the %T that is wanted", sealed.Message().Kind(), m)
	}
	return m
}

// lastSent returns the last message of type M that a correct replica sent and
// that match likes, or the zero value.
func lastSent[M wire.Message](l *lab, match func(M) bool) M {
	var last M
	for _, p := range l.sent {
		if m, ok := p.sealed.Message().(M); ok && match(m) {
			last = m
		}
	}
	return last
}

// prepareOf returns the prepare that a correct replica sent for a number in view
// 0.
func (l *lab) prepareOf(id wire.ReplicaID, seq wire.Seq) *wire.Prepare {
	l.tb.Helper()
	p := lastSent(l, func(m *wire.Prepare) bool { return m.Sender == id && m.View == 0 && m.Seq == seq })
	if p == nil {
		l.tb.Fatalf("R%d sent no prepare of number %d", id, seq)
	}
	return p
}

// certificate makes a prepared certificate of a pre-prepare and of prepares, in
// ascending order of sender.
func certificate(pp wire.Vote, prepares ...*wire.Prepare) wire.PreparedCert {
	cert := wire.PreparedCert{View: pp.View, Seq: pp.Seq, Digest: pp.Digest, PrePrepare: pp.Signature}
	for _, p := range prepares {
		cert.Prepares = append(cert.Prepares, wire.Signed{Sender: p.Sender, Signature: p.Signature})
	}
	return cert
}

// refs names view changes as a new view does.
func refs(l *lab, changes ...*wire.Sealed) []wire.ViewChangeRef {
	l.tb.Helper()
	var out []wire.ViewChangeRef
	for _, sealed := range changes {
		sender := content[*wire.ViewChange](l, sealed).Sender
		out = append(out, wire.ViewChangeRef{Sender: sender, Digest: sealed.Digest()})
	}
	return out
}

// vote returns the unsigned vote of a replica.
func vote(view wire.View, seq wire.Seq, digest crypto.Digest, sender wire.ReplicaID) wire.Vote {
	return wire.Vote{View: view, Seq: seq, Digest: digest, Sender: sender}
}

// voteOf returns the vote that a message is, if it is one.
func voteOf(m wire.Message) (wire.Vote, bool) {
	if m, ok := m.(*wire.PrePrepare); ok {
		return m.Vote, true
	}
	if m, ok := m.(*wire.Prepare); ok {
		return m.Vote, true
	}
	if m, ok := m.(*wire.Commit); ok {
		return m.Vote, true
	}
	return wire.Vote{}, false
}
