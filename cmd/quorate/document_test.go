package main

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// TestDocumentNamesEveryFieldAndExitCode holds docs/OPERATIONS.md to what programs read: the
// fields that status and evidence print, and the exit codes.
func TestDocumentNamesEveryFieldAndExitCode(t *testing.T) {
	text, err := os.ReadFile("../../docs/OPERATIONS.md")
	if err != nil {
		t.Fatal(err)
	}
	_, page, ok := strings.Cut(string(text), "\n## For programs\n")
	if !ok {
		t.Fatal("docs/OPERATIONS.md has nothing for programs")
	}
	for _, name := range append(fieldsOf(reflect.TypeFor[statusInfo]()), fieldsOf(reflect.TypeFor[evidenceInfo]())...) {
		if !strings.Contains(page, "`"+name+"`") {
			t.Errorf("docs/OPERATIONS.md does not name the field `%s`", name)
		}
	}
	_, codes, ok := strings.Cut(newRoot(&console{}).Long, "Exit codes:\n")
	if !ok {
		t.Fatal("the help has no exit codes")
	}
	for line := range strings.Lines(codes) {
		code, means, _ := strings.Cut(strings.TrimSpace(line), "  ")
		if row := fmt.Sprintf("| %s | %s |", code, means); !strings.Contains(page, row) {
			t.Errorf("docs/OPERATIONS.md does not have %q", row)
		}
	}
}

// fieldsOf returns the names in JSON of the fields of a type, and of those in them.
func fieldsOf(typ reflect.Type) (names []string) {
	switch typ.Kind() {
	case reflect.Pointer, reflect.Slice:
		return fieldsOf(typ.Elem())
	case reflect.Struct:
	default:
		return nil
	}
	for field := range typ.Fields() {
		if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "" {
			names = append(append(names, name), fieldsOf(field.Type)...)
		}
	}
	return names
}

// TestReadmeShowsWhatAScenarioPrints plays the one in the README. Numbers may be others, for
// they change with the simulator; the lines may not.
func TestReadmeShowsWhatAScenarioPrints(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "Of the output:\n\n```\n")
	shown, _, ok := strings.Cut(rest, "```\n")
	if !ok {
		t.Fatal("README.md shows no output of a scenario")
	}
	code, out, errs := command(t, "scenario", "run", "wrong-choice-newview")
	if code != exitDone {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	digits := regexp.MustCompile(`[0-9.]+m?s\b|[0-9]+`) // a run may take a second or more here
	printed := digits.ReplaceAllString(out, "#")
	for line := range strings.Lines(digits.ReplaceAllString(shown, "#")) {
		if !strings.Contains(printed, line) {
			t.Errorf("README.md has %q, which is not printed:\n%s", line, out)
		}
	}
}
