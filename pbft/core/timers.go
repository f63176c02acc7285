package core

import (
	"fmt"
	"slices"

	"github.com/quorate/quorate/pbft/wire"
)

// onTick lets time pass: retransmission, catching up, and suspicion.
func (r *Replica) onTick(ev Tick, fx *Effects) {
	r.tick++
	r.now = ev.Now
	r.company.tick(r.tick, r.rationMax())
	if r.executed >= r.high() {
		r.change.pause(r.tick)
	}
	if !r.inCompany() {
		r.change.alone = r.tick
	}
	r.maybeCatchUp(fx)
	r.refetch(fx)
	r.maybeNewView(fx)
	if r.tick%uint64(r.cfg.CatchUpTicks) == 0 { //nolint:gosec // Validate: positive
		r.askViewChanges(fx)
	}
	r.reforward(fx)
	if r.change.hurry.due {
		r.announceLoss(fx)
	}
	news := r.watch(fx)
	r.maybeAbandon(fx)
	if news || r.tick%uint64(r.cfg.StatusTicks) == 0 { //nolint:gosec // Validate: positive
		r.sendStatus(Everyone, fx)
	}
}

// patience returns base, doubled for every view in a row that did not work,
// with a little jitter.
func (r *Replica) patience(base int) uint64 {
	return uint64(base)<<r.change.backoff + r.change.jitter //nolint:gosec // Validate: positive, and at most 16 doublings
}

// watch suspects a primary: in its view, when a client has waited too long,
// whatever was executed for others meanwhile, or when an idle one is
// silent, or when it holds back. Between views it asks for the next one when no new view
// comes. While the window is full no primary can order anything: who waits then waits for a stable
// checkpoint, and slow disks would depose every primary. That time does not count; but
// what was before does, or a full window now and then would hide a censor for ever. It
// returns whether others are to be told of a suspicion that began or ended.
func (r *Replica) watch(fx *Effects) (news bool) {
	if r.rejoin != nil {
		return false
	}
	c := &r.change
	if !r.active {
		if c.quorum != 0 && r.tick-c.quorum >= r.patience(r.cfg.RequestTicks) {
			r.leave(r.view+1, "no new view came", fx)
		}
		return false
	}
	r.calm()
	able := r.able()
	if able && r.deserted() {
		r.leave(r.view+1, "so many abstain that no quorum votes", fx)
		return false
	}
	why := ""
	if able {
		why = r.grievance(fx)
	}
	return r.suspect(why, fx)
}

// able tells whether this replica can judge the primary.
func (r *Replica) able() bool {
	if r.primary() == r.id || r.transfer != nil || r.catchUp.active && !r.overlooks() {
		r.pace.turns = nil
		return false // it leads, or is itself behind
	}
	if s := r.slots.at(r.executed + 1); s != nil && s.committed != nil {
		return false // what is next has its certificate: it waits for this replica's own snapshots
	}
	return r.change.alone != r.tick // who hears no quorum is cut off itself
}

// grievance returns why the primary is to be suspected, if it is. That it passed over a client
// is held against it for a request timeout: or one that serves each in time to have the word
// against it taken back would never have f+1 against it at once.
func (r *Replica) grievance(fx *Effects) string {
	c := &r.change
	since, what, waits := r.oldest()
	since = max(since, c.began())
	switch {
	case waits && r.tick-since-c.paused(since) >= r.patience(r.cfg.RequestTicks):
		return what
	case !waits && r.silent():
		return "the primary is silent"
	}
	why := r.judge(fx)
	if why == "" && r.tick < r.pace.grudge {
		return c.suspects
	}
	return why
}

// began returns since when this replica is able to judge: since it entered its view, and
// hears from a quorum. Who comes back after it was cut off has everything waiting that the
// others have executed meanwhile, and does not know of that at once.
func (c *changing) began() uint64 { return max(c.since, c.alone) }

// silent tells whether the primary shows no sign of life while others do: where they are
// as silent, it is this replica that was just cut off.
func (r *Replica) silent() bool {
	silence := r.tick - max(r.change.heard, r.change.began())
	return silence >= r.patience(r.cfg.HeartbeatTicks) && r.hears(r.cfg.HeartbeatTicks/2)
}

// pause is a row of ticks.
type pause struct{ first, last uint64 }

// pausesMax bounds how many times of a full window are remembered. Who waits for longer
// than so many checkpoints take is not excused by older ones.
const pausesMax = 256

// pause notes that the window is full in this tick.
func (c *changing) pause(tick uint64) {
	if last := len(c.pauses) - 1; last >= 0 && c.pauses[last].last+1 == tick {
		c.pauses[last].last = tick
		return
	}
	if len(c.pauses) == pausesMax {
		c.pauses = slices.Delete(c.pauses, 0, 1)
	}
	c.pauses = append(c.pauses, pause{tick, tick})
}

// paused returns in how many ticks after since the window was full.
func (c *changing) paused(since uint64) (ticks uint64) {
	for _, p := range c.pauses {
		if p.last > since {
			ticks += p.last - max(p.first-1, since)
		}
	}
	return ticks
}

// inCompany tells whether a quorum, this replica included, is within hearing.
func (r *Replica) inCompany() bool { return r.hears(r.cfg.HeartbeatTicks) }

// hears tells whether a quorum, this replica included, was heard in the last ticks.
func (r *Replica) hears(ticks int) bool {
	n := 1
	for i := range r.peers {
		if wire.ReplicaID(i) != r.id && r.heard(&r.peers[i], ticks) { //nolint:gosec // i < n
			n++
		}
	}
	return n >= r.q.Strong()
}

// heard tells whether a status of p came in the last ticks.
func (r *Replica) heard(p *peer, ticks int) bool {
	return p.heard != 0 && r.tick+1-p.heard <= uint64(ticks) //nolint:gosec // positive
}

// oldest returns since when the oldest known work waits. A client waits since its
// oldest request came, or since an operation of it executed: or one with more
// waiting than the cluster serves in a request timeout would depose every primary.
// A primary that serves others does not gain time by that; one that passes over a
// single request of a client it serves gains no more than the client's window.
func (r *Replica) oldest() (since uint64, what string, waits bool) {
	if line, at := r.pool.longest(&r.clients, 0); line != nil {
		since, what, waits = at, "a request waited too long", true
	}
	for seq := r.executed + 1; seq <= r.high(); seq++ {
		s := r.slots.at(seq)
		if s == nil || s.proposal == nil {
			continue
		}
		if !waits || s.since < since {
			since, what, waits = s.since, fmt.Sprintf("number %d waited too long", seq), true
		}
		break // numbers are proposed in ascending order
	}
	return since, what, waits
}

// calm takes a doubling back after a long enough quiet time in a view.
func (r *Replica) calm() {
	c := &r.change
	if c.backoff > 0 && r.tick-c.patient >= 4*r.patience(r.cfg.RequestTicks) {
		c.backoff--
		c.patient = r.tick
	}
}
