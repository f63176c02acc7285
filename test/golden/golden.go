// Package golden plays scripted scenarios: a cluster of real replicas, without
// clock or chance, in which the script delivers every message, lets every tick
// pass and makes every fault. What the replicas tell comes out as short, stable
// text, so that a scenario reads like a figure of the PBFT paper.
//
// World.Do runs one command; Commands describes them all. Replicas are numbers,
// requests are a client's letter with a number (a1), batches are their requests
// in brackets ([a1 b1]), and Sn is the digest of the right state after number n.
// Lines that several replicas say in one command are merged, at the place where
// the first said it.
package golden

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
	"github.com/quorate/quorate/test/sim"
)

// Commands describes the language of World.Do, one command a line.
const Commands = `
cluster [n=4] [f=] [K=4] [L=8] [W=2] [batch=8] ...     begins anew; see newConfig for the rest
cluster inputs ...                                     the application takes an input for every batch
cluster by-hand ...                                    nothing starts, is flushed or is durable but by command
submit a1 [b1 ...] [to=0|all] [acked=] [session=] [size=] [ops=] [read=yes]  requests of clients reach replicas
forward a1 from=1 to=0                                 a replica passes a request on
deliver [FILTER]                                       what matches and is on its way arrives
deliver FILTER nth=2 [at=3] [as=1]                     of all ever sent, perhaps again, or elsewhere
stabilize                                              everything arrives, and what follows from it
drop FILTER | hold FILTER | release | block FILTER | unblock
tick 1|all [n=1]                                       time passes, nothing arrives
busy 1|all [not]                                       its processors are, so that requests wait for company
pass [n=1]                                             time passes, and everything arrives at once
crash 2 [keep=0] [state=4] | restart 2 | lose 2        keep= of the records not flushed survive, snapshots up to state=
lazy 2 | flush 2 [own=later] | own 2 | rebase 2        flush by hand; hear itself; make the journal begin anew
isolate 3 | partition 0,1 2,3 | heal | link 1 2 | unlink 1,2,3 0   a replica is told of its connection to another
corrupt 3 | snapshot 3 | transfer 3 [from=0] [fail] | clock 1 ms=90000
input 0 [is=TEXT|none] [picky]                         what it proposes as inputs; one that begins with bad is refused,
                                                       and by one that is picky any
status | journal 1 | network [FILTER] | show|hide sends|records|status
forge KIND from=0 to=1|all ...                         a message signed with a replica's key; see forge.go
# a comment
FILTER: [from=0,1] [to=] [by=signer] [kind=commit,prepare] [view=] [seq=]
`

// World is one cluster under a script. The zero value awaits the command
// cluster. It is not safe for concurrent use.
type World struct {
	quorum   core.Quorum
	domain   crypto.Domain
	scheme   *sim.Scheme
	opener   *wire.Opener
	config   core.Config
	elapsed  wire.Time
	replicas []*replica
	clients  map[string]*client
	network  network
	names    names
	shown    map[string]bool
	lines    []line
	truth    truth
	manual   bool // snapshots become durable by command
	byHand   bool // nothing starts or is flushed but by command
	tickTime wire.Time
}

// truth is what correct replicas must agree on.
type truth struct {
	histories map[wire.Seq]crypto.Digest
	times     map[wire.Seq]wire.Time
	ran       map[string]wire.Seq
	signed    map[string]crypto.Digest
	changes   map[string]crypto.Digest // view changes by sender and view
	votes     []vote
	commits   map[vote][]wire.ReplicaID
	fixed     []vote // what has a commit certificate
	lies      bool   // something was forged
}

// line is one statement and who made it.
type line struct {
	who  []string
	text string
}

// call is one parsed command.
type call struct {
	name    string
	words   []string
	options map[string]string
}

// Do runs one command and returns what the replicas say meanwhile, or a line
// that begins with "error:".
func (w *World) Do(command string) string {
	w.lines = nil
	c := parse(command)
	if c.name == "" || c.name[0] == '#' {
		return ""
	}
	if err := w.try(c); err != nil {
		w.emit("error", err.Error())
	}
	var out strings.Builder
	for _, l := range w.lines {
		if len(l.who) > 0 {
			out.WriteString(strings.Join(l.who, " ") + ": ")
		}
		out.WriteString(l.text + "\n")
	}
	return out.String()
}

// try runs a command. A core that breaks is a violation like any other.
func (w *World) try(c call) (err error) {
	defer func() {
		if broken := recover(); broken != nil {
			w.print("VIOLATION: %v", broken)
		}
	}()
	return w.do(c)
}

// parse splits a command into its words and options.
func parse(command string) call {
	c := call{options: map[string]string{}}
	for i, word := range strings.Fields(command) {
		key, value, ok := strings.Cut(word, "=")
		switch {
		case i == 0:
			c.name = word
		case ok:
			c.options[key] = value
		default:
			c.words = append(c.words, word)
		}
	}
	return c
}

func (w *World) do(c call) error {
	if c.name == "cluster" {
		return w.begin(c)
	}
	if len(w.replicas) == 0 {
		return fmt.Errorf("%s: there is no cluster yet", c.name)
	}
	for _, family := range []func(call) (bool, error){w.doNetwork, w.doFault, w.doInput, w.doShow} {
		if known, err := family(c); known {
			return err
		}
	}
	return fmt.Errorf("%s: no such command", c.name)
}

// doInput runs the commands that bring events other than messages.
func (w *World) doInput(c call) (known bool, err error) {
	switch c.name {
	case "submit":
		return true, w.submit(c)
	case "forward":
		return true, w.forward(c)
	case "forge":
		return true, w.forge(c)
	case "tick":
		return true, w.each(c, func(r *replica) { r.tick(c.count("n", 1)) })
	case "pass":
		for range c.count("n", 1) {
			w.elapse()
			for _, r := range w.replicas {
				r.step(core.Tick{Now: r.now()})
			}
			w.stabilize()
		}
		return true, nil
	case "link":
		return true, w.link(c, func(peer wire.ReplicaID) core.Event { return core.Linked{Peer: peer} })
	case "unlink":
		return true, w.link(c, func(peer wire.ReplicaID) core.Event { return core.Unlinked{Peer: peer} })
	default:
		return false, nil
	}
}

// link tells replicas, the first word, of their connection to another one, the second.
func (w *World) link(c call, event func(peer wire.ReplicaID) core.Event) error {
	if len(c.words) != 2 {
		return fmt.Errorf("%s: want replicas and their peer", c.name)
	}
	tell, peer := c.ids(c.words[0]), c.ids(c.words[1])
	if len(tell) == 0 || len(peer) != 1 || int(max(slices.Max(tell), peer[0])) >= len(w.replicas) {
		return fmt.Errorf("%s: want replicas and their peer", c.name)
	}
	for _, id := range tell {
		if id != peer[0] {
			w.replicas[id].step(event(peer[0]))
		}
	}
	return nil
}

// each calls do for every replica that the words of c name; all means all.
func (w *World) each(c call, do func(*replica)) error {
	for _, word := range c.words {
		ids := c.ids(word)
		if word == "all" {
			ids = everyone(len(w.replicas))
		}
		if len(ids) == 0 {
			return fmt.Errorf("%s: %q is no replica", c.name, word)
		}
		for _, id := range ids {
			if int(id) >= len(w.replicas) {
				return fmt.Errorf("%s: there is no replica %d", c.name, id)
			}
			do(w.replicas[id])
		}
	}
	return nil
}

func everyone(n int) []wire.ReplicaID {
	ids := make([]wire.ReplicaID, n)
	for i := range ids {
		ids[i] = wire.ReplicaID(i) //nolint:gosec // a cluster is small
	}
	return ids
}

// ids reads a list of replicas; nothing if it is none.
func (call) ids(list string) []wire.ReplicaID {
	var ids []wire.ReplicaID
	for _, word := range strings.Split(list, ",") {
		id, err := strconv.ParseUint(word, 10, 32)
		if err != nil {
			return nil
		}
		ids = append(ids, wire.ReplicaID(id))
	}
	return ids
}

// count returns the number that an option gives, or otherwise.
func (c call) count(key string, otherwise int) int {
	value, ok := c.options[key]
	if !ok {
		return otherwise
	}
	n, err := strconv.Atoi(value)
	if err != nil {
		return otherwise
	}
	return n
}

func (c call) seq(key string) wire.Seq { return wire.Seq(c.count(key, 0)) } //nolint:gosec // scripts are ours

func (c call) view() wire.View { return wire.View(c.count("v", 0)) } //nolint:gosec // scripts are ours

// flag tells whether a word is there.
func (c call) flag(word string) bool { return slices.Contains(c.words, word) }

// emit says a line; a line that was said in this command is merged.
func (w *World) emit(who, text string) {
	text = w.names.in(text)
	for i := range w.lines {
		l := &w.lines[i]
		if l.text == text && len(l.who) > 0 {
			if !slices.Contains(l.who, who) {
				l.who = append(l.who, who)
				slices.Sort(l.who)
			}
			return
		}
	}
	w.lines = append(w.lines, line{[]string{who}, text})
}

// print says a line of nobody.
func (w *World) print(format string, args ...any) {
	w.lines = append(w.lines, line{text: w.names.in(fmt.Sprintf(format, args...))})
}
