package tidy

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	benchmark    = regexp.MustCompile(`(?m)^func Benchmark(\w+)\(`)
	benchmarkRow = regexp.MustCompile("(?m)^\\| [^|]+ \\| `([^|]+)` \\| ([^|]+) \\|$")
)

// TestBenchmarksAreDocumented holds the table of benchmarks in the document about
// performance to those that there are.
func TestBenchmarksAreDocumented(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join(root, "docs/PERFORMANCE.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(doc), "\n## The parts alone\n")
	if !ok {
		t.Fatal("docs/PERFORMANCE.md has no table of benchmarks")
	}
	named := map[string]bool{}
	for _, row := range benchmarkRow.FindAllStringSubmatch(table, -1) {
		for name := range strings.SplitSeq(row[2], ", ") {
			named[row[1]+"."+name] = true
		}
	}
	there := benchmarks(t)
	for name := range there {
		if !named[name] {
			t.Errorf("docs/PERFORMANCE.md does not name the benchmark %s", name)
		}
	}
	for name := range named {
		if !there[name] {
			t.Errorf("docs/PERFORMANCE.md names %s, which does not exist", name)
		}
	}
}

// benchmarks returns all there are, as "package.Name".
func benchmarks(t *testing.T) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		dir, err := filepath.Rel(root, filepath.Dir(path))
		for _, m := range benchmark.FindAllStringSubmatch(string(text), -1) {
			all[filepath.ToSlash(dir)+"."+m[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
