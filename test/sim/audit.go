package sim

import (
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/forensics"
)

// archived keeps what the driver of a replica would archive of records.
func (n *node) archived(records []core.Record) {
	if !n.w.o.Audit {
		return
	}
	for _, r := range records {
		past, kept := core.Archived(r)
		n.archive.Messages = append(append(n.archive.Messages, past...), kept...)
	}
}

// audited checks O9 of the archives of all replicas that do not lie, together: whoever holds
// everything in them against everything else convicts no correct replica, and finds the
// agreement unbroken.
func (o *oracle) audited() {
	w := o.w
	if !w.o.Audit {
		return
	}
	var logs []*forensics.Log
	for _, n := range w.nodes {
		if !n.byzantine {
			logs = append(logs, &n.archive)
		}
	}
	w.checked(lawAccount)
	found := forensics.Audit(w.forensics(), logs...)
	w.counters.Audited += found.Messages
	for i := range found.Convictions {
		c := &found.Convictions[i]
		w.counters.Convicted++
		if w.nodes[c.Culprit].keepsWord() {
			w.breach(lawAccount, "an audit convicts R%d: it %s", c.Culprit, c.Said())
		}
	}
	if len(found.Conflicts) > 0 && !w.o.Excess {
		w.breach(lawAccount, "an audit finds the agreement broken: %+v", found.Conflicts[0])
	}
	data, err := forensics.EncodeFile(w.domain, found.Proofs())
	if err == nil {
		_, err = forensics.VerifyFile(w.forensics(), data)
	}
	if err != nil {
		w.breach(lawAccount, "what an audit finds does not verify: %w", err)
	}
}

// forensics is what an auditor knows of the cluster.
func (w *world) forensics() *forensics.Cluster {
	return &forensics.Cluster{
		Domain: w.domain, Keys: w.keys, Quorum: w.quorum, Limits: w.opener.Limits(), Verifier: w.verifier,
	}
}
