package sim

import "time"

// pause stops the process for a time.
func (n *node) pause(d time.Duration) {
	if n.down || n.paused {
		return
	}
	n.paused = true
	n.w.moment(Moment{What: Faulted, Node: n.index, Text: "stops for " + d.String()})
	life := n.life
	n.w.after(d, func() {
		if n.alive(life) {
			n.resume()
		}
	})
}

// resume takes in what has come during the pause.
func (n *node) resume() {
	backlog := n.backlog
	n.paused, n.backlog = false, nil
	for _, do := range backlog {
		do()
	}
}

// backlogMax bounds what others send to a process that is paused.
const backlogMax = 4096

// later has something that another sent wait for the end of the pause, if there is
// room.
func (n *node) later(do func()) {
	if len(n.backlog) < backlogMax {
		n.surely(do)
	}
}

// surely has something of the process's own wait for the end of the pause: no flood
// of others' makes a flush or an own message get lost.
func (n *node) surely(do func()) { n.backlog = append(n.backlog, do) }
