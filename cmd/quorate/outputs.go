package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/spf13/cobra"

	"github.com/quorate/quorate/pbft"
)

// outputInfo is one output, as outputs prints it.
type outputInfo struct {
	Number  uint64 `json:"number"`
	Seq     uint64 `json:"seq"`
	Payload blob   `json:"payload"`
}

// outputsFlags tell which outputs to print.
type outputsFlags struct {
	clusterFlags

	from, count uint64
}

func newOutputs(c *console) *cobra.Command {
	f := &outputsFlags{}
	cmd := &cobra.Command{
		Use:   "outputs",
		Short: "Print what operations emit to the outside world",
		Long: `Outputs prints what executed operations emit, each once f+1 replicas say the same, in
order and without gaps, as lines of number, batch and content; with -o json as one
object a line. It waits for more until it is interrupted, or has printed --count. Of the
applications here only the bank emits anything: what 'quorate bank pay' pays out.

Replicas keep the last 65,536 outputs, or 64 MiB of them. It ends with exit code 3 if
fewer than f+1 replicas answer within --timeout at the beginning; with --count, also if
the next output does not come within that time. It ends with exit code 1 if outputs are
kept no more, or if more than f replicas say something else of one than others.`,
		Example: `  quorate outputs --genesis cluster/genesis.toml
  quorate outputs --from 17 --count 3 -o json
  quorate init cluster --app bank --plain-keys   # of a cluster that emits something`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context(), c) },
	}
	f.add(cmd)
	cmd.Flags().Uint64Var(&f.from, "from", 1, "number of the first output to print")
	cmd.Flags().Uint64Var(&f.count, "count", 0, "how many to print; 0: all, until interrupted")
	return cmd
}

func (f *outputsFlags) run(ctx context.Context, c *console) error {
	switch {
	case f.timeout <= 0:
		return usagef("--timeout is %v, want more than 0", f.timeout)
	case f.from == 0:
		return usagef("--from is 0, outputs are numbered from 1")
	}
	genesis, err := loadGenesis(f.genesis)
	if err != nil {
		return err
	}
	dialing, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	client, err := pbft.Dial(dialing, pbft.DialConfig{Genesis: genesis})
	if err != nil {
		return err
	}
	err = f.reach(ctx, genesis, client.Status)
	if err == nil {
		err = f.print(ctx, c, genesis, client.Outputs)
	}
	return errors.Join(err, client.Close())
}

// subscription is pbft.Client.Outputs.
type subscription func(ctx context.Context, from uint64) iter.Seq2[pbft.Output, error]

// print prints outputs until it is interrupted, which is no error, or has enough. The next
// one has all of the timeout to come, however long it took to print those before.
func (f *outputsFlags) print(ctx context.Context, c *console, genesis *pbft.Genesis, outputs subscription) error {
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	late := time.AfterFunc(f.timeout, func() {
		if f.count > 0 {
			cancel()
		}
	})
	defer late.Stop()
	left := f.count
	for output, err := range outputs(waiting, f.from) {
		late.Stop()
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && waiting.Err() != nil:
			came := fmt.Sprintf("no further output within %v: %d of %d came", f.timeout, f.count-left, f.count)
			return unreachableError{came + unreachedOf(err, genesis)}
		case err != nil:
			return goOn(err)
		}
		if err := c.output(output); err != nil {
			return err
		}
		if left--; left == 0 {
			return nil
		}
		late.Reset(f.timeout)
	}
	return nil
}

// unreachedOf tells which replicas could not be reached, as far as err does.
func unreachedOf(err error, genesis *pbft.Genesis) string {
	var unfinished *pbft.UnfinishedError
	if !errors.As(err, &unfinished) {
		return ""
	}
	return unreached(unfinished.Links, genesis)
}

// goOn tells how to go on after outputs that are gone.
func goOn(err error) error {
	var gone *pbft.OutputsGoneError
	if !errors.As(err, &gone) {
		return err
	}
	return fmt.Errorf("%w: --from %d skips what is gone", err, gone.Kept)
}

// output prints one output on a line.
func (c *console) output(o pbft.Output) error {
	if c.format == "json" {
		return json.NewEncoder(c.out).Encode(outputInfo{o.Number, uint64(o.Seq), o.Payload})
	}
	_, err := fmt.Fprintf(c.out, "%d  seq %d  %s\n", o.Number, o.Seq, printable(string(o.Payload)))
	return err
}
