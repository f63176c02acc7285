package pbft

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	logging "github.com/ipfs/go-log/v2"

	"github.com/quorate/quorate/app"
	"github.com/quorate/quorate/checkpoint"
	"github.com/quorate/quorate/checkpoint/journal"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/network"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/forensics"
	"github.com/quorate/quorate/pbft/node"
	"github.com/quorate/quorate/pbft/processors"
	"github.com/quorate/quorate/pbft/wire"
)

// The directories under Config.DataPath.
const (
	journalDir = "journal"
	stateDir   = "state"
	archiveDir = "archive"
)

// verifierKeys is how many expanded public keys a replica keeps: the replicas'
// and those of the busiest clients, at about 3 KiB each (crypto.NewVerifier).
const verifierKeys = 4096

// ErrNotMember says that a replica's key is not in the genesis.
var ErrNotMember = errors.New("the key is not in the genesis")

// Replica is one running replica.
type Replica struct {
	id        wire.ReplicaID
	genesis   *Genesis
	node      *node.Node
	transport transport
	counters  *counters
	disk      *disk
	cancel    context.CancelFunc
	ended     chan struct{}
	err       error // read after ended is closed
}

// transport is what a replica needs of its network.
type transport interface {
	node.Transport

	// Addrs returns where it listens.
	Addrs() []string
	// Faults returns what went wrong, with whom and how often.
	Faults() []network.FaultCount
	// Close ends what New has started, where Run was never called.
	Close() error
}

// disk is what a replica keeps.
type disk struct {
	journal *journal.Journal
	records []core.Record
	state   *checkpoint.Store
	archive *forensics.Archive // nil where it cannot be opened: nothing depends on it
	rejoin  bool
}

// Start starts one replica of the cluster that cfg.Genesis describes, and
// returns when it listens and has replayed its journal. It runs until Close, or
// until something of its own fails: see Done. ctx bounds the start alone.
//
// Start refuses to run on data that is missing, damaged, in use, or another
// replica's.
func Start(ctx context.Context, cfg Config, machine app.StateMachine) (*Replica, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	genesis, err := LoadGenesis(cfg.GenesisPath())
	if err != nil {
		return nil, err
	}
	if err := cfg.checkPurpose(genesis); err != nil {
		return nil, err
	}
	key, err := cfg.loadKey()
	if err != nil {
		return nil, err
	}
	id, ok := genesis.Find(key.Public())
	if !ok {
		return nil, fmt.Errorf("%w: %s has the public key %s, and %s names other replicas: use the genesis that this key "+
			"was made for, or the key of one of its replicas", ErrNotMember, cfg.KeyPath(), key.Public(), cfg.GenesisPath())
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if genesis.Purpose == PurposeTest {
		logging.Logger("pbft/node").Warnf("cluster %s was made for tests: its replicas may be made to lie, so trust nothing to it",
			genesis.Hash().Short())
	}
	net := genesis.networkConfig(id, key, cfg.Listen)
	net.ClientsMax, net.ClientsPerIPMax = cfg.ClientsMax, cfg.ClientsPerAddressMax
	transport, err := network.New(net)
	if err != nil {
		return nil, err
	}
	r, err := launch(ctx, cfg, genesis, parts{id, key, transport, machine})
	if err != nil {
		return nil, errors.Join(err, transport.Close())
	}
	return r, nil
}

func (c Config) loadKey() (crypto.PrivateKey, error) {
	load := func() (crypto.PrivateKey, error) { return crypto.LoadKey(c.KeyPath(), c.Passphrase) }
	if c.PlainKey {
		load = func() (crypto.PrivateKey, error) { return crypto.LoadPlainKey(c.KeyPath()) }
	}
	key, err := load()
	return key, adviseKey(err)
}

// CheckKey returns the public key of the key file, without its passphrase, and refuses the
// file where Start does for another reason than that.
func (c Config) CheckKey() (crypto.PublicKey, error) {
	key, encrypted, err := crypto.CheckKeyFile(c.KeyPath())
	switch {
	case err != nil:
	case encrypted && c.PlainKey:
		err = fmt.Errorf("%w: %s", crypto.ErrKeyEncrypted, c.KeyPath())
	case !encrypted && !c.PlainKey:
		err = fmt.Errorf("%w: %s", crypto.ErrKeyPlain, c.KeyPath())
	}
	return key, adviseKey(err)
}

// adviseKey tells how a configuration and its key file come to agree.
func adviseKey(err error) error {
	switch {
	case errors.Is(err, crypto.ErrKeyEncrypted):
		return fmt.Errorf("%w: drop plain_key (Config.PlainKey) and give the passphrase (Config.Passphrase)", err)
	case errors.Is(err, crypto.ErrKeyPlain):
		return fmt.Errorf("%w: set plain_key = true (Config.PlainKey)", err)
	default:
		return err
	}
}

// parts is what a replica is launched with.
type parts struct {
	id        wire.ReplicaID
	key       crypto.PrivateKey
	transport transport
	machine   app.StateMachine
}

// launch opens the data and runs the node, unless starting ends before.
func launch(starting context.Context, cfg Config, genesis *Genesis, p parts) (*Replica, error) {
	d, err := openDisk(starting, cfg, genesis, p.id)
	if err != nil {
		return nil, err
	}
	counters := &counters{}
	n, err := newNode(cfg, genesis, nodeParts{p, d, counters})
	if err != nil {
		return nil, errors.Join(err, d.close())
	}
	if err := starting.Err(); err != nil {
		return nil, errors.Join(err, d.close())
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(starting)) // it outlives the start
	r := &Replica{
		id: p.id, genesis: genesis, node: n, transport: p.transport, counters: counters, disk: d,
		cancel: cancel, ended: make(chan struct{}),
	}
	go r.run(ctx)
	return r, nil
}

// nodeParts is what a node is made of.
type nodeParts struct {
	parts

	disk     *disk
	counters *counters
}

func newNode(cfg Config, genesis *Genesis, p nodeParts) (*node.Node, error) {
	d := p.disk
	coreConfig, err := genesis.CoreConfig(p.id)
	if err != nil {
		return nil, err
	}
	coreConfig.StateZero = checkpoint.EmptyRoot()
	nodeConfig := node.Config{
		Core: coreConfig, Domain: genesis.Domain(), Keys: genesis.Keys(), Signer: p.key,
		Limits: genesis.WireLimits(), Verifier: crypto.NewVerifier(verifierKeys),
		Machine: p.machine, Transport: p.transport, Journal: d.journal, State: d.state,
		Records: d.records, Rejoin: d.rejoin, Life: newLife(), Tick: cfg.TickInterval(), Clock: cfg.Clock,
		Busy:   (&processors.Meter{}).Busy,
		Output: cfg.Output, Observe: cfg.Observe, Dump: (&flightFiles{dir: cfg.FlightPath()}).put,
	}
	if d.archive != nil {
		nodeConfig.Archive = d.archive
	}
	p.counters.count(&nodeConfig)
	if cfg.Interpose != nil {
		nodeConfig.Transport = cfg.Interpose(nodeConfig)
	}
	return node.New(nodeConfig)
}

func (r *Replica) run(ctx context.Context) {
	defer close(r.ended)
	err := r.node.Run(ctx)
	r.err = errors.Join(err, r.disk.close())
}

// openDisk opens, or on a first start makes, what the replica keeps, while ctx lasts.
func openDisk(ctx context.Context, cfg Config, genesis *Genesis, id wire.ReplicaID) (*disk, error) {
	fresh, err := cfg.checkData()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.DataPath(), 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	d := &disk{}
	if err := d.openJournal(cfg, genesis, id, fresh); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, errors.Join(err, d.journal.Close())
	}
	d.state, err = checkpoint.Open(filepath.Join(cfg.DataPath(), stateDir), checkpoint.Options{GoOn: ctx.Err})
	if err != nil {
		return nil, errors.Join(err, d.journal.Close())
	}
	if opened := d.state.Opened(); opened.Why != "" {
		logging.Logger("checkpoint").Warnf("state: %s; what is missing is fetched from the other replicas", opened.Why)
	}
	d.openArchive(cfg, genesis, id)
	if fresh || cfg.Rejoin {
		if err := markStarted(cfg.DataPath()); err != nil {
			return nil, errors.Join(err, d.close())
		}
	}
	return d, nil
}

// openArchive opens the archive for audits. A replica runs without one rather than
// not at all.
func (d *disk) openArchive(cfg Config, genesis *Genesis, id wire.ReplicaID) {
	if cfg.ArchiveBytes < 0 {
		return
	}
	var err error
	d.archive, err = forensics.OpenArchive(cfg.ArchivePath(), forensics.Identity{Domain: genesis.Domain(), Replica: id},
		forensics.Options{Bytes: cfg.ArchiveBytes})
	if err != nil {
		logging.Logger("forensics").Errorf("no archive for audits; the replica runs without: %v", err)
		return
	}
	for _, path := range d.archive.Damaged() {
		logging.Logger("forensics").Warnf("%s of the archive is damaged: what is whole in it is kept and read; look at the disk, "+
			"and move the file away once it is audited", path)
	}
}

func (d *disk) openJournal(cfg Config, genesis *Genesis, id wire.ReplicaID, fresh bool) error {
	domain := genesis.Domain()
	dir := filepath.Join(cfg.DataPath(), journalDir)
	self := journal.Identity{Cluster: domain.Cluster, Epoch: domain.Epoch, Replica: id}
	opts := journal.Options{Limits: genesis.WireLimits()}
	there, err := journal.Exists(dir, opts)
	if err != nil {
		return err
	}
	rejoin := cfg.Rejoin || rejoinMarked(cfg.DataPath())
	switch {
	case there || !fresh && !rejoin:
		d.journal, d.records, err = journal.Open(dir, self, opts)
	case rejoin:
		if err := markRejoin(cfg.DataPath()); err != nil {
			return err
		}
		d.journal, err = journal.Create(dir, self, opts)
	default:
		d.journal, err = journal.Create(dir, self, opts)
	}
	if err != nil {
		return adviseJournal(err, cfg.DataPath())
	}
	d.rejoin, err = keepRejoin(cfg.DataPath(), d.journal)
	if err != nil {
		return errors.Join(err, d.journal.Close())
	}
	return nil
}

// markStarted says durably that the first start is over: from now on, missing
// data is lost data.
func markStarted(data string) error {
	if err := os.Remove(filepath.Join(data, FreshFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("data directory: %w", err)
	}
	return syncDir(data)
}

func (d *disk) close() error {
	var errs []error
	if d.state != nil {
		errs = append(errs, d.state.Close())
	}
	errs = append(errs, d.journal.Close())
	if d.archive != nil {
		if err := d.archive.Close(); err != nil {
			logging.Logger("forensics").Errorf("%v", err)
		}
	}
	return errors.Join(errs...)
}

// ID returns the replica's number.
func (r *Replica) ID() wire.ReplicaID { return r.id }

// Genesis returns the cluster's genesis.
func (r *Replica) Genesis() *Genesis { return r.genesis }

// Addrs returns where the replica listens, as multiaddresses.
func (r *Replica) Addrs() []string { return r.transport.Addrs() }

// Report returns where the replica stands.
func (r *Replica) Report() wire.Report { return r.node.Report() }

// Faults returns what went wrong on the network, with whom and how often.
func (r *Replica) Faults() []network.FaultCount { return r.transport.Faults() }

// BadFrames returns how many frames were dropped, of whom, because they are no
// message of the protocol or have a bad signature.
func (r *Replica) BadFrames() BadFrames { return r.node.BadFrames() }

// BusyShares returns how busy the replica was in the last second or so: the one figure that
// tells whether it is healthy. Any goroutine may call it.
func (r *Replica) BusyShares() Busy { return r.node.BusyShares() }

// Done is closed when the replica has ended, by Close or because something of
// its own failed; Err then tells which.
func (r *Replica) Done() <-chan struct{} { return r.ended }

// Err returns why the replica ended: nil after a Close without trouble. It
// waits for Done.
func (r *Replica) Err() error {
	<-r.ended
	return r.err
}

// Close ends the replica and returns when all that it started has ended, so also not
// before an Execute of the application that is running has returned. It may be called
// more than once.
func (r *Replica) Close() error {
	r.cancel()
	return r.Err()
}
