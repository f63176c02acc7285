package golden_test

import (
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/quorate/quorate/test/golden"
)

// TestScenarios plays every file of testdata. After a change on purpose,
// go test ./test/golden -rewrite writes the new output, whose difference is read
// like code.
func TestScenarios(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		t.Helper()
		w := &golden.World{}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			t.Helper()
			out := ""
			for _, command := range append([]string{d.FullCmd()}, strings.Split(d.Input, "\n")...) {
				text := w.Do(command)
				if strings.Contains(text, "VIOLATION") || strings.HasPrefix(text, "error:") {
					t.Errorf("%s: %s: %s", d.Pos, command, text)
				}
				out += text
			}
			return out
		})
	})
}
