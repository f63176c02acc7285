package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
)

// console is what a command talks to: nothing in this package uses the
// process's own streams or environment. One goroutine uses it.
type console struct {
	in       *os.File
	out, err io.Writer
	env      func(string) string

	format  string // of the output: table or json
	started bool   // the command line was good, and a command runs
}

// newRoot returns the whole command tree.
func newRoot(c *console) *cobra.Command {
	root := &cobra.Command{
		Use:   "quorate",
		Short: "Byzantine fault-tolerant replication: clusters, replicas, clients",
		Long: `Quorate keeps a service running and right while up to a third of its replicas
crash, lie or collude (PBFT).

Exit codes:
  0  done
  1  failure, such as a key that another command uses, or a guarantee is violated
  2  bad command line, file or configuration
  3  the cluster cannot be reached, or did not answer in time
  4  the application refused the operation: no such key, compare-and-swap lost
  5  a measurement missed a threshold`,
		Example: `  quorate init cluster --replicas 4 --plain-keys
  quorate node --dir cluster/r0 --app kv
  quorate kv put greeting hello --genesis cluster/genesis.toml
  quorate status --genesis cluster/genesis.toml`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(*cobra.Command, []string) error {
			if c.format != "table" && c.format != "json" {
				return usagef("--output is %q, want table or json", c.format)
			}
			c.started = true
			return nil
		},
	}
	root.SetIn(c.in)
	root.SetOut(c.out)
	root.SetErr(c.err)
	root.CompletionOptions.HiddenDefaultCmd = true
	root.PersistentFlags().StringVarP(&c.format, "output", "o", "table", "how to print results: table or json")
	root.AddCommand(
		newInit(c), newKeys(c), newConfig(c), newVersion(c),
		newNode(c), newStatus(c), newKV(c), newBank(c), newOutputs(c), newBench(c), newDemo(c), newScenario(c), newEvidence(c),
	)
	return root
}

// group returns a command that only holds others.
func group(use, short, example string, commands ...*cobra.Command) *cobra.Command {
	g := &cobra.Command{
		Use: use, Short: short, Example: example,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("there is no %q: see %s --help", cmd.CommandPath()+" "+args[0], cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	g.AddCommand(commands...)
	return g
}
