package golden

import (
	"fmt"
	"slices"
	"strings"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// forge puts a message on its way that is signed with the key of a replica,
// which may know nothing of it. Every forgery passes the decoder and the
// verifier: what they refuse never arrives, and the output says why. Kinds and
// their options:
//
//	pre-prepare   v= n= batch=a1+b1 [ms=] [unsigned]  ms= moves the batch's time; nobody signed its last request
//	prepare       v= n= batch=
//	commit        v= n= batch=
//	checkpoint    n= [state=wrong]
//	view-change   v= [h= signers= state=wrong] [prepared=1:a1@0,2:null@0] [prepares=2]
//	new-view      v= of=0,1,2 [h= state=wrong] [choices=1:a1,2:null]
//	committed     v= n= batch= [signers=0,1,2]
//	stable-proof  n= [signers=] [state=wrong]
//	status        v= h= executed= [inactive]
//	evidence      v= n= first=a1 second=b1 culprit=
//	fetch-batches batches=a1,b1
//	batch-body    batch=
//	fetch-committed first= last=
func (w *World) forge(c call) error {
	from := c.ids(c.options["from"])
	if len(c.words) == 0 || len(from) != 1 || int(from[0]) >= len(w.replicas) {
		return fmt.Errorf("forge: want a kind and from=replica")
	}
	by := from[0]
	if signer := c.ids(c.options["by"]); signer != nil {
		by = signer[0]
	}
	m, err := w.forgery(by, c)
	if err != nil {
		return err
	}
	w.truth.lies = true
	opened := w.opener.Open([][]byte{wire.Seal(w.replicas[by].signer, w.domain, m).Frame()})[0]
	if opened.Sealed == nil {
		w.print("refused before the core: %v", opened.Err)
		w.expose(opened.Unsigned, c)
		return nil
	}
	sealed := opened.Sealed
	if vc, ok := sealed.Message().(*wire.ViewChange); ok {
		w.truth.changes[fmt.Sprint(vc.Sender, vc.View)] = sealed.Digest()
	}
	for _, to := range w.receivers(c) {
		if to != from[0] {
			w.network.post(newEnvelope(from[0], to, sealed))
		}
	}
	return nil
}

// expose shows a pre-prepare of an unsigned request to its receivers, as their
// drivers do.
func (w *World) expose(u *wire.Unsigned, c call) {
	if u == nil {
		return
	}
	for _, to := range w.receivers(c) {
		if r := w.replicas[to]; r.up {
			r.step(core.Exposed{Proposal: u})
		}
	}
}

func (w *World) forgery(by wire.ReplicaID, c call) (wire.Message, error) {
	switch kind := c.words[0]; kind {
	case "pre-prepare", "prepare", "commit", "committed":
		return w.forgeVote(by, c)
	case "checkpoint":
		return &wire.Checkpoint{Seq: c.seq("n"), State: w.stateAt(c.seq("n"), c), Sender: by}, nil
	case "stable-proof":
		return &wire.StableProof{Cert: w.checkpointCert(c.seq("n"), c)}, nil
	case "view-change":
		return w.forgeViewChange(by, c)
	case "new-view":
		return w.forgeNewView(by, c)
	case "status":
		return &wire.Status{
			View: c.view(), Active: !c.flag("inactive"), LostPrimary: c.flag("lost"), Suspects: c.flag("suspects"),
			Stable: c.seq("h"), Executed: c.seq("executed"), Answers: uint64(c.seq("answers")), Sender: by,
		}, nil
	case "evidence":
		return w.forgeEvidence(c)
	case "fetch-batches":
		m := &wire.FetchBatches{Sender: by}
		for _, ref := range splitList(c.options["batches"]) {
			batch, err := w.batch(ref, c)
			if err != nil {
				return nil, err
			}
			m.Digests = append(m.Digests, batch.Digest())
		}
		return m, nil
	case "batch-body":
		batch, err := w.batch(c.options["batch"], c)
		return &wire.BatchBody{Batch: batch}, err
	case "fetch-committed":
		return &wire.FetchCommitted{First: c.seq("first"), Last: c.seq("last"), Sender: by}, nil
	default:
		return nil, fmt.Errorf("forge: cannot forge a %s", kind)
	}
}

// batch returns the batch of a name without brackets, a1+b1 or null, made anew
// unless there is one; a prime asks for another of the same requests.
func (w *World) batch(ref string, c call) (*wire.Batch, error) {
	if ref == "null" {
		return wire.NullBatch(), nil
	}
	plain := strings.TrimRight(ref, "'")
	primes := len(ref) - len(plain)
	name := "[" + strings.ReplaceAll(plain, "+", " ") + "]" + strings.Repeat("'", primes)
	if known := w.names.batches[name]; known != nil {
		return known, nil
	}
	b := &wire.Batch{Time: wallStart + w.elapsed + wire.Time(c.count("ms", 0))*1e6 + wire.Time(primes)}
	if input := c.options["input"]; input != "" {
		b.Input = []byte(input)
	}
	if plain != "empty" {
		for _, request := range strings.Split(plain, "+") {
			sealed, err := w.request(request, call{})
			if err != nil {
				return nil, err
			}
			b.Requests = append(b.Requests, sealed.Message().(*wire.Request)) //nolint:errcheck // request made it
		}
	}
	w.names.batch(b)
	return b, nil
}

func (w *World) forgeVote(by wire.ReplicaID, c call) (wire.Message, error) {
	batch, err := w.batch(c.options["batch"], c)
	if err != nil {
		return nil, err
	}
	if c.flag("unsigned") {
		batch = w.spoil(batch)
	}
	v := wire.Vote{View: c.view(), Seq: c.seq("n"), Digest: batch.Digest(), Sender: by}
	switch c.words[0] {
	case "pre-prepare":
		return &wire.PrePrepare{Vote: v, Batch: batch}, nil
	case "prepare":
		return &wire.Prepare{Vote: v}, nil
	case "commit":
		return &wire.Commit{Vote: v}, nil
	}
	cert := wire.CommitCert{View: v.View, Seq: v.Seq, Digest: v.Digest}
	for _, id := range w.signersOf(c) {
		v.Sender = id
		cert.Commits = append(cert.Commits, wire.Signed{Sender: id, Signature: w.sign(id, &wire.Commit{Vote: v})})
	}
	return &wire.Committed{Cert: cert, Batch: batch}, nil
}

// spoil returns a batch with a bad signature in its last request.
func (w *World) spoil(b *wire.Batch) *wire.Batch {
	requests := slices.Clone(b.Requests)
	last := *requests[len(requests)-1]
	last.Signature[0]++
	requests[len(requests)-1] = &last
	bad := &wire.Batch{Time: b.Time, Requests: requests}
	w.names.know(bad.Digest(), "unsigned")
	return bad
}

// signersOf returns the replicas that an option names, or the first q.
func (w *World) signersOf(c call) []wire.ReplicaID {
	if ids := c.ids(c.options["signers"]); ids != nil {
		return ids
	}
	return everyone(w.quorum.Strong())
}

// sign returns the signature of a replica under a message.
func (w *World) sign(id wire.ReplicaID, m wire.Message) crypto.Signature {
	sealed := wire.Seal(w.replicas[id].signer, w.domain, m)
	switch m := sealed.Message().(type) { //nolint:gochecksumtype // what certificates are made of
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

// stateAt returns the digest of the state after seq, or a wrong one.
func (w *World) stateAt(seq wire.Seq, c call) crypto.Digest {
	return stateDigest(seq, w.truth.histories[seq], c.options["state"] == "wrong")
}

func (w *World) checkpointCert(seq wire.Seq, c call) wire.CheckpointCert {
	cert := wire.CheckpointCert{Seq: seq, State: w.stateAt(seq, c)}
	if seq == 0 {
		return cert
	}
	for _, id := range w.signersOf(c) {
		m := &wire.Checkpoint{Seq: seq, State: cert.State, Sender: id}
		cert.Signers = append(cert.Signers, wire.Signed{Sender: id, Signature: w.sign(id, m)})
	}
	return cert
}

// forgeViewChange makes a view change with prepared certificates that never
// came to be: this package has everyone's keys.
func (w *World) forgeViewChange(by wire.ReplicaID, c call) (wire.Message, error) {
	vc := &wire.ViewChange{View: c.view(), Stable: w.checkpointCert(c.seq("h"), c), Sender: by}
	if c.options["prepared"] == "" {
		return vc, nil
	}
	for _, entry := range splitList(c.options["prepared"]) {
		var cert wire.PreparedCert
		rest, view, _ := strings.Cut(entry, "@")
		number, ref, ok := strings.Cut(rest, ":")
		if _, err := fmt.Sscan(number+" "+view, &cert.Seq, &cert.View); err != nil || !ok {
			return nil, fmt.Errorf("forge: %q is no prepared certificate: want 1:a1@0", entry)
		}
		batch, err := w.batch(ref, c)
		if err != nil {
			return nil, err
		}
		cert.Digest = batch.Digest()
		w.certify(&cert, c.count("prepares", w.quorum.Strong()-1))
		vc.Prepared = append(vc.Prepared, cert)
	}
	return vc, nil
}

// certify signs a prepared certificate with the keys of its view's primary and
// of so many backups.
func (w *World) certify(cert *wire.PreparedCert, prepares int) {
	primary := cert.View.Primary(len(w.replicas))
	v := wire.Vote{View: cert.View, Seq: cert.Seq, Digest: cert.Digest, Sender: primary}
	cert.PrePrepare = w.sign(primary, &wire.PrePrepare{Vote: v, Batch: wire.NullBatch()})
	for _, id := range everyone(len(w.replicas)) {
		if id == primary || len(cert.Prepares) == prepares {
			continue
		}
		v.Sender = id
		cert.Prepares = append(cert.Prepares, wire.Signed{Sender: id, Signature: w.sign(id, &wire.Prepare{Vote: v})})
	}
}

func (w *World) forgeNewView(by wire.ReplicaID, c call) (wire.Message, error) {
	nv := &wire.NewView{View: c.view(), Stable: c.seq("h"), StableState: w.stateAt(c.seq("h"), c), Sender: by}
	for _, id := range c.ids(c.options["of"]) {
		digest := w.truth.changes[fmt.Sprint(id, nv.View)]
		nv.ViewChanges = append(nv.ViewChanges, wire.ViewChangeRef{Sender: id, Digest: digest})
	}
	if c.options["choices"] == "" {
		return nv, nil
	}
	for _, entry := range splitList(c.options["choices"]) {
		var choice wire.Choice
		number, ref, _ := strings.Cut(entry, ":")
		if _, err := fmt.Sscan(number, &choice.Seq); err != nil {
			return nil, fmt.Errorf("forge: %q is no choice: want 1:a1", entry)
		}
		batch, err := w.batch(ref, c)
		if err != nil {
			return nil, err
		}
		choice.Digest = batch.Digest()
		nv.Choices = append(nv.Choices, choice)
	}
	return nv, nil
}

// forgeEvidence makes a true proof: two pre-prepares that the culprit signed.
func (w *World) forgeEvidence(c call) (wire.Message, error) {
	var said [2]wire.Message
	culprit := c.ids(c.options["culprit"])
	if len(culprit) != 1 {
		return nil, fmt.Errorf("forge: want culprit=replica")
	}
	for i, key := range [2]string{"first", "second"} {
		batch, err := w.batch(c.options[key], c)
		if err != nil {
			return nil, err
		}
		v := wire.Vote{View: c.view(), Seq: c.seq("n"), Digest: batch.Digest(), Sender: culprit[0]}
		said[i] = wire.Seal(w.replicas[culprit[0]].signer, w.domain, &wire.PrePrepare{Vote: v, Batch: batch}).Message()
	}
	return wire.NewEvidence(wire.EvidencePrePrepares, culprit[0], said[0], said[1])
}
