package core

import (
	"github.com/quorate/quorate/pbft/wire"
)

// rejoining is the state of a replica whose kept data is missing. It may have
// voted on anything, and stays silent: it follows, executes and serves, but
// signs no vote, until a stable checkpoint above everything that it may have
// voted on, in a view not below any that it may have asked for.
//
// Its old votes were inside its old window: at most a window above a checkpoint
// that q replicas had executed. Of the q others whose certified checkpoints it
// collects, one correct had executed that too, and no replica executes more than
// slotWindowsMax windows above its stable checkpoint: so one window more than that,
// above the highest certified checkpoint, or above what f+1 claim to have executed
// if that is more, bounds everything. That holds of what others say after it lost its
// data, so it asks them: what they said before may have waited for it all the time, and
// tells nothing of what it voted on since.
type rejoining struct {
	life   uint64 // names the question that others are to answer
	closed bool   // until is known
	until  wire.Seq
	floor  wire.View // the highest view that it is seen to have asked for
	told   wire.View // the floor of which it last said that it waits for it
	heard  []wire.ReplicaID
	top    wire.Seq
}

// hearStatus collects how far the others are, while that is unknown.
func (r *Replica) hearStatus(st *wire.Status, fx *Effects) {
	j := r.rejoin
	if j == nil || j.closed || st.Answers != j.life {
		return
	}
	// A claim above what is proven here counts only after its proof came.
	if st.Stable > max(r.low, r.aheadSeq()) {
		return
	}
	for _, id := range j.heard {
		if id == st.Sender {
			return
		}
	}
	j.heard = append(j.heard, st.Sender)
	j.top = max(j.top, r.low, r.aheadSeq(), r.known())
	if len(j.heard) >= min(r.q.Strong(), r.q.Replicas()-1) {
		j.closed, j.until = true, j.top+(slotWindowsMax+1)*r.cfg.Window
		fx.persist(RejoinRecord{Until: j.until, View: j.floor})
	}
}

// hearView notes that the replica once asked for view.
func (j *rejoining) hearView(view wire.View, fx *Effects) {
	if view <= j.floor {
		return
	}
	j.floor = view
	if j.closed {
		fx.persist(RejoinRecord{Until: j.until, View: j.floor})
	}
}

func (r *Replica) aheadSeq() wire.Seq {
	if r.ahead == nil {
		return 0
	}
	return r.ahead.Seq
}

// maybeRejoined ends the silence, or says what it still waits for. Its votes for what is
// open were kept back: now they go to everyone, for the own vote counts when it comes back.
func (r *Replica) maybeRejoined(fx *Effects) {
	if r.endSilence(fx) {
		r.resumeVotes(fx)
	}
}

// endSilence is maybeRejoined without votes, and tells whether the silence has ended now.
func (r *Replica) endSilence(fx *Effects) bool {
	j := r.rejoin
	switch {
	case j == nil || !j.closed || r.low < j.until || !r.active:
		return false
	case r.view < j.floor:
		if j.told < j.floor {
			j.told = j.floor
			fx.observe(AwaitsView{j.floor})
		}
		return false
	}
	r.rejoin = nil
	fx.persist(RejoinRecord{Until: j.until, View: j.floor, Over: true})
	fx.observe(Rejoined{r.low, r.view})
	return true
}
