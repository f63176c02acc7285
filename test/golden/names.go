package golden

import (
	"fmt"
	"strings"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// names gives what has a digest a name.
type names struct {
	digests map[crypto.Digest]string
	short   map[string]string
	batches map[string]*wire.Batch
	clients map[wire.ClientID]string
}

func newNames() names {
	n := names{
		map[crypto.Digest]string{}, map[string]string{}, map[string]*wire.Batch{}, map[wire.ClientID]string{},
	}
	n.batch(wire.NullBatch())
	return n
}

// know gives a digest a name, unless it has one.
func (n *names) know(d crypto.Digest, name string) {
	if n.digests[d] == "" {
		n.digests[d], n.short[d.Short()] = name, name
	}
}

// in puts names for the digests in text.
func (n *names) in(text string) string {
	for short, name := range n.short {
		text = strings.ReplaceAll(text, short, name)
	}
	return text
}

func (n *names) digest(d crypto.Digest) string {
	if name := n.digests[d]; name != "" {
		return name
	}
	return "?"
}

// batch names a batch by its requests; a second of the same gets a prime.
func (n *names) batch(b *wire.Batch) string {
	d := b.Digest()
	if name := n.digests[d]; name != "" {
		return name
	}
	var requests []string
	for _, q := range b.Requests {
		requests = append(requests, n.request(q.Client, q.Session, q.Number))
	}
	name := "[" + strings.Join(requests, " ") + "]"
	if len(requests) == 0 && b.Time == 0 {
		name = "null"
	}
	for n.batches[name] != nil {
		name += "'"
	}
	n.batches[name] = b
	n.know(d, name)
	return name
}

// meet names the batch of a message.
func (n *names) meet(m wire.Message) {
	if pp, ok := m.(*wire.PrePrepare); ok {
		n.batch(pp.Batch)
	}
}

// request names one operation.
func (n *names) request(client wire.ClientID, session wire.Session, number wire.Number) string {
	name := n.clients[client]
	if session > 1 {
		name += fmt.Sprintf("/%d/", session)
	}
	return fmt.Sprintf("%s%d", name, number)
}

// ofPrimary says what a Status has against the primary.
func ofPrimary(m *wire.Status) string {
	words := ""
	if m.LostPrimary {
		words += " lost the primary"
	}
	if m.Suspects {
		words += " suspects the primary"
	}
	return words
}

// ofLife says what a Status asks, or answers, one that lost its data.
func ofLife(m *wire.Status) string {
	words := ""
	if m.Asks != 0 {
		words += fmt.Sprintf(" asks life %d", m.Asks)
	}
	if m.Answers != 0 {
		words += fmt.Sprintf(" answers life %d", m.Answers)
	}
	return words
}

// message says a message in a few words.
func (n *names) message(m wire.Message) string {
	vote := func(v *wire.Vote) string {
		return fmt.Sprintf("%s v%d n%d %s", m.Kind(), v.View, v.Seq, n.digest(v.Digest))
	}
	switch m := m.(type) { //nolint:gochecksumtype // the others are said by their kind
	case *wire.Request:
		return "request " + n.request(m.Client, m.Session, m.Number)
	case *wire.PrePrepare:
		return vote(&m.Vote)
	case *wire.Prepare:
		return vote(&m.Vote)
	case *wire.Commit:
		return vote(&m.Vote)
	case *wire.Checkpoint:
		return fmt.Sprintf("checkpoint n%d %s", m.Seq, n.digest(m.State))
	case *wire.ViewChange:
		return n.viewChange(m)
	case *wire.NewView:
		return n.newView(m)
	case *wire.Status:
		return fmt.Sprintf("status v%d %s%s h%d executed %d%s", m.View, activity(m.Active), ofPrimary(m), m.Stable, m.Executed, ofLife(m))
	case *wire.FetchCommitted:
		return fmt.Sprintf("fetch-committed n%d to n%d", m.First, m.Last)
	case *wire.Committed:
		return fmt.Sprintf("committed n%d %s of v%d", m.Cert.Seq, n.digest(m.Cert.Digest), m.Cert.View)
	case *wire.CommitProof:
		return fmt.Sprintf("commit-proof n%d %s of v%d", m.Cert.Seq, n.digest(m.Cert.Digest), m.Cert.View)
	case *wire.StableProof:
		return fmt.Sprintf("stable-proof n%d %s", m.Cert.Seq, n.digest(m.Cert.State))
	case *wire.FetchBatches:
		return "fetch-batches" + n.list(m.Digests)
	case *wire.BatchBody:
		return "batch-body " + n.batch(m.Batch)
	case *wire.FetchViewChange:
		return fmt.Sprintf("fetch-view-change v%d of %s", m.View, senders(m.Refs))
	case *wire.Evidence:
		return fmt.Sprintf("evidence against R%d: %s", m.Culprit, m.Proof)
	default:
		return m.Kind().String()
	}
}

func (n *names) list(digests []crypto.Digest) string {
	text := ""
	for _, d := range digests {
		text += " " + n.digest(d)
	}
	return text
}

func (n *names) viewChange(m *wire.ViewChange) string {
	text := fmt.Sprintf("view-change v%d above %d prepared", m.View, m.Stable.Seq)
	for i := range m.Prepared {
		c := &m.Prepared[i]
		text += fmt.Sprintf(" n%d %s of v%d", c.Seq, n.digest(c.Digest), c.View)
	}
	if len(m.Prepared) == 0 {
		text += " nothing"
	}
	return text
}

func (n *names) newView(m *wire.NewView) string {
	text := fmt.Sprintf("new-view v%d of %s above %d carries", m.View, senders(m.ViewChanges), m.Stable)
	for _, c := range m.Choices {
		text += fmt.Sprintf(" n%d %s", c.Seq, n.digest(c.Digest))
	}
	if len(m.Choices) == 0 {
		text += " nothing"
	}
	return text
}

func senders(refs []wire.ViewChangeRef) string {
	var text []string
	for _, ref := range refs {
		text = append(text, fmt.Sprintf("R%d", ref.Sender))
	}
	return strings.Join(text, " ")
}

func activity(active bool) string {
	if active {
		return "active"
	}
	return "between views"
}

// record says a record in a few words.
func (n *names) record(rec core.Record) string {
	switch rec := rec.(type) {
	case core.ViewRecord:
		return fmt.Sprintf("view %d %s", rec.View, activity(rec.Active))
	case core.AcceptedRecord:
		pp := rec.PrePrepare
		return fmt.Sprintf("accepted v%d n%d %s", pp.View, pp.Seq, n.digest(pp.Digest))
	case core.VotedRecord:
		return fmt.Sprintf("voted v%d n%d %s", rec.Vote.View, rec.Vote.Seq, n.digest(rec.Vote.Digest))
	case core.ReservationRecord:
		return fmt.Sprintf("reserved v%d until n%d", rec.View, rec.Seq)
	case core.BatchRecord:
		return fmt.Sprintf("batch n%d %s", rec.Seq, n.batch(rec.Batch))
	case core.PreparedRecord:
		return fmt.Sprintf("prepared v%d n%d %s", rec.Cert.View, rec.Cert.Seq, n.digest(rec.Cert.Digest))
	case core.CommittedRecord:
		return fmt.Sprintf("committed v%d n%d %s", rec.Cert.View, rec.Cert.Seq, n.digest(rec.Cert.Digest))
	case core.ViewChangeRecord:
		return fmt.Sprintf("%s by R%d", n.viewChange(rec.ViewChange), rec.ViewChange.Sender)
	case core.NewViewRecord:
		return n.newView(rec.NewView)
	case core.CheckpointRecord:
		return fmt.Sprintf("checkpoint n%d %s", rec.Seq, n.digest(rec.State))
	case core.StableRecord:
		return fmt.Sprintf("stable n%d %s", rec.Cert.Seq, n.digest(rec.Cert.State))
	case core.RejoinRecord:
		return fmt.Sprintf("rejoin open %v over %v until %d in view %d", rec.Open, rec.Over, rec.Until, rec.View)
	case core.EvidenceRecord:
		return n.message(rec.Evidence)
	case core.ConflictRecord:
		return fmt.Sprintf("conflict n%d %s of v%d and %s of v%d", rec.Own.Seq,
			n.digest(rec.Own.Digest), rec.Own.View, n.digest(rec.Other.Digest), rec.Other.View)
	default:
		return fmt.Sprintf("%T", rec)
	}
}

func reason(r wire.RefusalReason) string {
	switch r {
	case wire.RefusalOverload:
		return "overloaded"
	case wire.RefusalInvalid:
		return "invalid"
	case wire.RefusalSessionOld:
		return "old session"
	case wire.RefusalRejoining:
		return "not serving"
	default:
		return fmt.Sprintf("reason %d", r)
	}
}

func outcome(o wire.Outcome) string {
	switch o {
	case wire.OutcomeSessionOld:
		return "old session"
	case wire.OutcomeNoRoom:
		return "no room"
	case wire.OutcomeForgotten:
		return "again"
	case wire.OutcomeWindow:
		return "beyond the window"
	case wire.OutcomeOK, wire.OutcomePanicked, wire.OutcomeReadOnly, wire.OutcomeTooLarge:
		return fmt.Sprintf("outcome %d", o)
	default:
		return fmt.Sprintf("outcome %d", o)
	}
}

func splitList(list string) []string { return strings.Split(list, ",") }

// doShow runs the commands that only tell.
func (w *World) doShow(c call) (known bool, err error) {
	switch c.name {
	case "show", "hide":
		for _, word := range c.words {
			w.shown[word] = c.name == "show"
		}
	case "status":
		for _, r := range w.replicas {
			w.print("%s", r.status())
		}
	case "network":
		f := newFilter(c)
		w.tellNetwork(&f)
	case "journal":
		err = w.each(c, func(r *replica) {
			for _, rec := range r.journal {
				w.print("R%d: ▪ %s", r.id, w.names.record(rec))
			}
		})
	default:
		return false, nil
	}
	return true, err
}

// tellNetwork lists what is on its way, and how often.
func (w *World) tellNetwork(f *filter) {
	counts := map[string]int{}
	var order []string
	for _, e := range w.network.waiting {
		if f.matches(e) {
			text := fmt.Sprintf("R%d→R%d: %s", e.from, e.to, w.names.message(e.sealed.Message()))
			if counts[text]++; counts[text] == 1 {
				order = append(order, text)
			}
		}
	}
	for _, text := range order {
		if n := counts[text]; n > 1 {
			w.print("%s (%d times)", text, n)
			continue
		}
		w.print("%s", text)
	}
}

func (r *replica) status() string {
	if !r.up {
		return r.name() + ": down"
	}
	text := fmt.Sprintf("%s: view %d %s, stable %d, executed %d",
		r.name(), r.core.View(), activity(r.core.Active()), r.core.Stable().Seq, r.core.Executed())
	if r.core.Transferring() {
		text += ", fetching a state"
	}
	if r.core.Rejoining() {
		text += ", silent"
	}
	return text
}
