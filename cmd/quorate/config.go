package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/quorate/quorate/network"
	"github.com/quorate/quorate/pbft"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/forensics"
	"github.com/quorate/quorate/pbft/wire"
)

func newConfig(c *console) *cobra.Command {
	return group("config", "Check a replica's configuration and see what follows from it",
		"  quorate config validate --dir cluster/r0\n  quorate config show --dir cluster/r0",
		newConfigCommand(c, "show", "Print a replica's configuration and all that derives from it", true),
		newConfigCommand(c, "validate", "Check node.toml, the genesis and the key file, and report every problem", false))
}

// configInfo is what config show prints.
type configInfo struct {
	Dir         string   `json:"dir"`
	Genesis     string   `json:"genesis"`
	Cluster     string   `json:"cluster"`
	Hash        string   `json:"hash"`
	Epoch       uint64   `json:"epoch"`
	Replicas    int      `json:"replicas"`
	Faults      int      `json:"tolerated_faults"`
	Quorum      int      `json:"quorum"`
	Weak        int      `json:"weak_quorum"`
	ID          *uint32  `json:"id,omitempty"`
	App         string   `json:"app"`
	Listen      []string `json:"listen,omitempty"`
	PlainKey    bool     `json:"plain_key"`
	Tick        string   `json:"tick"`
	Request     string   `json:"request_timeout"`
	ViewMax     string   `json:"view_change_timeout_max"`
	Status      string   `json:"status_interval"`
	Heartbeat   string   `json:"heartbeat_timeout"`
	Retransmit  string   `json:"client_retransmit"`
	Interval    uint64   `json:"checkpoint_interval"`
	Window      uint64   `json:"window"`
	InFlight    int      `json:"batches_in_flight"`
	OpBytesMax  int      `json:"operation_bytes_max"`
	Clients     int      `json:"clients_max"`
	Connected   int      `json:"connected_clients_max"`
	PerAddress  int      `json:"connected_clients_per_address_max"`
	Archive     int64    `json:"archive_bytes"` // -1 for none
	ClientOpen  int      `json:"client_window"`
	FrameBytes  int      `json:"frame_bytes_max"`
	ResultBytes int      `json:"result_bytes_max"`

	noKey error // why there is no ID
}

func newConfigCommand(c *console, use, short string, show bool) *cobra.Command {
	var dir, genesis string
	cmd := &cobra.Command{
		Use:     use,
		Short:   short,
		Example: "  quorate config " + use + " --dir cluster/r0",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			info, err := readConfig(dir, genesis)
			if !show {
				err = errors.Join(err, info.noKey)
			}
			if err != nil {
				return usageError{err}
			}
			if !show {
				return c.show(table{above: []string{"good: " + info.Dir}}, map[string]any{"good": true, "dir": info.Dir})
			}
			return c.show(info.table(), info)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", ".", "directory of the replica")
	cmd.Flags().StringVar(&genesis, "genesis", "", "genesis file, if not the one that node.toml names")
	return cmd
}

// readConfig loads everything that needs no passphrase, and reports all
// problems at once.
func readConfig(dir, genesisPath string) (configInfo, error) {
	cfg, configErr := loadConfig(dir)
	read := cfg.Dir != "" // or else the others would be sought in the wrong place
	if !read {
		cfg = pbft.Config{Dir: dir}
	}
	_, appErr := machineOf(cfg.App)
	errs := []error{configErr, appErr}
	if genesisPath != "" {
		cfg.Genesis = genesisPath
	}
	var genesis *pbft.Genesis
	if read || genesisPath != "" {
		var err error
		genesis, err = pbft.LoadGenesis(cfg.GenesisPath())
		errs = append(errs, err)
	}
	info := configInfo{Dir: cfg.Dir, Genesis: cfg.GenesisPath(), App: appOf(cfg.App), PlainKey: cfg.PlainKey}
	if read {
		errs = append(errs, info.findKey(cfg, genesis))
	}
	if err := errors.Join(errs...); err != nil {
		return info, err
	}
	return info, info.deriveAll(cfg, genesis)
}

// findKey fills in which replica of a genesis, if that is known, has the key. That there is no
// key, or not for whoever asks, is no error yet.
func (i *configInfo) findKey(cfg pbft.Config, genesis *pbft.Genesis) error {
	public, err := cfg.CheckKey()
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission):
		i.noKey = err
		return nil
	case err != nil || genesis == nil:
		return err
	}
	id, ok := genesis.Find(public)
	if !ok {
		return fmt.Errorf("%w: %s has the key %s, and %s does not name it", pbft.ErrNotMember,
			cfg.KeyPath(), public.Short(), cfg.GenesisPath())
	}
	number := uint32(id)
	i.ID = &number
	return nil
}

// deriveAll fills in what follows from the configuration and the genesis.
func (i *configInfo) deriveAll(cfg pbft.Config, genesis *pbft.Genesis) error {
	var id wire.ReplicaID // all replicas have the same but for where they listen
	if i.ID != nil {
		id = wire.ReplicaID(*i.ID)
	}
	k, err := genesis.CoreConfig(id)
	if err != nil {
		return err
	}
	i.Cluster, i.Hash, i.Epoch = genesis.Name, genesis.Hash().String(), genesis.Domain().Epoch
	i.Replicas, i.Faults = k.Quorum.Replicas(), k.Quorum.Faults()
	i.Quorum, i.Weak = k.Quorum.Strong(), k.Quorum.Weak()
	i.Connected, i.PerAddress = network.ClientLimits(cfg.ClientsMax, cfg.ClientsPerAddressMax)
	if i.Archive = cfg.ArchiveBytes; i.Archive == 0 {
		i.Archive = forensics.ArchiveBytesDefault
	}
	i.Listen = cfg.Listen
	if len(i.Listen) == 0 && i.ID != nil {
		i.Listen = genesis.Members[id].Addrs
	}
	i.derive(cfg.TickInterval(), k)
	lim := genesis.WireLimits()
	i.OpBytesMax, i.FrameBytes, i.ResultBytes = lim.OpBytesMax, lim.FrameBytesMax(), lim.ResultBytesMax
	return nil
}

// derive fills in what follows from the length of a tick.
func (i *configInfo) derive(tick time.Duration, k core.Config) {
	span := func(ticks int) string { return (time.Duration(ticks) * tick).String() }
	i.Tick = tick.String()
	i.Request, i.ViewMax = span(k.RequestTicks), span(k.RequestTicks<<k.BackoffMax)
	i.Status, i.Heartbeat = span(k.StatusTicks), span(k.HeartbeatTicks)
	i.Retransmit = (time.Duration(k.RequestTicks) * tick / 2).String()
	i.Interval, i.Window, i.InFlight = uint64(k.Interval), uint64(k.Window), k.InFlight
	i.Clients, i.ClientOpen = k.ClientsMax, core.ClientWindowMax
}

func (i *configInfo) archive() string {
	if i.Archive < 0 {
		return "none"
	}
	return fmt.Sprintf("up to %d bytes", i.Archive)
}

func (i *configInfo) table() table {
	id := "unknown: no key file that can be read"
	if i.ID != nil {
		id = strconv.FormatUint(uint64(*i.ID), 10)
	}
	return pairs(
		"directory", i.Dir, "genesis", i.Genesis, "cluster", printable(i.Cluster), "hash", i.Hash,
		"epoch", strconv.FormatUint(i.Epoch, 10), "replica", id, "application", i.App,
		"listen", strings.Join(i.Listen, " "), "replicas", strconv.Itoa(i.Replicas),
		"tolerates", fmt.Sprintf("f = %d", i.Faults), "quorum", strconv.Itoa(i.Quorum),
		"weak quorum", strconv.Itoa(i.Weak), "tick", i.Tick, "request timeout", i.Request,
		"view change", "up to "+i.ViewMax, "status every", i.Status, "heartbeat missed", "after "+i.Heartbeat,
		"client retransmits", "after "+i.Retransmit, "checkpoint every", fmt.Sprintf("%d batches", i.Interval),
		"window", fmt.Sprintf("%d batches", i.Window), "in flight", fmt.Sprintf("%d batches", i.InFlight),
		"operation", fmt.Sprintf("up to %d bytes", i.OpBytesMax), "result", fmt.Sprintf("up to %d bytes", i.ResultBytes),
		"frame", fmt.Sprintf("up to %d bytes", i.FrameBytes), "clients", strconv.Itoa(i.Clients),
		"open per client", strconv.Itoa(i.ClientOpen),
		"connected clients", fmt.Sprintf("up to %d, %d from one address", i.Connected, i.PerAddress),
		"archive", i.archive(),
	)
}
