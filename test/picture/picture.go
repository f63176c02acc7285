// Package picture draws what happened in a simulated run: a space-time diagram
// (Lamport 1978) of processes, messages, phases, views, faults and lies, as one
// HTML file that needs nothing else.
package picture

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"

	"github.com/quorate/quorate/pbft/wire"
	"github.com/quorate/quorate/test/sim"
)

// MomentsMax is how many moments a picture shows, unless Picture.Max says
// another number: more can be read by nobody, and slow a browser down.
const MomentsMax = 5000

//go:embed page
var page embed.FS

// Picture is what to draw. Moments must be set, and what they happen in.
type Picture struct {
	// Title and Lead stand above the picture; Facts are pairs of a name and a
	// value.
	Title string
	Lead  []string
	Facts [][2]string
	// Replicas, Twins and Clients are those of the run's Options.
	Replicas, Twins, Clients int
	// Roles tells what is special about a replica.
	Roles map[wire.ReplicaID]string
	// Verdicts are those of the run's Result.
	Verdicts []sim.Verdict
	// Moments are what sim.Options.Watch got, in order.
	Moments []sim.Moment
	// Missing is how many moments were left out of Moments.
	Missing int
	// Max bounds the moments that are shown; 0 means MomentsMax. If there are too
	// many, it shows what happens around those of note.
	Max int
}

// content is what the page's script reads.
type content struct {
	Replicas int         `json:"replicas"`
	Lanes    []lane      `json:"lanes"`
	Kinds    [][2]string `json:"kinds"`
	Digests  []string    `json:"digests"`
	Moments  [][]any     `json:"moments"`
	Facts    [][2]string `json:"facts"`
	Verdicts []verdict   `json:"verdicts"`
	Cut      string      `json:"cut"`
	Cuts     [][3]int64  `json:"cuts"` // from, to (in µs), and how many are left out
}

type lane struct {
	Name    string   `json:"name"`
	Client  bool     `json:"client"`
	Replica int      `json:"replica"`
	Notes   []string `json:"notes,omitempty"`
	Bad     bool     `json:"bad"`
}

type verdict struct {
	Name   string `json:"name"`
	Checks int    `json:"checks"`
	Error  string `json:"error,omitempty"`
}

// Write writes the HTML file.
func (p Picture) Write(to io.Writer) error {
	text := map[string]string{}
	for _, name := range []string{"page.html", "page.css", "model.js", "draw.js", "page.js"} {
		b, err := page.ReadFile("page/" + name)
		if err != nil {
			return fmt.Errorf("picture: %w", err)
		}
		text[name] = string(b)
	}
	t, err := template.New("page").Parse(text["page.html"])
	if err != nil {
		return fmt.Errorf("picture: %w", err)
	}
	data, err := json.Marshal(p.content()) // which escapes what could end a script
	if err != nil {
		return fmt.Errorf("picture: %w", err)
	}
	var out bytes.Buffer
	err = t.Execute(&out, map[string]any{
		"Title":  p.Title,
		"Lead":   p.Lead,
		"Style":  template.CSS(text["page.css"]),                                    //nolint:gosec // our own
		"Script": template.JS(text["model.js"] + text["draw.js"] + text["page.js"]), //nolint:gosec // our own
		"Data":   template.JS(data),                                                 //nolint:gosec // escaped by Marshal
	})
	if err != nil {
		return fmt.Errorf("picture: %w", err)
	}
	_, err = to.Write(out.Bytes())
	return err
}

func (p Picture) content() content {
	kept, cuts, cut := p.keep()
	c := content{
		Replicas: max(p.Replicas, 1), Lanes: p.lanes(), Kinds: kinds(), Digests: []string{""}, Moments: [][]any{},
		Facts: p.Facts, Verdicts: []verdict{}, Cut: cut, Cuts: cuts,
	}
	for _, v := range p.Verdicts {
		out := verdict{Name: v.Name, Checks: v.Checks}
		if v.Err != nil {
			out.Error = v.Err.Error()
		}
		c.Verdicts = append(c.Verdicts, out)
	}
	digests := map[string]int{"": 0}
	for _, m := range kept {
		digest := ""
		if !m.Digest.IsZero() {
			digest = m.Digest.Short()
		}
		at, ok := digests[digest]
		if !ok {
			at = len(c.Digests)
			digests[digest], c.Digests = at, append(c.Digests, digest)
		}
		c.Moments = append(c.Moments, []any{
			m.At.Microseconds(), m.What, p.place(m.Node), p.place(m.Peer), m.Message, m.Kind, m.View, m.Seq, at, m.Text,
		})
	}
	return c
}

func isMessage(m sim.Moment) bool {
	return m.What == sim.Sent || m.What == sim.Received || m.What == sim.Dropped
}

// isQuiet tells whether messages of a kind are not shown at first.
func isQuiet(k wire.Kind) bool {
	group := groupOf(k)
	return group == "status" || group == "transfer"
}

// groupOf returns the kinds that are shown together. The page's script knows
// these names.
func groupOf(k wire.Kind) string {
	switch k {
	case wire.KindRequest, wire.KindPrePrepare, wire.KindPrepare, wire.KindCommit, wire.KindCheckpoint,
		wire.KindViewChange, wire.KindNewView, wire.KindStatus, wire.KindReply, wire.KindEvidence:
		return k.String()
	case wire.KindQuery:
		return "request"
	case wire.KindReplies, wire.KindRefusal, wire.KindResults:
		return "reply"
	case wire.KindAsk, wire.KindReport, wire.KindAskOutputs, wire.KindOutputs:
		return "status"
	default:
		return "transfer"
	}
}

// kinds returns the name and the group of each kind.
func kinds() [][2]string {
	var all [][2]string
	for k := wire.Kind(0); k <= wire.KindLast; k++ {
		all = append(all, [2]string{k.String(), groupOf(k)})
	}
	return all
}

// lanes returns the lines of the picture: clients first, as in the papers, then
// the replicas, each with its twin below it.
func (p Picture) lanes() []lane {
	var all []lane
	for i := range p.Clients {
		all = append(all, lane{Name: fmt.Sprintf("C%d", i), Client: true, Replica: -1, Notes: []string{"client"}})
	}
	for _, node := range p.order() {
		id := p.replica(node)
		l := lane{Name: fmt.Sprintf("R%d", id), Replica: int(id)}
		if node >= p.Replicas {
			l.Name += "′"
			l.Notes, l.Bad = []string{"twin"}, true
		}
		if role := p.Roles[id]; role != "" {
			l.Notes, l.Bad = append(l.Notes, role), true
		}
		all = append(all, l)
	}
	return all
}

// order returns the processes of replicas from top to bottom.
func (p Picture) order() []int {
	var all []int
	for node := range p.Replicas {
		all = append(all, node)
		for twin := p.Replicas; twin < p.Replicas+p.Twins; twin++ {
			if int(p.replica(twin)) == node {
				all = append(all, twin)
			}
		}
	}
	return all
}

// replica returns whose process it is.
func (p Picture) replica(node int) wire.ReplicaID {
	if node < p.Replicas {
		return wire.ReplicaID(node) //nolint:gosec // small, not negative
	}
	for _, m := range p.Moments {
		if m.Node == node {
			return m.Replica
		}
	}
	return 0
}

// place returns the lane of a process, -1 for none.
func (p Picture) place(node int) int {
	processes := p.Replicas + p.Twins
	switch {
	case node < 0 || node >= processes+p.Clients:
		return -1
	case node >= processes:
		return node - processes
	case p.Twins == 0:
		return p.Clients + node
	}
	for i, other := range p.order() {
		if other == node {
			return p.Clients + i
		}
	}
	return -1
}
