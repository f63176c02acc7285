package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/quorate/quorate/app/bank"
	"github.com/quorate/quorate/pbft"
)

func newBank(c *console) *cobra.Command {
	f := &clusterFlags{}
	cmd := group("bank", "Use the bank application of a cluster", `  quorate bank open alice --mint 100 --genesis cluster/genesis.toml
  quorate bank transfer alice bob 30 --genesis cluster/genesis.toml
  quorate bank pay bob 5 --genesis cluster/genesis.toml
  quorate bank balance bob --genesis cluster/genesis.toml
  quorate bank total --genesis cluster/genesis.toml`,
		newBankOpen(c, f), newBankMint(c, f), newBankTransfer(c, f), newBankPay(c, f), newBankBalance(c, f), newBankTotal(c, f))
	f.add(cmd)
	f.addKey(cmd)
	return cmd
}

// bankCall is one operation on the bank.
type bankCall struct {
	op   []byte
	read bool
	what string // what the number of the result is
	done string // what is so once it is done; "" where nothing follows it
}

// bankInfo is what an operation prints.
type bankInfo struct {
	What  string `json:"what"`
	Value uint64 `json:"value"`
	proof
}

// bank runs operations one after the other, and prints the result of the last.
func (f *clusterFlags) bank(ctx context.Context, c *console, calls ...bankCall) error {
	for _, call := range calls {
		if err := fits(bank.Machine{}, call.op); err != nil {
			return err
		}
	}
	return f.with(ctx, c, func(ctx context.Context, client *pbft.Client) error {
		var info bankInfo
		for i, call := range calls {
			var err error
			if info, err = runBank(ctx, client, call); err != nil && i > 0 {
				return fmt.Errorf("%s, but what was to follow failed: %w", calls[i-1].done, err)
			} else if err != nil {
				return err
			}
		}
		line := fmt.Sprintf("%s: %d (%s)", info.What, info.Value, info.proof)
		return c.show(table{above: []string{line}}, info)
	})
}

func runBank(ctx context.Context, client *pbft.Client, call bankCall) (bankInfo, error) {
	do := client.Submit
	if call.read {
		do = client.Read
	}
	result, err := do(ctx, call.op)
	if err != nil {
		return bankInfo{}, mismatched(err, "bank")
	}
	n, err := bank.ParseResult(result.Value)
	if err != nil {
		return bankInfo{}, refusedf("%s", printable(err.Error()))
	}
	return bankInfo{call.what, n, proofOf(result)}, nil
}

func newBankOpen(c *console, f *clusterFlags) *cobra.Command {
	var mint uint64
	cmd := &cobra.Command{
		Use:     "open NAME",
		Short:   "Open an account",
		Example: "  quorate bank open alice --mint 100",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			what := "balance of " + args[0]
			calls := []bankCall{{op: bank.Open(args[0]), what: what, done: "account " + args[0] + " is open"}}
			if mint > 0 {
				calls = append(calls, bankCall{op: bank.Mint(args[0], mint), what: what})
			}
			return f.bank(cmd.Context(), c, calls...)
		},
	}
	cmd.Flags().Uint64Var(&mint, "mint", 0, "new money to put into the account: a second operation, as of bank mint")
	return cmd
}

func newBankMint(c *console, f *clusterFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "mint NAME AMOUNT",
		Short:   "Put new money into an account",
		Example: "  quorate bank mint alice 100",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			amount, err := amountOf(args[1])
			if err != nil {
				return err
			}
			return f.bank(cmd.Context(), c, bankCall{op: bank.Mint(args[0], amount), what: "balance of " + args[0]})
		},
	}
}

func newBankTransfer(c *console, f *clusterFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "transfer FROM TO AMOUNT",
		Short:   "Move money from one account to another",
		Example: "  quorate bank transfer alice bob 30",
		Args:    cobra.ExactArgs(3),
		RunE: func(cmd *cobra.Command, args []string) error {
			amount, err := amountOf(args[2])
			if err != nil {
				return err
			}
			call := bankCall{op: bank.Transfer(args[0], args[1], amount), what: "balance of " + args[0]}
			return f.bank(cmd.Context(), c, call)
		},
	}
}

func newBankPay(c *console, f *clusterFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "pay NAME AMOUNT",
		Short: "Pay money out, and tell whoever hands it over",
		Long: `Pay takes money out of an account and out of the bank. The cluster emits that once,
for whoever hands the money over: see quorate outputs.`,
		Example: "  quorate bank pay alice 5",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			amount, err := amountOf(args[1])
			if err != nil {
				return err
			}
			return f.bank(cmd.Context(), c, bankCall{op: bank.Pay(args[0], amount), what: "balance of " + args[0]})
		},
	}
}

func amountOf(text string) (uint64, error) {
	amount, err := strconv.ParseUint(text, 10, 64)
	if errors.Is(err, strconv.ErrRange) {
		return 0, usagef("the amount is %q, want at most %d", text, uint64(math.MaxUint64))
	}
	if err != nil {
		return 0, usagef("the amount is %q, want a whole number, not negative", text)
	}
	return amount, nil
}

func newBankBalance(c *console, f *clusterFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "balance NAME",
		Short:   "Print the balance of an account",
		Example: "  quorate bank balance alice",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			call := bankCall{op: bank.Balance(args[0]), read: true, what: "balance of " + args[0]}
			return f.bank(cmd.Context(), c, call)
		},
	}
}

func newBankTotal(c *console, f *clusterFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "total",
		Short:   "Print the sum of all balances",
		Example: "  quorate bank total",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.bank(cmd.Context(), c, bankCall{op: bank.Total(), read: true, what: "total"})
		},
	}
}
