package wire_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/quorate/quorate/pbft/wire"
)

// TestTheDocumentIsTrue holds the tables of docs/WIRE.md to the code.
func TestTheDocumentIsTrue(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "WIRE.md"))
	if err != nil {
		t.Fatal(err)
	}
	lim := wire.DefaultLimits(replicas)
	want := []string{
		fmt.Sprintf("| 1 | version, %d |", wire.Version),
		fmt.Sprintf("together | %d bytes |", lim.OpBytesMax),
		fmt.Sprintf("| operations of a request | %d |", lim.OpsMax),
		fmt.Sprintf("| requests of a batch | %d |", lim.BatchRequestsMax),
		fmt.Sprintf("| bytes of the requests of a batch | %d, and one largest request on top |", lim.BatchBytesMax),
		fmt.Sprintf("| input of a batch | %d bytes |", wire.InputBytesMax),
		fmt.Sprintf("| result | %d bytes |", lim.ResultBytesMax),
		fmt.Sprintf("| piece | %d bytes |", lim.PieceBytesMax),
		fmt.Sprintf("above the checkpoint | %d |", lim.Window),
		fmt.Sprintf("| slots of a status | %d |", wire.StatusSlotsMax),
		fmt.Sprintf("| digests of a fetch | %d |", wire.FetchDigestsMax),
		fmt.Sprintf("| answers of a replies | %d |", wire.RepliesMax),
		fmt.Sprintf("if it has several | %d bytes together |", wire.RepliesBytesMax),
		fmt.Sprintf("| payload of an output | %d bytes |", wire.OutputBytesMax),
		fmt.Sprintf("| outputs of an outputs | %d |", wire.OutputsMax),
		fmt.Sprintf("| payloads of an outputs, if it has several | %d bytes together |", wire.OutputsBytesMax),
		fmt.Sprintf("| results of a results, if it has several | %d bytes together |", wire.ResultsBytesMax),
		fmt.Sprintf("| other states of a report | %d |", wire.DivisionStatesMax),
		fmt.Sprintf("| differing keys of one of them | %d |", wire.DivisionKeysMax),
		fmt.Sprintf("| told of a differing key | %d bytes |", wire.DivisionKeyBytesMax),
		fmt.Sprintf("| told of why no keys are known | %d bytes |", wire.DivisionWhyBytesMax),
		fmt.Sprintf("| detail of a refusal | %d bytes |", wire.RefusalDetailBytesMax),
	}
	for _, k := range kinds() {
		want = append(want, fmt.Sprintf("\n| %d | %s |", k, k))
	}
	for k := wire.EvidenceHidden; k <= wire.EvidenceChoices; k++ {
		want = append(want, fmt.Sprintf("\n| %d | %s |", k, k))
	}
	for k := wire.EvidencePrePrepares; k <= wire.EvidenceNewViews; k++ {
		kind := strings.TrimSuffix(strings.TrimPrefix(k.String(), "two different "), " messages")
		want = append(want, fmt.Sprintf("\n| %d | %s |", k, kind))
	}
	outcomes := map[string]wire.Outcome{
		"ok": wire.OutcomeOK, "panicked": wire.OutcomePanicked, "session old": wire.OutcomeSessionOld,
		"no room": wire.OutcomeNoRoom, "forgotten": wire.OutcomeForgotten, "read-only": wire.OutcomeReadOnly,
		"window": wire.OutcomeWindow, "too large": wire.OutcomeTooLarge,
	}
	for name, o := range outcomes {
		want = append(want, fmt.Sprintf(" %d %s", o, name))
	}
	reasons := map[string]wire.RefusalReason{
		"overload": wire.RefusalOverload, "invalid": wire.RefusalInvalid,
		"session old": wire.RefusalSessionOld, "rejoining": wire.RefusalRejoining,
	}
	for p := wire.PartApplication; p <= wire.PartOther; p++ {
		want = append(want, fmt.Sprintf(" %d %s", p, p))
	}
	for name, r := range reasons {
		want = append(want, fmt.Sprintf(" %d %s", r, name))
	}
	for _, s := range want {
		if !strings.Contains(string(page), s) {
			t.Errorf("docs/WIRE.md does not say %q", s)
		}
	}
}

// TestTheProtocolNamesEveryMessage holds the table of messages in docs/PROTOCOL.md to the kinds,
// but for the one that the journal alone has.
func TestTheProtocolNamesEveryMessage(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "PROTOCOL.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "\n## Messages\n")
	table, _, ok := strings.Cut(rest, "\n## ")
	if !ok {
		t.Fatal("docs/PROTOCOL.md has no table of messages")
	}
	for _, k := range kinds() {
		name := ""
		for word := range strings.SplitSeq(k.String(), "-") {
			name += strings.ToUpper(word[:1]) + word[1:]
		}
		if k != wire.KindPrepared && !regexp.MustCompile(`[|,] `+name+`[, ]`).MatchString(table) {
			t.Errorf("docs/PROTOCOL.md does not name %s", name)
		}
	}
}

func TestEveryKindHasANameAndAClass(t *testing.T) {
	seen := map[string]wire.Kind{}
	for _, k := range kinds() {
		name := k.String()
		if other, twice := seen[name]; twice || strings.HasPrefix(name, "kind ") {
			t.Errorf("kind %d is named %q, as is kind %d", byte(k), name, byte(other))
		}
		seen[name] = k
		if k.Class() > wire.ClassClients {
			t.Errorf("%s is of class %d", k, k.Class())
		}
	}
	if got := wire.Kind(99).String(); got != "kind 99" {
		t.Errorf("got %q, want kind 99", got)
	}
}
