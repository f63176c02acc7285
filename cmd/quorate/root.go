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
	lost    error  // help was asked for on what there is not
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
	c.helpOnlyOnWhatThereIs(root)
	root.PersistentFlags().StringVarP(&c.format, "output", "o", "table", "how to print results: table or json")
	root.AddCommand(
		newInit(c), newKeys(c), newConfig(c), newVersion(c),
		newNode(c), newStatus(c), newKV(c), newBank(c), newOutputs(c), newBench(c), newDemo(c), newScenario(c), newEvidence(c),
	)
	root.InitDefaultHelpCmd()
	if help, _, err := root.Find([]string{"help"}); err == nil {
		help.Run, help.RunE = nil, func(_ *cobra.Command, args []string) error { return helpOn(root, args) }
	}
	return root
}

// helpOnlyOnWhatThereIs has --help after a command that there is not be an error: it would
// print the help of the group, as if there were one.
func (c *console) helpOnlyOnWhatThereIs(root *cobra.Command) {
	help := root.HelpFunc()
	root.SetHelpFunc(func(cmd *cobra.Command, args []string) {
		if c.lost = unknownBelow(cmd, cmd.Flags().Args()); c.lost == nil {
			help(cmd, args)
		}
	})
}

// helpOn prints the help of the command that args name.
func helpOn(root *cobra.Command, args []string) error {
	cmd, rest, err := root.Find(args)
	if err == nil {
		err = unknownBelow(cmd, rest)
	}
	if err != nil {
		return usageError{err}
	}
	cmd.InitDefaultHelpFlag()
	return cmd.Help()
}

// unknownBelow returns an error that says that a command has none with the name that args
// begin with, if that is so.
func unknownBelow(cmd *cobra.Command, args []string) error {
	if len(args) == 0 || !cmd.HasSubCommands() {
		return nil
	}
	return fmt.Errorf("there is no %q: see %s --help", cmd.CommandPath()+" "+args[0], cmd.CommandPath())
}

// group returns a command that only holds others.
func group(use, short, example string, commands ...*cobra.Command) *cobra.Command {
	g := &cobra.Command{
		Use: use, Short: short, Example: example,
		Args: unknownBelow,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	g.AddCommand(commands...)
	return g
}
