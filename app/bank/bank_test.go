package bank_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/quorate/quorate/app"
	"github.com/quorate/quorate/app/bank"
)

// do executes op and returns its result as text.
func do(t *testing.T, solo *app.Solo, op []byte) string {
	t.Helper()
	result, err := solo.Execute(op)
	if err != nil {
		t.Fatalf("%s: %v", op, err)
	}
	return string(result)
}

func TestOperationsDoWhatTheySay(t *testing.T) {
	solo := app.NewSolo(bank.Machine{})
	longest := strings.Repeat("z", bank.NameBytesMax)
	for _, step := range []struct {
		op   []byte
		want string
	}{
		{bank.Open("alice"), "ok 0"},
		{bank.Open("alice"), "error: account alice exists"},
		{bank.Open("bob"), "ok 0"},
		{bank.Mint("carol", 5), "error: there is no account carol"},
		{bank.Mint("alice", 100), "ok 100"},
		{bank.Transfer("alice", "bob", 101), "error: insufficient funds: account alice has 100, not 101"},
		{bank.Transfer("alice", "bob", 100), "ok 0"},
		{bank.Transfer("bob", "alice", 30), "ok 70"},
		{bank.Transfer("bob", "bob", 1), "error: account bob is both ends of the transfer"},
		{bank.Transfer("bob", "carol", 1), "error: there is no account carol"},
		{bank.Transfer("carol", "bob", 1), "error: there is no account carol"},
		{bank.Mint("bob", math.MaxUint64-99), "error: 100 was minted, 18446744073709551516 more are too many"},
		{bank.Mint("bob", math.MaxUint64-100), "ok 18446744073709551585"},
		{bank.Open(longest), "ok 0"},
		{bank.Transfer("bob", longest, math.MaxUint64-30), "ok 0"},
		{bank.Balance("alice"), "ok 30"},
		{bank.Balance("carol"), "error: there is no account carol"},
		{bank.Total(), "ok 18446744073709551615"},
		{bank.Audit(), "ok 18446744073709551615"},
		{bank.Pay("alice", 31), "error: insufficient funds: account alice has 30, not 31"},
		{bank.Pay("carol", 1), "error: there is no account carol"},
		{bank.Pay("alice", 30), "ok 0"},
		{bank.Pay(longest, 5), "ok 18446744073709551580"},
		{bank.Audit(), "ok 18446744073709551580"},
	} {
		if got := do(t, solo, step.op); got != step.want {
			t.Errorf("%s: got %q, want %q", step.op, got, step.want)
		}
	}
	want := []string{"pay alice 30", "pay " + longest + " 5"}
	if got := fmt.Sprintf("%s", solo.Outputs()); got != fmt.Sprint(want) {
		t.Errorf("emitted %s, want %s: of what was paid, and nothing else", got, want)
	}
}

func TestNonsenseIsRefused(t *testing.T) {
	m := bank.Machine{}
	for _, op := range []string{
		"", "open", "open ", "open a b", "Open a", "open A", "open a/b", "open aBb", "open \x00", "mint a", "mint a 0",
		"mint a -1", "mint a 1 ", "mint a 18446744073709551616", "transfer a b", "transfer  a 1", "total x", "audit ",
		"open " + strings.Repeat("a", bank.NameBytesMax+1), strings.Repeat("x ", 5000),
	} {
		if err := m.Validate([]byte(op)); err == nil || len(err.Error()) > 300 {
			t.Errorf("%.20q: got %v, want a short refusal", op, err)
		}
		tx := app.NewTx(app.NewMemory(), nil, app.Context{}, true) // it must not even try to write
		result, failure, err := app.Run(m, tx, []byte(op))
		if _, refused := bank.ParseResult(result); failure != nil || err != nil || refused == nil {
			t.Errorf("%.20q: got %s, %v, %v, want a refusal", op, result, failure, err)
		}
	}
	if n, err := bank.ParseResult([]byte("5")); err == nil {
		t.Errorf("got %d of no result", n)
	}
}

func TestOnlyReadsAreReads(t *testing.T) {
	solo := app.NewSolo(bank.Machine{})
	do(t, solo, bank.Open("a"))
	do(t, solo, bank.Open("b"))
	do(t, solo, bank.Mint("a", 5))
	for _, op := range [][]byte{bank.Balance("a"), bank.Total(), bank.Audit()} {
		if got, err := solo.Query(op); err != nil || string(got) != "ok 5" {
			t.Errorf("%s: got %s, %v, want 5", op, got, err)
		}
	}
	for _, op := range [][]byte{bank.Open("c"), bank.Mint("a", 1), bank.Transfer("a", "b", 1), bank.Pay("a", 1)} {
		if got, err := solo.Query(op); !errors.Is(err, app.ErrRolledBack) {
			t.Errorf("%s: got %s, %v, want it rolled back", op, got, err)
		}
	}
}

func TestAccountsAreBounded(t *testing.T) {
	solo := app.NewSolo(bank.Machine{})
	for i := range bank.AccountsMax {
		if got := do(t, solo, bank.Open(fmt.Sprint(i))); got != "ok 0" {
			t.Fatalf("account %d: got %q", i, got)
		}
	}
	if got := do(t, solo, bank.Open("more")); !strings.Contains(got, "at most 10000") {
		t.Errorf("got %q, want a refusal", got)
	}
}

// TestTheBooksAlwaysBalance runs random operations, and after each holds the
// state against balances kept in a map, and against the invariant.
func TestTheBooksAlwaysBalance(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		solo := app.NewSolo(bank.Machine{})
		want := map[string]uint64{}
		name := rapid.SampledFrom([]string{"a", "b", "c", "d"})
		amount := rapid.OneOf(rapid.Uint64Range(1, 20), rapid.Uint64Range(1, math.MaxUint64))
		minted := uint64(0)
		for range rapid.IntRange(1, 40).Draw(rt, "operations") {
			from, to, n := name.Draw(rt, "from"), name.Draw(rt, "to"), amount.Draw(rt, "amount")
			switch rapid.IntRange(0, 4).Draw(rt, "operation") {
			case 0:
				do(t, solo, bank.Open(from))
				want[from] += 0
			case 1:
				do(t, solo, bank.Mint(from, n))
				if _, ok := want[from]; ok && minted+n >= n {
					want[from] += n
					minted += n
				}
			case 2:
				do(t, solo, bank.Pay(from, n))
				if _, ok := want[from]; ok && want[from] >= n {
					want[from] -= n
					minted -= n
				}
			default:
				do(t, solo, bank.Transfer(from, to, n))
				if _, ok := want[to]; ok && from != to && want[from] >= n {
					want[from] -= n
					want[to] += n
				}
			}
			if err := app.Inspect(solo.Store(), nil, bank.Check); err != nil {
				rt.Fatal(err)
			}
		}
		for account, balance := range want {
			if got := do(t, solo, bank.Balance(account)); got != fmt.Sprintf("ok %d", balance) {
				rt.Fatalf("account %s: got %q, want %d", account, got, balance)
			}
		}
		if got := do(t, solo, bank.Total()); got != fmt.Sprintf("ok %d", minted) {
			rt.Fatalf("total: got %q, want %d", got, minted)
		}
	})
}

func TestCheckSeesWhatIsWrong(t *testing.T) {
	for name, spoil := range map[string]func(m *app.Memory) error{
		"stolen":       func(m *app.Memory) error { return m.Put([]byte("account/a"), []byte{0, 0, 0, 0, 0, 0, 0, 4}) },
		"made":         func(m *app.Memory) error { return m.Put([]byte("account/b"), []byte{0, 0, 0, 0, 0, 0, 0, 1}) },
		"overflow":     func(m *app.Memory) error { return m.Put([]byte("account/b"), []byte(strings.Repeat("\xff", 8))) },
		"gone":         func(m *app.Memory) error { return m.Delete([]byte("account/b")) },
		"unknown mint": func(m *app.Memory) error { return m.Delete([]byte("minted")) },
	} {
		solo := app.NewSolo(bank.Machine{})
		do(t, solo, bank.Open("a"))
		do(t, solo, bank.Open("b"))
		do(t, solo, bank.Mint("a", 5))
		if err := spoil(solo.Store()); err != nil {
			t.Fatal(err)
		}
		if err := app.Inspect(solo.Store(), nil, bank.Check); !errors.Is(err, bank.ErrInvariant) {
			t.Errorf("%s: got %v, want a broken invariant", name, err)
		}
		if got := do(t, solo, bank.Audit()); !strings.HasPrefix(got, "error: ") {
			t.Errorf("%s: audit: got %q, want an error", name, got)
		}
	}
}

func FuzzValidate(f *testing.F) {
	for _, seed := range [][]byte{bank.Open("a"), bank.Mint("a", 1), bank.Transfer("a", "b", 2), bank.Audit()} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, op []byte) {
		solo := app.NewSolo(bank.Machine{})
		do(t, solo, bank.Open("a"))
		do(t, solo, bank.Mint("a", 10))
		refused := bank.Machine{}.Validate(op)
		if refused == nil {
			do(t, solo, op)
		}
		if err := app.Inspect(solo.Store(), nil, bank.Check); err != nil {
			t.Errorf("%q: %v", op, err)
		}
	})
}

func Example() {
	solo := app.NewSolo(bank.Machine{})
	for _, op := range [][]byte{
		bank.Open("alice"), bank.Open("bob"), bank.Mint("alice", 100), bank.Transfer("alice", "bob", 30), bank.Audit(),
	} {
		result, err := solo.Execute(op)
		fmt.Println(string(result), err)
	}
	fmt.Println(app.Inspect(solo.Store(), nil, bank.Check))
	// Output:
	// ok 0 <nil>
	// ok 0 <nil>
	// ok 100 <nil>
	// ok 70 <nil>
	// ok 100 <nil>
	// <nil>
}
