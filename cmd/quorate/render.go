package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"
	"unicode/utf8"
)

// tell prints to the error output. Where that is gone, nobody is left to tell.
func (c *console) tell(format string, args ...any) { _, _ = fmt.Fprintf(c.err, format, args...) }

// table is a result for people: lines above, rows under a header, and lines below.
type table struct {
	above  []string
	header []string
	rows   [][]string
	below  []string
}

// show prints a result: t for people, value for programs.
func (c *console) show(t table, value any) error {
	if c.format == "json" {
		e := json.NewEncoder(c.out)
		e.SetIndent("", "  ")
		return e.Encode(value)
	}
	return t.write(c.out)
}

func (t table) write(to io.Writer) error {
	var text bytes.Buffer
	for _, line := range t.above {
		fmt.Fprintln(&text, line)
	}
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	rows := t.rows
	if len(t.header) > 0 {
		rows = append([][]string{t.header}, rows...)
	}
	for _, row := range rows {
		if _, err := fmt.Fprintln(w, strings.Join(row, "\t")); err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, line := range t.below {
		fmt.Fprintln(&text, line)
	}
	for line := range strings.Lines(text.String()) {
		if _, err := fmt.Fprintln(to, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

// pairs returns a table of names and values: name, value, name, value.
func pairs(fields ...string) table {
	var t table
	for i := 0; i+1 < len(fields); i += 2 {
		t.rows = append(t.rows, fields[i:i+2])
	}
	return t
}

// printable returns text for a terminal: as it is, or quoted if anything in it
// is not a plain character, for it comes from strangers.
func printable(text string) string {
	if isPlain(text) && !strings.HasPrefix(text, `"`) {
		return text
	}
	return strconv.Quote(text)
}

// isPlain tells whether a terminal shows all of text, and does nothing else.
func isPlain(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
}

// commandLine returns a line that a shell takes for these words.
func commandLine(words ...string) string {
	quoted := make([]string, 0, len(words))
	for _, w := range words {
		quoted = append(quoted, shellWord(w))
	}
	return strings.Join(quoted, " ")
}

// shellHarmless are the characters that mean nothing to a shell, wherever they stand.
const shellHarmless = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./,:@+"

// shellWord returns a word as one gives it to a shell. What a terminal does not show is in
// octal digits there, which bash, ksh and zsh understand.
func shellWord(word string) string {
	switch {
	case word != "" && strings.Trim(word, shellHarmless) == "":
		return word
	case isPlain(word):
		return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	quoted := "$'"
	for _, c := range []byte(word) {
		if c < ' ' || c > '~' || c == '\'' || c == '\\' {
			quoted += fmt.Sprintf(`\%03o`, c)
		} else {
			quoted += string(c)
		}
	}
	return quoted + "'"
}

// blob is bytes in JSON: a string where they are text, and base64 otherwise.
type blob []byte

// MarshalJSON implements json.Marshaler.
func (b blob) MarshalJSON() ([]byte, error) {
	if utf8.Valid(b) {
		return json.Marshal(string(b))
	}
	return json.Marshal(struct {
		Base64 string `json:"base64"`
	}{base64.StdEncoding.EncodeToString(b)})
}
