package wire_test

import (
	"strings"
	"testing"

	"github.com/quorate/quorate/pbft/wire"
)

// TestDifferingKeysAreNamedForPeople has keys of every part, and such that would write on a
// terminal what they like.
func TestDifferingKeysAreNamedForPeople(t *testing.T) {
	client := strings.Repeat("\x01\xfe", 16)
	hex := strings.Repeat("01fe", 16)
	for _, c := range []struct {
		part  wire.StatePart
		key   string
		bytes uint32
		want  string
	}{
		{wire.PartApplication, "mood", 4, `application key "mood"`},
		{wire.PartApplication, "", 0, `application key ""`},
		{wire.PartApplication, "a\x1b[2J\n\xff\u202e", 9, `application key "a\x1b[2J\n\xff\u202e"`},
		{wire.PartApplication, strings.Repeat("k", 64), 900, `application key "` + strings.Repeat("k", 64) + `" and so on, 900 B`},
		{wire.PartClients, client, 32, "client table, client " + hex},
		{wire.PartClients, "short", 5, `clients key "short"`},
		{
			wire.PartResults, client + "\x00\x00\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x00\x00\x00\x07", 48,
			"kept result of operation 7 in session 258 of client " + hex,
		},
		{wire.PartResults, client, 32, `results key "` + strings.Repeat(`\x01\xfe`, 16) + `"`},
		{wire.PartOrder, "history, outputs", 16, `place in the order, "history, outputs"`},
		{wire.PartOutputs, "\x00\x00\x00\x00\x00\x00\x01\x02", 8, "output 258"},
		{wire.PartOutputs, "z", 1, `outputs key "z"`},
		{wire.PartOther, "z", 1, `other key "z"`},
		{9, "z", 1, `part 9 key "z"`},
	} {
		k := wire.DifferingKey{Part: c.part, Key: []byte(c.key), KeyBytes: c.bytes}
		if got := k.Name(); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
	for v, want := range map[wire.ValueSize]string{{}: "none", {Present: true}: "0 B", {Present: true, Bytes: 12}: "12 B"} {
		if got := v.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
