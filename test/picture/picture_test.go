package picture

import (
	"bytes"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/pbft/wire"
	"github.com/quorate/quorate/test/sim"
)

// drawn returns the page of a picture, and what its script gets.
func drawn(t *testing.T, p Picture) (html string, c content) {
	t.Helper()
	var out bytes.Buffer
	if err := p.Write(&out); err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(out.String(), `id="data">`)
	data, _, found := strings.Cut(rest, "</script>")
	if !found {
		t.Fatal("the page has no data")
	}
	if err := json.Unmarshal([]byte(data), &c); err != nil {
		t.Fatalf("the data is no JSON: %v", err)
	}
	return out.String(), c
}

// watched runs a cluster and returns its picture.
func watched(o sim.Options) (Picture, sim.Result) {
	p := Picture{Title: "test", Replicas: 4, Twins: o.Twins, Clients: o.Clients}
	o.Watch = func(m sim.Moment) { p.Moments = append(p.Moments, m) }
	res := sim.Run(o)
	p.Verdicts = res.Oracles
	return p, res
}

func TestPictureTellsTheWholeRun(t *testing.T) {
	p, res := watched(sim.Options{Seed: 1, Clients: 2, Operations: 5, Twins: 1})
	if res.Violation != nil {
		t.Fatal(res.Violation)
	}
	p.Roles = map[wire.ReplicaID]string{1: "mute-primary"}
	_, c := drawn(t, p)
	if len(c.Moments) != len(p.Moments) || c.Cut != "" {
		t.Errorf("%d moments of %d, cut %q", len(c.Moments), len(p.Moments), c.Cut)
	}
	names, roles := "", ""
	for _, l := range c.Lanes {
		names += l.Name + " "
		roles += strings.Join(l.Notes, ",") + " "
	}
	if !regexp.MustCompile(`^C0 C1 R0 (R0′ )?R1 (R1′ )?R2 (R2′ )?R3 (R3′ )?$`).MatchString(names) || strings.Count(names, "′") != 1 {
		t.Errorf("the lanes are %s, want two clients, four replicas, and a twin below its own", names)
	}
	if !strings.Contains(roles, "mute-primary") || !strings.Contains(roles, "twin") {
		t.Errorf("the lanes tell %q, want the role and the twin", roles)
	}
	arrows := map[string]int{}
	for _, m := range c.Moments {
		what, _ := m[1].(string)
		arrows[what]++
		from, _ := m[2].(float64)
		if to, _ := m[3].(float64); what == string(sim.Received) && (from < 2 || to < 2 || int(max(from, to)) >= len(c.Lanes)) {
			t.Fatalf("a message between lanes %v and %v", from, to)
		}
	}
	for _, what := range []sim.What{sim.Sent, sim.Received, sim.Prepared, sim.Committed, sim.Executed, sim.Answered} {
		if arrows[string(what)] == 0 {
			t.Errorf("nothing was %s", what)
		}
	}
	if len(c.Verdicts) == 0 || len(c.Verdicts) != len(res.Oracles) {
		t.Errorf("%d verdicts, want %d", len(c.Verdicts), len(res.Oracles))
	}
}

func TestPictureEscapesWhatItIsTold(t *testing.T) {
	const evil = `</script><img src=x onerror=alert(1)>` + "\u2028"
	p := Picture{
		Title: evil, Lead: []string{evil}, Facts: [][2]string{{evil, evil}}, Replicas: 4, Roles: map[wire.ReplicaID]string{0: evil},
		Verdicts: []sim.Verdict{{Name: evil, Err: errors.New(evil)}},
		Moments:  []sim.Moment{{What: sim.Noted, Node: 0, Text: evil}},
	}
	html, c := drawn(t, p)
	if strings.Contains(html, "<img") || strings.Count(html, "</script>") != 2 {
		t.Error("what it is told becomes part of the page")
	}
	if c.Facts[0][0] != evil || c.Moments[0][9] != evil {
		t.Error("what it is told is changed")
	}
}

func TestPictureNeedsNothingElse(t *testing.T) {
	html, _ := drawn(t, Picture{Title: "t", Replicas: 4})
	if !strings.Contains(html, "default-src 'none'") {
		t.Error("the page may load things")
	}
	html = strings.ReplaceAll(html, `"http://www.w3.org/2000/svg"`, "") // a name, not an address
	if found := regexp.MustCompile(`(https?:)?//[a-z]+\.|src=|<link|@import|url\([^#]`).FindString(html); found != "" {
		t.Errorf("the page refers to %q", found)
	}
}

// TestPictureShowsWhatIsOfNote also checks that it says what it leaves out.
func TestPictureShowsWhatIsOfNote(t *testing.T) {
	p := Picture{Title: "t", Replicas: 4, Max: 100}
	for i := range 4000 {
		m := sim.Moment{At: time.Duration(i) * time.Millisecond, What: sim.Sent, Node: 0, Peer: 1, Kind: wire.KindPrepare}
		switch {
		case i == 3000:
			m = sim.Moment{At: m.At, What: sim.LeftView, Node: 2, Replica: 2, View: 1}
		case i%2 == 0:
			m.Kind = wire.KindStatus
		}
		p.Moments = append(p.Moments, m)
	}
	_, c := drawn(t, p)
	if len(c.Moments) != 100 || !strings.Contains(c.Cut, "100 of 4000 moments: without status messages") {
		t.Errorf("%d moments and %q", len(c.Moments), c.Cut)
	}
	near, missing := 0, int64(0)
	for _, m := range c.Moments {
		if at, _ := m[0].(float64); at > 2.9e6 && at < 3.1e6 {
			near++
		}
	}
	for _, cut := range c.Cuts {
		missing += cut[2]
	}
	if near < 40 || len(c.Cuts) == 0 || int(missing)+len(c.Moments) != 2001 {
		t.Errorf("%d moments near the one of note, %d in %d cuts", near, missing, len(c.Cuts))
	}
	p.Max = 2001
	if _, c := drawn(t, p); len(c.Moments) != 2001 || len(c.Cuts) > 0 {
		t.Errorf("%d moments and %v, want all but the status messages", len(c.Moments), c.Cuts)
	}
}
