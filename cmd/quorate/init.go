package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// The bounds and defaults of init.
const (
	replicasMin     = 4 // fewer tolerate no fault at all
	replicasMax     = 100
	basePortDefault = 7400
	portMax         = 65535
)

// initOptions are the flags of init.
type initOptions struct {
	replicas int
	hosts    []string
	basePort int
	name     string
	app      string
	test     bool
	keys     keyFlags
}

// initInfo is what init prints.
type initInfo struct {
	Dir      string   `json:"dir"`
	Genesis  string   `json:"genesis"`
	Hash     string   `json:"hash"`
	Replicas int      `json:"replicas"`
	Faults   int      `json:"tolerated_faults"`
	Start    []string `json:"start"`
}

func newInit(c *console) *cobra.Command {
	var o initOptions
	cmd := &cobra.Command{
		Use:   "init DIR",
		Short: "Make the keys, genesis and directories of a new cluster",
		Long: `Init makes a new directory DIR with genesis.toml, which is public and the same
for everyone, and one directory for each replica, r0 and up, with its secret
key, its node.toml, and its data. Move each replica's directory, and a copy of
genesis.toml beside it, to the machine where it runs. Never run, or copy, one
replica's directory twice: a replica with two lives is a faulty one.

It makes all or nothing, also where the power fails (.quorate-init-* may be left
beside DIR then), and touches no directory that has anything in it.`,
		Example: `  quorate init cluster --replicas 4 --plain-keys
  quorate init prod --replicas 7 --passphrase-file secret.txt --host 10.0.0.1,10.0.0.2,10.0.0.3,10.0.0.4,10.0.0.5,10.0.0.6,10.0.0.7`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return runInit(cmd.Context(), c, o, args[0]) },
	}
	flags := cmd.Flags()
	flags.IntVar(&o.replicas, "replicas", replicasMin, "number of replicas; f faults take 3f+1")
	flags.StringSliceVar(&o.hosts, "host", []string{"127.0.0.1"}, "address or name where the replicas run: one for all, or one each")
	flags.IntVar(&o.basePort, "base-port", basePortDefault, "port of the first replica; those on the same host follow")
	flags.StringVar(&o.name, "name", "quorate", "name of the cluster, part of its identity")
	flags.StringVar(&o.app, "app", "kv", "application that the replicas run: "+appNames)
	flags.BoolVar(&o.test, "test", false, "the cluster is for tests that make its replicas lie")
	o.keys.add(flags, "plain-keys")
	return cmd
}

func (o initOptions) validate() error {
	var errs []error
	last := portMax - max(0, min(o.replicas, replicasMax)-1)
	if o.replicas < replicasMin || o.replicas > replicasMax {
		errs = append(errs, usagef("--replicas is %d, want %d to %d: 3f+1 replicas tolerate f faults",
			o.replicas, replicasMin, replicasMax))
	}
	if len(o.hosts) != 1 && len(o.hosts) != o.replicas {
		errs = append(errs, usagef("--host names %d hosts, want one for all or one for each of %d replicas",
			len(o.hosts), o.replicas))
	}
	for _, h := range o.hosts {
		if why := hostProblem(h); why != "" {
			errs = append(errs, usagef("--host has %q, want an address or a name that others reach, without a port: %s", h, why))
		}
	}
	if !isClusterName(o.name) {
		errs = append(errs, usagef("--name is %q, want 1 to %d of a-z, 0-9 and -", o.name, clusterNameBytesMax))
	}
	if o.basePort < 1 || o.basePort > last {
		errs = append(errs, usagef("--base-port is %d, want 1 to %d", o.basePort, last))
	}
	if _, err := machineOf(o.app); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// addr returns where replica i listens.
func (o initOptions) addr(i int) string {
	host, port := o.hosts[0], o.basePort+i
	if len(o.hosts) > 1 {
		host, port = o.hosts[i], o.basePort
		for _, h := range o.hosts[:i] {
			if sameHost(h, host) {
				port++
			}
		}
	}
	kind := "dns"
	if ip := net.ParseIP(host); ip != nil {
		kind = "ip6"
		if ip.To4() != nil {
			kind = "ip4"
		}
		host = ip.String()
	}
	return "/" + kind + "/" + host + "/tcp/" + strconv.Itoa(port)
}

func runInit(ctx context.Context, c *console, o initOptions, dir string) error {
	if err := o.validate(); err != nil {
		return err
	}
	if err := mustBeNew(dir); err != nil {
		return err
	}
	save, err := o.keys.saver(ctx, c)
	if err != nil {
		return err
	}
	parent := filepath.Dir(filepath.Clean(dir))
	if err := makeDirs(parent); err != nil {
		return err
	}
	names, err := os.Open(parent) // before anything is made that these names are to hold
	if err != nil {
		return err
	}
	defer names.Close() //nolint:errcheck // it was only read
	draft, err := os.MkdirTemp(parent, ".quorate-init-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(draft) //nolint:errcheck // it is gone by then, unless something failed
	genesis, err := o.writeCluster(ctx, draft, save)
	if err != nil {
		return err
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) { // it is empty: see mustBeNew
		return fmt.Errorf("%w: if another disk is mounted there, give a new directory in it", err)
	}
	if err := os.Rename(draft, dir); err != nil {
		return err
	}
	if err := names.Sync(); err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	return showInit(c, o, dir, genesis)
}

// mustBeNew refuses a directory with anything in it, and the one that the command runs
// in: another would take its place under the shell.
func mustBeNew(dir string) error {
	if filepath.Clean(dir) == "." {
		return usagef("%q is where this command runs: give the name of a new directory", dir)
	}
	info, err := os.Lstat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && info.Mode()&fs.ModeSymlink != 0 {
		return usagef("%s is a symbolic link, which init would replace: give a new directory where it leads to", dir)
	}
	if err == nil && !info.IsDir() {
		return usagef("%s is a file: give the name of a new directory", dir)
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, syscall.ENOTDIR) {
		err = fmt.Errorf("%w: a part of that name is a file; give another", err)
	}
	if err != nil {
		return usageError{err}
	}
	if len(entries) > 0 {
		return usagef("%s is there and not empty: init never overwrites; give a new directory", dir)
	}
	return nil
}

// writeCluster fills dir, durably: without the mark of a first start, all replicas would be
// taken for ones that lost their data. To encrypt a key takes a while.
func (o initOptions) writeCluster(
	ctx context.Context, dir string, save func(string, crypto.PrivateKey) error,
) (*pbft.Genesis, error) {
	genesis := &pbft.Genesis{Name: o.name, Limits: pbft.DefaultGenesisLimits()}
	if o.test {
		genesis.Purpose = pbft.PurposeTest
	}
	for i := range o.replicas {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		key, err := crypto.GenerateKey(nil)
		if err != nil {
			return nil, err
		}
		if err := o.writeReplica(filepath.Join(dir, replicaDir(i)), key, save); err != nil {
			return nil, err
		}
		genesis.Members = append(genesis.Members, pbft.GenesisReplica{
			ID: wire.ReplicaID(i), Key: key.Public(), Addrs: []string{o.addr(i)}, //nolint:gosec // at most replicasMax
		})
	}
	if err := genesis.Validate(); err != nil {
		return nil, usageError{err}
	}
	if err := writeDurably(filepath.Join(dir, pbft.GenesisFile), genesis.Encode(), 0o644); err != nil { // it is public
		return nil, err
	}
	return genesis, syncDir(dir)
}

func replicaDir(i int) string { return "r" + strconv.Itoa(i) }

// nodeText is the configuration that a replica starts with.
const nodeText = `# Configuration of one replica. See 'quorate config show --dir .' for what follows from it.
genesis = "../genesis.toml"
app = %q
plain_key = %v
# listen = ["/ip4/0.0.0.0/tcp/7400"]  # where to listen, if not at the address in the genesis
# request_timeout = "1s"              # the same on all replicas: how long until a silent primary is replaced
# log_level = "warn"
`

func (o initOptions) writeReplica(dir string, key crypto.PrivateKey, save func(string, crypto.PrivateKey) error) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	if err := save(filepath.Join(dir, pbft.KeyFile), key); err != nil {
		return err
	}
	text := fmt.Appendf(nil, nodeText, o.app, o.keys.plain)
	if err := writeDurably(filepath.Join(dir, pbft.ConfigFile), text, 0o600); err != nil {
		return err
	}
	return pbft.InitData(dir) // which makes the names in dir durable
}

func showInit(c *console, o initOptions, dir string, genesis *pbft.Genesis) error {
	q, err := core.NewQuorum(o.replicas)
	if err != nil {
		return err
	}
	info := initInfo{
		Dir: dir, Genesis: filepath.Join(dir, pbft.GenesisFile), Hash: genesis.Hash().String(),
		Replicas: o.replicas, Faults: q.Faults(),
	}
	t := pairs("genesis", printable(info.Genesis), "hash", info.Hash)
	t.above = []string{
		fmt.Sprintf("made a cluster of %d replicas in %s; it tolerates f = %d", o.replicas, printable(dir), q.Faults()),
	}
	for i := range o.replicas {
		start := commandLine("quorate", "node", "--dir", filepath.Join(dir, replicaDir(i)))
		info.Start = append(info.Start, start)
		t.rows = append(t.rows, []string{"start " + replicaDir(i), start})
	}
	return c.show(t, info)
}
