package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	logging "github.com/ipfs/go-log/v2"
	"github.com/libp2p/go-libp2p/gologshim"
	"github.com/spf13/cobra"

	"github.com/quorate/quorate/app"
	"github.com/quorate/quorate/app/bank"
	"github.com/quorate/quorate/app/counter"
	"github.com/quorate/quorate/app/kv"
	"github.com/quorate/quorate/pbft"
)

// appNames are the applications that this program has.
const appNames = "kv, bank or counter"

// appDefault is the application of a replica that names none.
const appDefault = "kv"

func appOf(name string) string { return cmp.Or(name, appDefault) }

// machineOf returns the application with this name.
func machineOf(name string) (app.StateMachine, error) {
	switch appOf(name) {
	case "kv":
		return kv.Machine{}, nil
	case "bank":
		return bank.Machine{}, nil
	case "counter":
		return counter.Machine{}, nil
	default:
		return nil, usagef("the application is %q, want %s", name, appNames)
	}
}

// nodeOptions are the flags of node.
type nodeOptions struct {
	dir, genesis, app, logLevel string
	adversary, faults           string
	rejoin, orders              bool
	requestTimeout              time.Duration
	keys                        keyFlags
}

func newNode(c *console) *cobra.Command {
	var o nodeOptions
	cmd := &cobra.Command{
		Use:   "node",
		Short: "Run one replica",
		Long: `Node runs the replica in a directory that 'quorate init' made, until it is
interrupted or something of its own fails. Flags go before node.toml.

It refuses to start when its data is missing: a replica that forgot what it
signed is a faulty one. With --rejoin it starts without, and stays silent until
it can hurt nobody by what it forgot. One replica at a time may do so.

SIGUSR1 has it write what it did lately to a file in its directory, flight/, as
it does by itself when it suspects the primary, leaves its view or stops.`,
		Example: `  quorate node --dir cluster/r0
  quorate node --dir r2 --genesis /etc/quorate/genesis.toml --app bank --passphrase-file secret.txt`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runNode(cmd.Context(), c, o) },
	}
	flags := cmd.Flags()
	flags.StringVar(&o.dir, "dir", ".", "directory of the replica, with node.toml, key and data")
	flags.StringVar(&o.genesis, "genesis", "", "genesis file (default: what node.toml names)")
	flags.StringVar(&o.app, "app", "", "application to run: "+appNames+" (default: what node.toml names)")
	flags.BoolVar(&o.rejoin, "rejoin", false, "the data is lost: rejoin without it")
	flags.DurationVar(&o.requestTimeout, "request-timeout", 0,
		"how long until a silent primary is replaced; the same on all replicas (default: what node.toml says, or 1s)")
	flags.StringVar(&o.logLevel, "log-level", "", "debug, info, warn or error (default: what node.toml says, or warn)")
	flags.StringVar(&o.adversary, "adversary", "",
		"for tests of other replicas: lie in this way; needs a program and a cluster made for tests")
	flags.StringVar(&o.faults, "faults", "",
		"for tests: spoil the network and the clock as this file orders; needs a program and a cluster made for tests")
	flags.BoolVar(&o.orders, "orders", false,
		"for benchmarks: take orders from the standard input, such as to tell how much it holds or to write a profile")
	o.keys.add(flags, "plain-key")
	return cmd
}

// loadConfig reads node.toml in the directory that --dir names.
func loadConfig(dir string) (pbft.Config, error) {
	if err := noFile("--dir", dir); err != nil {
		return pbft.Config{}, err
	}
	cfg, err := pbft.LoadConfig(filepath.Join(dir, pbft.ConfigFile))
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: name the directory of a replica with --dir; quorate init makes them", err)
	}
	return cfg, err
}

// config returns the configuration that the flags and node.toml make.
func (o nodeOptions) config(ctx context.Context, c *console) (pbft.Config, error) {
	cfg, err := loadConfig(o.dir)
	if err != nil {
		return cfg, err
	}
	cfg.Genesis = cmp.Or(o.genesis, cfg.Genesis)
	cfg.App = cmp.Or(o.app, cfg.App)
	cfg.LogLevel = cmp.Or(o.logLevel, cfg.LogLevel)
	cfg.RequestTimeout = cmp.Or(o.requestTimeout, cfg.RequestTimeout)
	cfg.Rejoin = o.rejoin
	cfg.PlainKey = cfg.PlainKey || o.keys.plain
	if err := cfg.Validate(); err != nil {
		return cfg, err
	}
	if o.adversary != "" {
		if err := interpose(c, &cfg, o.adversary); err != nil {
			return cfg, err
		}
	}
	if o.faults != "" {
		if err := spoil(c, &cfg, o.faults); err != nil {
			return cfg, err
		}
	}
	err = o.openKey(ctx, c, &cfg)
	return cfg, err
}

// openKey fills in the passphrase of the key, if that has one. It asks for none that would
// not help.
func (o nodeOptions) openKey(ctx context.Context, c *console, cfg *pbft.Config) error {
	if err := o.keys.validate(); err != nil {
		return err
	}
	if cfg.PlainKey && o.keys.file != "" {
		return usagef("%s says plain_key = true, and plain keys have no passphrase: drop that or --passphrase-file",
			filepath.Join(o.dir, pbft.ConfigFile))
	}
	if _, err := cfg.CheckKey(); err != nil || cfg.PlainKey {
		return err
	}
	var err error
	cfg.Passphrase, err = o.keys.passphrase(ctx, c, false)
	return err
}

func runNode(ctx context.Context, c *console, o nodeOptions) error {
	cfg, err := o.config(ctx, c)
	if err != nil {
		return err
	}
	machine, err := machineOf(cfg.App)
	if err != nil {
		return err
	}
	if err := setLogLevel(cfg.LogLevel); err != nil {
		return err
	}
	c.relaxCollector(memoryMax)
	c.takeProcessors()
	dumpOnSignal, end := takeDumpSignals(c)
	defer end()
	replica, err := pbft.Start(ctx, cfg, machine)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.out, "ready replica=%d cluster=%s app=%s addrs=%s\n",
		replica.ID(), replica.Genesis().Hash().Short(), appOf(cfg.App), strings.Join(replica.Addrs(), ","))
	if err != nil {
		return errors.Join(err, replica.Close())
	}
	dumpOnSignal(replica)
	if o.orders {
		defer takeOrders(c, replica)()
	}
	select {
	case <-ctx.Done():
		return replica.Close()
	case <-replica.Done():
		return errors.Join(errors.New("the replica stopped by itself"), replica.Err())
	}
}

// setLogLevel sets the level of all loggers, and joins to them those of libp2p,
// which logs through slog.
func setLogLevel(level string) error {
	if err := logging.SetLogLevel("*", cmp.Or(level, "warn")); err != nil { // loggers to come, too
		return usageError{err}
	}
	slog.SetDefault(slog.New(logging.SlogHandler()))
	gologshim.SetDefaultHandler(logging.SlogHandler())
	return nil
}
