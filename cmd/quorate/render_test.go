package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/quorate/quorate/pbft"
	"github.com/quorate/quorate/pbft/wire"
)

func TestTableAlignsColumns(t *testing.T) {
	var out bytes.Buffer
	c := &console{out: &out, format: "table"}
	show := table{
		above: []string{"title"}, header: []string{"A", "LONG", ""}, rows: [][]string{{"wide cell", "1", "end"}, {"b", "2", ""}},
	}
	if err := c.show(show, nil); err != nil {
		t.Fatal(err)
	}
	want := "title\nA          LONG\nwide cell  1     end\nb          2\n"
	if diff := cmp.Diff(out.String(), want); diff != "" {
		t.Errorf("table (-got +want):\n%s", diff)
	}
}

func TestJSONKeepsBytesThatAreNoText(t *testing.T) {
	var out bytes.Buffer
	c := &console{out: &out, format: "json"}
	if err := c.show(table{}, []kvEntry{{blob("k"), blob("\xff\x00")}}); err != nil {
		t.Fatal(err)
	}
	want := `[{"key":"k","value":{"base64":"/wA="}}]`
	got := strings.NewReplacer("\n", "", " ", "").Replace(out.String())
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("json (-got +want):\n%s", diff)
	}
}

func TestStrangersTextCannotDriveTheTerminal(t *testing.T) {
	for in, want := range map[string]string{
		"plain": "plain", "two words": "two words", "größe": "größe", "": "",
		"\x1b[2J": `"\x1b[2J"`, "a\nb": `"a\nb"`, "\xff": `"\xff"`, `"quoted"`: `"\"quoted\""`, "\u202egnp": `"\u202egnp"`,
	} {
		if got := printable(in); got != want {
			t.Errorf("printable(%q) = %s, want %s", in, got, want)
		}
	}
}

func TestExitCodesTellErrorsApart(t *testing.T) {
	outcome := &pbft.OutcomeError{Result: pbft.Result{Outcome: wire.OutcomePanicked}}
	for _, c := range []struct {
		err  error
		want int
	}{
		{errors.New("disk"), exitFailure},
		{errDiverged, exitFailure},
		{outcome, exitFailure},
		{usagef("bad"), exitUsage},
		{fmt.Errorf("read: %w", pbft.ErrConfig), exitUsage},
		{fmt.Errorf("read: %w", pbft.ErrGenesis), exitUsage},
		{fmt.Errorf("read: %w", fs.ErrNotExist), exitUsage},
		{fmt.Errorf("put: %w", &pbft.UnfinishedError{Err: context.DeadlineExceeded}), exitUnreachable},
		{context.DeadlineExceeded, exitUnreachable},
		{unreachableError{"1 of 4"}, exitUnreachable},
		{refusedf("no such key"), exitRefused},
		{errors.Join(&pbft.RefusedError{Reason: wire.RefusalInvalid}, nil), exitRefused},
		{nil, exitDone},
	} {
		var out bytes.Buffer
		console := &console{err: &out, started: true}
		if got := console.explain(c.err); got != c.want {
			t.Errorf("explain(%v) = %d, want %d", c.err, got, c.want)
		}
		if c.err != nil && !strings.HasPrefix(out.String(), "quorate: ") {
			t.Errorf("explain(%v) printed %q", c.err, out.String())
		}
	}
}

// TestDamagedArchivesAreNotSaidToHoldNoLie, but what is whole in them.
func TestDamagedArchivesAreNotSaidToHoldNoLie(t *testing.T) {
	for damaged, want := range map[int]string{
		0: "5 messages: no lie is found",
		2: "5 messages, 2 damaged segments, 0 refused records: no lie is found in what is whole: audit another replica's archive too",
	} {
		if got := (&evidenceInfo{Messages: 5, Damaged: damaged}).verdict(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestShellsTakeCommandLinesApart has one do so, and init print one.
func TestShellsTakeCommandLinesApart(t *testing.T) {
	words := []string{
		"", "plain-1.0/a", "two words", "it's", `back\slash`, `"quoted"`, "$HOME", "`id`", "*", "~", "=ls", "größe", "a;b|c&d",
		"tab\there", "line\nbreak", "it's\x1b[2J", `\n` + "\n", "\xff", "!!", "#", "-x",
	}
	line := "printf '%s\\0' " + commandLine(words...)
	text, err := exec.CommandContext(t.Context(), "bash", "-c", line).Output()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(strings.TrimSuffix(string(text), "\x00"), "\x00"), words); diff != "" {
		t.Errorf("%s (-got +want):\n%s", line, diff)
	}
	if strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) {
		t.Errorf("%q has what no terminal shows", line)
	}
	dir := filepath.Join(t.TempDir(), "o'clock, or so")
	_, out, errs := command(t, "init", dir, "--plain-keys")
	if want := "quorate node --dir " + shellWord(filepath.Join(dir, "r3")) + "\n"; !strings.Contains(out, want) {
		t.Errorf("it says\n%s%s\nwant %s", out, errs, want)
	}
}
