package tidy

import (
	"go/format"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestReadmeProgramRuns runs the program that the README shows, as it is: a
// whole replicated application in at most thirty lines of code.
func TestReadmeProgramRuns(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(readme), "```go\n")
	program, _, ok := strings.Cut(rest, "```\n")
	if !ok {
		t.Fatal("README.md shows no Go program")
	}
	code := 0
	for line := range strings.Lines(program) {
		if strings.TrimSpace(line) != "" {
			code++
		}
	}
	if code > 30 {
		t.Errorf("the program has %d lines of code, want at most 30", code)
	}
	if formatted, err := format.Source([]byte(program)); err != nil || string(formatted) != program {
		t.Errorf("the program is not formatted (%v)", err)
	}
	path := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(path, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	run := exec.CommandContext(t.Context(), "go", "run", path)
	run.Dir = root
	out, err := run.CombinedOutput()
	if err != nil {
		t.Fatalf("go run: %v\n%s", err, out)
	}
	if got := string(out); !strings.HasPrefix(got, "1 1 ") {
		t.Errorf("got %q, want the counter at 1, as number 1 of the order", got)
	}
}
