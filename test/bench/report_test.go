package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quorate/quorate/test/roofline"
)

// sample is a report with something in every field.
func sample() Report {
	r := NewReport(Options{Clients: 8, Outstanding: 64, Payload: 128, Duration: 10 * time.Second, Seed: 1}, Included{
		Replicas: 4, Faults: 1, Processes: true, Signatures: "all", Flush: "each", Transport: "TLS",
		RequestTimeout: time.Second, CheckpointInterval: 64, BatchRequests: 512,
		Machine: Machine{"cpu", 2, "kernel"}, FileSystem: "ext4", Version: "v1", Commit: "c", Go: "go1",
	})
	for _, perSecond := range []float64{900, 1000, 1100} {
		r.Runs = append(r.Runs, sampleRun(perSecond, 20*time.Millisecond))
	}
	r.Machine = &roofline.Constants{Batches: []roofline.Batch{{Signatures: 8, Keys: 3, Bytes: 128, Each: 12e3}}}
	r.Unloaded = &roofline.Unloaded{Terms: []roofline.Term{{Name: "sign", PerOp: 1}}, Elapsed: 1}
	return r
}

func sampleRun(perSecond float64, p50 time.Duration) Run {
	return Run{
		Result: Result{
			Operations: int64(10 * perSecond), PerSecond: perSecond, Errors: 1, FirstError: "</script><script>alert(1)",
			Mean: p50, P50: p50, P90: 2 * p50, P99: 3 * p50, P999: 4 * p50, Max: 5 * p50,
			Reached: Reached{Batches: 100, OpsPerBatch: perSecond / 10, OpsPerSignature: 2},
			Curve:   []Point{{0, p50}, {1, 5 * p50}}, Histogram: []Class{{p50, 2 * p50, 10}},
			Seconds: []Second{{Operations: 10, P50: p50}},
		},
		Limit: &roofline.Limit{Terms: []roofline.Term{{Name: "sign", PerOp: 1}}, PerOp: 1, PerSecond: 4000},
		Share: perSecond / 4000,
	}
}

func TestReportsAreReadAsTheyWereWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.json")
	want := sample()
	var text bytes.Buffer
	if err := want.WriteJSON(&text); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := ReadReport(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("report (-got +want):\n%s", diff)
	}
}

// TestUnloadedIsWhatHasOneOperationOpen keeps loads with more from being held to the time
// of one.
func TestUnloadedIsWhatHasOneOperationOpen(t *testing.T) {
	for _, c := range []struct {
		load Load
		want bool
	}{
		{Load{Clients: 1, Outstanding: 1}, true},
		{Load{Clients: 1, Outstanding: 1, Rate: 10}, true},
		{Load{Clients: 1, Outstanding: 1, Rate: 10_000, NoWait: true}, false},
		{Load{Clients: 2, Outstanding: 1}, false},
		{Load{Clients: 1, Outstanding: 2}, false},
	} {
		if got := c.load.oneOpen(); got != c.want {
			t.Errorf("%+v: got %v", c.load, got)
		}
	}
}

func TestReportsOfAnotherKindAreRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.json")
	for text, want := range map[string]string{
		"nonsense":                     "no report",
		`{"format":"other/1"}`:         `format "other/1"`,
		`{"format":"quorate-bench/1"}`: "no run",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadReport(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}

// TestEveryFieldIsDocumented holds docs/PERFORMANCE.md to the fields of reports, of
// comparisons, and of how cost grows.
func TestEveryFieldIsDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/PERFORMANCE.md")
	if err != nil {
		t.Fatal(err)
	}
	var check func(reflect.Type)
	check = func(typ reflect.Type) {
		switch typ.Kind() {
		case reflect.Pointer, reflect.Slice:
			check(typ.Elem())
			return
		case reflect.Struct:
		default:
			return
		}
		if typ == reflect.TypeFor[time.Time]() {
			return
		}
		for field := range typ.Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if name != "" && !strings.Contains(string(doc), "`"+name+"`") {
				t.Errorf("docs/PERFORMANCE.md does not name `%s`, of %s", name, typ)
			}
			if name == "" && !field.Anonymous {
				t.Errorf("%s.%s has no name in JSON", typ, field.Name)
			}
			check(field.Type)
		}
	}
	check(reflect.TypeFor[Report]())
	check(reflect.TypeFor[Comparison]())
	check(reflect.TypeFor[Growth]())
}

// TestPagesLoadNothingAndHoldTheReport reads the page as a browser would.
func TestPagesLoadNothingAndHoldTheReport(t *testing.T) {
	want := sample()
	var page bytes.Buffer
	if err := want.WriteHTML(&page); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"http://", "https://", "src=", "href=", "@import", "url(", "alert(1)<"} {
		rest := strings.ReplaceAll(page.String(), "http://www.w3.org/2000/svg", "") // a name, never loaded
		if strings.Contains(rest, bad) {
			t.Errorf("the page holds %q", bad)
		}
	}
	found := regexp.MustCompile(`(?s)<script type="application/json" id="report">(.*?)</script>`).FindSubmatch(page.Bytes())
	if found == nil {
		t.Fatal("the page holds no report")
	}
	var got Report
	if err := json.Unmarshal(found[1], &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("report in the page (-got +want):\n%s", diff)
	}
	ids := regexp.MustCompile(`at\("(\w+)"\)|plotOf\("(\w+)"\)|facts\("(\w+)"`).FindAllStringSubmatch(page.String(), -1)
	for _, id := range ids {
		if name := id[1] + id[2] + id[3]; !strings.Contains(page.String(), fmt.Sprintf("id=%q", name)) {
			t.Errorf("the script looks for %q, which the page has not", name)
		}
	}
	if len(ids) < 10 {
		t.Errorf("found %d places that the script fills", len(ids))
	}
}

// TestHistogramsHoldEveryOperation sums the classes, and looks at their edges.
func TestHistogramsHoldEveryOperation(t *testing.T) {
	h := newHistogram()
	latencies := []time.Duration{time.Nanosecond, time.Microsecond, time.Millisecond, 1001 * time.Microsecond, time.Second, time.Hour}
	for _, d := range latencies {
		if err := h.RecordValue(micros(d)); err != nil {
			t.Fatal(err)
		}
	}
	sum, all := int64(0), classes(h)
	for i, c := range all {
		sum += c.Operations
		if i > 0 && all[i-1].To != c.From {
			t.Errorf("class %d begins at %v, want %v", i, c.From, all[i-1].To)
		}
		if ratio := float64(c.To) / float64(c.From); math.Abs(ratio-math.Exp2(1.0/classesPerDoubling)) > 1e-3 {
			t.Errorf("class %d has the ratio %g", i, ratio)
		}
	}
	if first, last := all[0], all[len(all)-1]; first.Operations != 2 || last.Operations != 1 || sum != int64(len(latencies)) {
		t.Errorf("the first class is %+v, the last %+v, and all hold %d operations", first, last, sum)
	}
	if got := classes(newHistogram()); got != nil {
		t.Errorf("without operations got %v", got)
	}
}
