package network

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/quorate/quorate/pbft/wire"
)

// TestTheDocumentIsTrue holds what docs/WIRE.md says of streams to the code.
func TestTheDocumentIsTrue(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "docs", "WIRE.md"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		fmt.Sprintf("says hello, %d bytes:", helloBytes),
		fmt.Sprintf("answers with %d bytes,", answerBytes),
		fmt.Sprintf("| 4 | version `u32`, %d |", protocolVersion),
		fmt.Sprintf("| `%s` | %d | from the client 1, 19, 25 and 27, to it 20, 21, 24, 26 and 28 |", protocolOf(wire.ClassClients), wire.ClassClients),
		fmt.Sprintf("%d welcome, %d another version, %d another genesis, %d another epoch, %d not the sender or class that it says, "+
			"%d no room for one more client", verdictWelcome, verdictVersion, verdictGenesis, verdictEpoch, verdictImpostor, verdictCrowd),
	}
	for _, s := range want {
		if !strings.Contains(string(page), s) {
			t.Errorf("docs/WIRE.md does not say %q", s)
		}
	}
	for class, row := range map[wire.Class]struct {
		text  string
		kinds []wire.Kind
	}{
		wire.ClassVotes:   {"3 to 7, 9, 10, 12, 14, 15, 23", []wire.Kind{3, 4, 5, 6, 7, 9, 10, 12, 14, 15, 23}},
		wire.ClassBatches: {"1, 2, 11", []wire.Kind{1, 2, 11}},
		wire.ClassBulk:    {"13, 16, 17, 18", []wire.Kind{13, 16, 17, 18}},
	} {
		if s := fmt.Sprintf("| `%s` | %d | %s |", protocolOf(class), class, row.text); !strings.Contains(string(page), s) {
			t.Errorf("docs/WIRE.md does not say %q", s)
		}
		for k := wire.KindRequest; k <= wire.KindLast; k++ {
			if k != wire.KindPrepared && slices.Contains(row.kinds, k) != (k.Class() == class) { // the journal alone has that one
				t.Errorf("%s is of class %d, and of class %d are %v", k, k.Class(), class, row.kinds)
			}
		}
	}
}

// TestOperationsNameEveryFault holds the table of words in docs/OPERATIONS.md to the log: each
// kind of fault is under the word that begins its line.
func TestOperationsNameEveryFault(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "docs", "OPERATIONS.md"))
	if err != nil {
		t.Fatal(err)
	}
	word, rows := "", map[string]string{}
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(line, "|")
		if len(cells) < 3 {
			continue
		}
		if first := strings.TrimSpace(cells[1]); first != "" {
			word = first
		}
		rows[word] += cells[2]
	}
	for f := FaultGenesis; f <= FaultRubbish; f++ {
		if !strings.Contains(rows[f.word()], "`"+f.String()+"`") {
			t.Errorf("docs/OPERATIONS.md does not have `%s` under %s", f, f.word())
		}
	}
}
