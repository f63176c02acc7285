package wire_test

import (
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew; read their diff like code")

// golden compares got with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *rewrite {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("the wire format changed (-want +got):\n%s", diff)
	}
}

func lines(b []byte) string {
	var s strings.Builder
	for len(b) > 0 {
		n := min(len(b), 32)
		fmt.Fprintln(&s, hex.EncodeToString(b[:n]))
		b = b[n:]
	}
	return s.String()
}

func TestFramesKeepTheirBytes(t *testing.T) {
	all := newWorld(t).samples(t)
	for _, k := range kinds() {
		t.Run(k.String(), func(t *testing.T) {
			golden(t, k.String(), lines(all[k].Frame()))
		})
	}
}

func TestDigestsKeepTheirBytes(t *testing.T) {
	w := newWorld(t)
	all := w.samples(t)
	var s strings.Builder
	for _, d := range []struct {
		name   string
		digest crypto.Digest
	}{
		{"null batch", wire.NullDigest()},
		{"request", all[wire.KindRequest].Digest()},
		{"batch", all[wire.KindPrePrepare].Digest()},
		{"view-change", all[wire.KindViewChange].Digest()},
		{"history", wire.HistoryDigest(digest("history"), digest("batch"))},
		{"answer", wire.AnswerDigest(&message[*wire.Reply](all[wire.KindReply]).Answer)},
	} {
		fmt.Fprintf(&s, "%s: %s\n", d.name, d.digest)
	}
	golden(t, "digests", s.String())
}
