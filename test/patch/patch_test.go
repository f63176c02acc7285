package patch

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestParseRefusesWhatIsNoPatch(t *testing.T) {
	for text, want := range map[string]string{
		"":                              "want a sentence",
		"A law.\n":                      "want a sentence",
		"budget: 7\n--- a.go\n-x\n":     "want a sentence",
		"A law.\n--- a.go\n?x\n":        "line 3",
		"A law.\n--- a.go\n x\n--\ny\n": "line 5",
	} {
		if _, err := Parse("x", text, "budget"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
	p, err := Parse("x", "A law:\nof two lines.\nbudget: 7\n--- a.go\n one\n-two\n+three\n\n", "budget")
	if err != nil || p.Says != "A law: of two lines." || !maps.Equal(p.Settings, map[string]string{"budget": "7"}) ||
		p.Hunks[0].Old != "one\ntwo\n\n" || p.Hunks[0].New != "one\nthree\n\n" {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestApplyWantsTheOldTextOnce(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "a.go"), []byte("one\ntwo\none\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for old, want := range map[string]string{"three\n": "0 times", "one\n": "2 times", "": "want once"} {
		if _, err := (Patch{Hunks: []Hunk{{File: "a.go", Old: old}}}).Apply(root); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", old, err, want)
		}
	}
	files, err := (Patch{Hunks: []Hunk{
		{File: "a.go", Old: "two\n", New: "2\n"}, {File: "a.go", Old: "2\none\n", New: "2\n1\n"},
	}}).Apply(root)
	if err != nil || files["a.go"] != "one\n2\n1\n" {
		t.Errorf("got %q, %v", files, err)
	}
}

// TestBuildChangesWhatIsBuiltAndNothingElse builds a command as it is not.
func TestBuildChangesWhatIsBuiltAndNothingElse(t *testing.T) {
	root, work := t.TempDir(), t.TempDir()
	source := "package main\n\nimport \"os\"\n\nfunc main() {\n\t_, _ = os.Stdout.WriteString(\"as it is\")\n}\n"
	for name, text := range map[string]string{"go.mod": "module example.org/said\n\ngo 1.24\n", "main.go": source} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	line := func(text string) string { return "\t_, _ = os.Stdout.WriteString(\"" + text + "\")\n" }
	p := Patch{Name: "other", Hunks: []Hunk{{File: "main.go", Old: line("as it is"), New: line("changed")}}}
	binary, err := p.Build(t.Context(), root, work, ".")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), binary).Output(); err != nil || string(out) != "changed" { //nolint:gosec // built just now
		t.Errorf("it says %q, %v", out, err)
	}
	if text, err := os.ReadFile(filepath.Join(root, "main.go")); err != nil || string(text) != source {
		t.Errorf("the source is %q, %v", text, err)
	}
	p.Hunks[0].New = "nonsense\n"
	if _, err := p.Build(t.Context(), root, work, "."); err == nil || !strings.Contains(err.Error(), "other does not compile") {
		t.Errorf("got %v, want that it does not compile", err)
	}
}

func TestCheckTellsWhatABuildWouldFailOf(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "a.go"), []byte("package a\n\nvar b int\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, p := range map[string]Patch{
		"":                {Says: "It is c.", Hunks: []Hunk{{File: "a.go", Old: "var b int\n", New: "var c int\n"}}},
		"no sentence":     {Says: "it is c", Hunks: []Hunk{{File: "a.go", Old: "var b int\n", New: "var c int\n"}}},
		"expected":        {Says: "It is none.", Hunks: []Hunk{{File: "a.go", Old: "var b int\n", New: "var var\n"}}},
		"follow the code": {Says: "It is c.", Hunks: []Hunk{{File: "a.go", Old: "var d int\n", New: "var c int\n"}}},
	} {
		if err := p.Check(root); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want %q", p, err, want)
		}
	}
}
