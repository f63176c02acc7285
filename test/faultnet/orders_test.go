package faultnet_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quorate/quorate/pbft/wire"
	"github.com/quorate/quorate/test/faultnet"
)

func TestOrdersAreReadAsTheyWereWritten(t *testing.T) {
	want := faultnet.Orders{
		Number: 3, Seed: 7, Clock: faultnet.Duration(-time.Hour),
		Send: []faultnet.Rule{
			{
				Peers: []faultnet.Peer{0, 3, faultnet.Clients}, Kinds: []faultnet.Kind{faultnet.Kind(wire.KindPrepare), faultnet.Kind(wire.KindNewView)},
				Drop: 0.3, Duplicate: 0.25, Damage: 1, Above: 12,
			},
			{Rate: 125000},
		},
		Hear: []faultnet.Rule{{DelayMin: faultnet.Duration(time.Millisecond), DelayMax: faultnet.Duration(time.Second)}},
	}
	path := filepath.Join(t.TempDir(), "orders.toml")
	if err := want.Write(path); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got, err := faultnet.Parse(text)
	if diff := cmp.Diff(got, want); diff != "" || err != nil {
		t.Errorf("%v\n%s\nof:\n%s", err, diff, text)
	}
}

func TestBadOrdersAreRefusedWithAllThatIsWrong(t *testing.T) {
	for text, want := range map[string][]string{
		"number = 1\nlose = 0.3":                       {"line 2", `there is no "lose"`},
		"[[send]]\ndrop = 0.1\n[[drop]]":               {"line 3", `there is no "drop"`},
		"[[send]]\n\npeers = [\"r1\"]":                 {`"r1" is no peer`, "R0", "clients"},
		"[[hear]]\nkinds = [\"vote\"]":                 {`"vote" is no kind of message`, "pre-prepare, prepare, commit"},
		"[[hear]]\ndelay_max = \"soon\"":               {`"soon" is no duration`, "120ms"},
		"[[hear]]\ndrop = 1.5\n[[send]]\ndamage = nan": {"hear[0]: drop is 1.5", "send[0]: damage is NaN", "probability"},
		"[[hear]]\ndelay_min = \"2s\"":                 {"hear[0]: delay_min is 2s and delay_max 0s"},
		"[[hear]]\ndelay_max = \"2h\"":                 {"1m0s"},
		"[[send]]\nrate = -1":                          {"rate is -1"},
		"clock = \"-9000h\"":                           {"clock is -9000h0m0s", "8760h"},
		strings.Repeat("[[send]]\n", 65):               {"send has 65 rules, want at most 64"},
		strings.Repeat("#", 65<<10):                    {"66560 bytes"},
		"drop":                                         {"line 1"},
	} {
		_, err := faultnet.Parse([]byte(text))
		if !errors.Is(err, faultnet.ErrOrders) {
			t.Errorf("%.40q: %v, want %v", text, err, faultnet.ErrOrders)
			continue
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%.40q: %v, want it to say %q", text, err, w)
			}
		}
	}
}

func TestOrdersThatCannotBeReadAreNotWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "orders.toml")
	err := faultnet.Orders{Send: []faultnet.Rule{{Drop: 2}}}.Write(path)
	if _, there := os.Stat(path); !errors.Is(err, faultnet.ErrOrders) || there == nil {
		t.Errorf("%v, want %v and no file", err, faultnet.ErrOrders)
	}
}

func TestTheExampleInTheDocumentIsRead(t *testing.T) {
	text, err := os.ReadFile("../../docs/TESTING.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "```toml\n")
	example, _, ended := strings.Cut(rest, "```")
	o, err := faultnet.Parse([]byte(example))
	if err != nil || !found || !ended || o.Number != 3 || len(o.Send) != 1 || len(o.Hear) != 1 || o.Hear[0].Rate == 0 {
		t.Errorf("%v: %+v, of:\n%s", err, o, example)
	}
}
