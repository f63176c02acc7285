package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/quorate/quorate/app"
	"github.com/quorate/quorate/app/kv"
	"github.com/quorate/quorate/pbft"
)

func newKV(c *console) *cobra.Command {
	f := &clusterFlags{}
	cmd := group("kv", "Use the key-value application of a cluster", `  quorate kv put greeting hello --genesis cluster/genesis.toml
  quorate kv get greeting --genesis cluster/genesis.toml
  quorate kv cas greeting hello goodbye --genesis cluster/genesis.toml
  quorate kv scan --prefix gree -o json --genesis cluster/genesis.toml`,
		newKVGet(c, f), newKVPut(c, f), newKVDelete(c, f), newKVCas(c, f), newKVScan(c, f))
	f.add(cmd)
	f.addKey(cmd)
	return cmd
}

// kvCall is one operation on the key-value application.
type kvCall struct {
	op   []byte
	key  string
	read bool
	fast bool // outside of the order, if it can be
	show func(r kv.Result, p proof) error
}

func (f *clusterFlags) kv(ctx context.Context, c *console, call kvCall) error {
	if err := fits(kv.Machine{}, call.op); err != nil {
		return err
	}
	return f.with(ctx, c, func(ctx context.Context, client *pbft.Client) error {
		do := client.Submit
		switch {
		case call.fast:
			do = client.Query
		case call.read:
			do = client.Read
		}
		result, err := do(ctx, call.op)
		if err != nil {
			return mismatched(err, "kv")
		}
		r, err := kv.ParseResult(result.Value)
		if err != nil {
			return fmt.Errorf("%w: does this cluster run the kv application?", err)
		}
		return kvShow(call, r, proofOf(result))
	})
}

// kvShow prints a result, or tells why the application refused.
func kvShow(call kvCall, r kv.Result, p proof) error {
	switch r.Status {
	case kv.StatusNotFound:
		return refusedf("no such key: %s", printable(call.key))
	case kv.StatusConflict:
		return refusedf("compare-and-swap lost: %s has the value %s", printable(call.key), printable(string(r.Value)))
	case kv.StatusInvalid:
		return refusedf("the application refuses the operation: %s", printable(string(r.Value)))
	case kv.StatusDone, kv.StatusFound, kv.StatusEntries:
		return call.show(r, p)
	default:
		return fmt.Errorf("the result has status %d, which this program does not know: update it", r.Status)
	}
}

// kvDone is what a write prints.
type kvDone struct {
	Key blob `json:"key"`
	proof
}

func (c *console) kvDone(verb, key string) func(kv.Result, proof) error {
	return func(_ kv.Result, p proof) error {
		line := fmt.Sprintf("%s %s (%s)", verb, printable(key), p)
		return c.show(table{above: []string{line}}, kvDone{blob(key), p})
	}
}

// kvValue is what get prints.
type kvValue struct {
	Key   blob `json:"key"`
	Value blob `json:"value"`
	proof
}

func newKVGet(c *console, f *clusterFlags) *cobra.Command {
	var raw, fast bool
	cmd := &cobra.Command{
		Use:   "get KEY",
		Short: "Print the value of a key, as of now",
		Long: `Get reads through the order, so it sees everything that was written before it. With
--fast it sees that too, in one round trip, from q replicas that answer alike; where
they do not, it goes through the order.`,
		Example: "  quorate kv get greeting\n  quorate kv get greeting --fast\n  quorate kv get picture --raw > picture.png",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			key := args[0]
			if raw && c.format == "json" {
				return usagef("--raw excludes -o json: drop one of the two")
			}
			show := func(r kv.Result, p proof) error {
				if raw {
					_, err := c.out.Write(r.Value)
					return err
				}
				return c.show(table{above: []string{printable(string(r.Value))}}, kvValue{blob(key), r.Value, p})
			}
			return f.kv(cmd.Context(), c, kvCall{op: kv.Get(key), key: key, read: true, fast: fast, show: show})
		},
	}
	cmd.Flags().BoolVar(&raw, "raw", false, "print exactly the bytes of the value")
	addFast(cmd, &fast)
	return cmd
}

func addFast(cmd *cobra.Command, fast *bool) {
	cmd.Flags().BoolVar(fast, "fast", false, "read outside of the order, if replicas answer alike; seq is 0 then, and view too")
}

func newKVPut(c *console, f *clusterFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "put KEY VALUE",
		Short:   "Set a key to a value",
		Example: "  quorate kv put greeting hello",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			call := kvCall{op: kv.Put(args[0], []byte(args[1])), key: args[0], show: c.kvDone("put", args[0])}
			return f.kv(cmd.Context(), c, call)
		},
	}
}

func newKVDelete(c *console, f *clusterFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "delete KEY",
		Short:   "Remove a key",
		Example: "  quorate kv delete greeting",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			call := kvCall{op: kv.Delete(args[0]), key: args[0], show: c.kvDone("deleted", args[0])}
			return f.kv(cmd.Context(), c, call)
		},
	}
}

func newKVCas(c *console, f *clusterFlags) *cobra.Command {
	var absent bool
	cmd := &cobra.Command{
		Use:   "cas KEY OLD NEW | cas --absent KEY NEW",
		Short: "Set a key to NEW if it has the value OLD (compare and swap)",
		Long:  "Cas ends with exit code 4 if the key has another value, or none; with --absent, if it has one at all.",
		Example: `  quorate kv cas greeting hello goodbye
  quorate kv cas --absent lock me`,
		Args: func(_ *cobra.Command, args []string) error {
			if absent && len(args) != 2 || !absent && len(args) != 3 {
				return usagef("cas takes KEY OLD NEW, or with --absent KEY NEW; it got %d arguments", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			call := kvCall{key: args[0], show: c.kvDone("swapped", args[0])}
			if absent {
				call.op = kv.PutIfAbsent(args[0], []byte(args[1]))
			} else {
				call.op = kv.CompareAndSwap(args[0], []byte(args[1]), []byte(args[2]))
			}
			return f.kv(cmd.Context(), c, call)
		},
	}
	cmd.Flags().BoolVar(&absent, "absent", false, "only if the key has no value")
	return cmd
}

// kvEntry is a key and value in JSON.
type kvEntry struct {
	Key   blob `json:"key"`
	Value blob `json:"value"`
}

// kvEntries is what scan prints.
type kvEntries struct {
	Entries []kvEntry `json:"entries"`
	More    bool      `json:"more"`
	proof
}

func newKVScan(c *console, f *clusterFlags) *cobra.Command {
	var from, to, prefix string
	var limit int
	var fast bool
	cmd := &cobra.Command{
		Use:     "scan",
		Short:   "Print keys and values in order",
		Example: "  quorate kv scan --prefix user/ --limit 10\n  quorate kv scan --from a --to n -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 || limit > kv.ScanLimitMax {
				return usagef("--limit is %d, want 1 to %d", limit, kv.ScanLimitMax)
			}
			if prefix != "" && to != "" {
				return usagef("--prefix excludes --to: drop one of the two")
			}
			op := kv.Scan(from, to, limit)
			if prefix != "" {
				op = kv.Scan(max(from, prefix), app.PrefixEnd(prefix), limit)
			}
			return f.kv(cmd.Context(), c, kvCall{op: op, read: true, fast: fast, show: c.kvEntries})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&prefix, "prefix", "", "only keys that begin so")
	flags.StringVar(&from, "from", "", "first key")
	flags.StringVar(&to, "to", "", "end before this key")
	flags.IntVar(&limit, "limit", 100, "most entries to print")
	addFast(cmd, &fast)
	return cmd
}

func (c *console) kvEntries(r kv.Result, p proof) error {
	t := table{header: []string{"KEY", "VALUE"}}
	value := kvEntries{Entries: []kvEntry{}, More: r.More, proof: p}
	for _, e := range r.Entries {
		t.rows = append(t.rows, []string{printable(e.Key), printable(string(e.Value))})
		value.Entries = append(value.Entries, kvEntry{blob(e.Key), e.Value})
	}
	if r.More {
		t.rows = append(t.rows, []string{"(more)", "raise --limit, or go on with --from and the last key, which comes again"})
	}
	return c.show(t, value)
}
