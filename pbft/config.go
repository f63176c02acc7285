package pbft

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/multiformats/go-multiaddr"
	"github.com/pelletier/go-toml/v2"

	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/forensics"
	"github.com/quorate/quorate/pbft/node"
)

// The layout of a replica's directory.
const (
	// ConfigFile is the name of the configuration in a replica's directory.
	ConfigFile = "node.toml"
	// GenesisFile is the name under which a genesis is looked for.
	GenesisFile = "genesis.toml"
	// KeyFile is the name of the key in a replica's directory.
	KeyFile = "key"
	// DataDir is the directory, in a replica's, of its journal and state.
	DataDir = "data"
	// FreshFile lies in DataDir from InitData to the end of the first start. A
	// replica whose data is gone without it has forgotten what it signed.
	FreshFile = "FRESH"
)

// Bounds of a configuration.
const (
	// RequestTimeoutDefault is how long a client may wait to be served before the
	// primary is suspected, unless Config says otherwise.
	RequestTimeoutDefault = time.Second
	// RequestTimeoutMin keeps a tick, a hundredth of it, at a millisecond.
	RequestTimeoutMin = 100 * time.Millisecond
	// RequestTimeoutMax keeps a dead primary from being an outage.
	RequestTimeoutMax = 5 * time.Minute

	requestTicks   = 100      // ticks in a request timeout, as core.DefaultConfig counts them
	configBytesMax = 64 << 10 // a configuration file is a page of text
	listenMax      = 16       // addresses to listen on
	connectionsMax = 10_000   // of clients: each has buffers
)

var (
	// ErrConfig is in every error about a configuration file or its values.
	ErrConfig = errors.New("bad configuration")
	// ErrDataMissing says that a replica's data is gone. To start it empty would
	// make it forget what it signed, which is a Byzantine fault.
	ErrDataMissing = errors.New("data is missing")
)

// Config is what one replica must know to start. Every field but Dir has a
// working zero value.
type Config struct {
	// Dir is the replica's directory: it holds the key and the data.
	Dir string
	// Genesis is the path of the cluster's genesis; empty means GenesisFile in
	// Dir.
	Genesis string
	// Key is the path of the key file; empty means KeyFile in Dir.
	Key string
	// PlainKey says that the key file is not encrypted.
	PlainKey bool
	// Passphrase opens the key file. It is never read from a configuration file.
	Passphrase []byte
	// Listen are the addresses to listen on, as multiaddresses or host:port;
	// empty means those that the genesis announces.
	Listen []string
	// RequestTimeout is the one knob of time: how long a client may
	// wait before the primary is suspected. All other timers derive from it.
	// Zero means RequestTimeoutDefault. All replicas should have the same.
	RequestTimeout time.Duration
	// Rejoin says that the data is lost and known to be: the replica stays
	// silent until it can hurt nobody by what it forgot. It is never read from a
	// configuration file, for it is for one start only.
	Rejoin bool
	// ArchiveBytes bounds the archive that audits read: commit certificates, view
	// changes and new views of the past. Zero means forensics.ArchiveBytesDefault,
	// negative none.
	ArchiveBytes int64
	// ClientsMax bounds the connections of clients that are served at once, and
	// ClientsPerAddressMax those from one address (an IPv6 /64 is one). Zero means
	// 256, and 64 or a quarter of ClientsMax, whichever is more.
	ClientsMax, ClientsPerAddressMax int
	// Output, if set, takes what executed operations emit (app.Tx.Emit), in order
	// and numbered alike on all replicas. It is this replica's word alone: who acts
	// on it in the outside world subscribes to what f+1 replicas say (Client.Outputs).
	// Nothing executes while it runs, so it may neither wait for a result of the cluster
	// nor close the replica; and as everywhere in an application, runtime.Goexit, which
	// t.Fatal of a test calls, ends the replica with an error. After a restart a replica may deliver again what it
	// delivered since its last checkpoint; after a state transfer it may skip some.
	Output func(Output)
	// Interpose, if set, returns the transport that the node of its argument uses
	// in place of the transport there. It is for tests, which make a replica lie
	// through it; Start refuses it unless the genesis has PurposeTest. It is never
	// read from a configuration file.
	Interpose func(node.Config) node.Transport
	// Clock, if set, is the replica's wall clock in place of the system's. It is for
	// tests, as Interpose is, and Start refuses it where it refuses Interpose.
	Clock func() time.Time
	// Observe, if set, takes what the replica observes, in order, from one
	// goroutine: among it every message that it refused, and every proof that
	// another replica lied. It should not block: when it is slow, observations are
	// dropped, those of single messages first. It may not close the replica, for Close
	// waits for it; runtime.Goexit, which t.Fatal of a test calls, ends the replica with
	// an error.
	Observe func(core.Observation)
	// App names the application for commands that offer several. Start ignores
	// it.
	App string
	// LogLevel is for commands: debug, info, warn or error. Start ignores it.
	LogLevel string
}

// Output is one thing that an operation emitted to the outside world.
type Output = node.Output

// BadFrames counts the frames that a replica dropped for what they are.
type BadFrames = node.BadFrames

// Busy are the shares of time, 0 to 1, that the three stages of a replica work which do
// one thing after the other. One near 1 is what limits it.
type Busy = node.Busy

// configText is the layout of a configuration file.
type configText struct {
	Genesis        string       `toml:"genesis"`
	Key            string       `toml:"key"`
	PlainKey       bool         `toml:"plain_key"`
	Listen         []string     `toml:"listen"`
	RequestTimeout durationText `toml:"request_timeout"`
	ArchiveBytes   int64        `toml:"archive_bytes"`
	ClientsMax     int          `toml:"clients_max"`
	ClientsPerAddr int          `toml:"clients_per_address_max"`
	App            string       `toml:"app"`
	LogLevel       string       `toml:"log_level"`
}

// durationText is a duration as Go writes it: "1s", "250ms".
type durationText time.Duration

// UnmarshalText parses a duration.
func (d *durationText) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is no duration: write it as \"1s\" or \"250ms\"", text)
	}
	*d = durationText(v)
	return nil
}

// LoadConfig reads the configuration file at path and validates it. The
// directory of the file is the replica's, and relative paths in it are relative
// to that directory. Unknown keys are refused. The error tells every problem,
// with its line where it has one. With an error the Config is what could be read, to look
// for more that is wrong: the zero one if that is nothing.
func LoadConfig(path string) (Config, error) {
	data, err := readBounded(path, configBytesMax)
	if err != nil {
		return Config{}, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	c, err := ParseConfig(data, filepath.Dir(path))
	if err != nil {
		return c, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// ParseConfig is LoadConfig of a text that lies in directory dir.
func ParseConfig(data []byte, dir string) (Config, error) {
	var text configText
	err := toml.NewDecoder(bytes.NewReader(data)).DisallowUnknownFields().Decode(&text)
	var unknown *toml.StrictMissingError
	if err != nil && !errors.As(err, &unknown) {
		return Config{}, fmt.Errorf("%w: %w", ErrConfig, located(err))
	}
	c := Config{
		Dir:            dir,
		Genesis:        under(dir, text.Genesis),
		Key:            under(dir, text.Key),
		PlainKey:       text.PlainKey,
		Listen:         text.Listen,
		RequestTimeout: time.Duration(text.RequestTimeout),
		ArchiveBytes:   text.ArchiveBytes,
		ClientsMax:     text.ClientsMax, ClientsPerAddressMax: text.ClientsPerAddr,
		App:      text.App,
		LogLevel: text.LogLevel,
	}
	problems := []error{c.Validate()}
	if unknown != nil {
		problems = append(problems, unknownKeys(unknown))
	}
	return c, errors.Join(problems...)
}

// Validate reports everything that is wrong with c, at once. It reads no file.
func (c Config) Validate() error {
	var errs []error
	need := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("%w: "+format, append([]any{ErrConfig}, args...)...))
		}
	}
	need(c.Dir != "", "no directory: set Dir to where the replica keeps its key and data")
	t := c.requestTimeout()
	need(t >= RequestTimeoutMin && t <= RequestTimeoutMax, "request_timeout is %v, want %v to %v",
		t, RequestTimeoutMin, RequestTimeoutMax)
	need(c.ArchiveBytes <= 0 || c.ArchiveBytes >= forensics.ArchiveBytesMin,
		"archive_bytes is %d, want at least %d, 0 for the default or -1 for none", c.ArchiveBytes, forensics.ArchiveBytesMin)
	need(c.ClientsMax >= 0 && c.ClientsMax <= connectionsMax,
		"clients_max is %d, want 1 to %d, or 0 for the default", c.ClientsMax, connectionsMax)
	need(c.ClientsPerAddressMax >= 0 && c.ClientsPerAddressMax <= connectionsMax,
		"clients_per_address_max is %d, want 1 to %d, or 0 for the default", c.ClientsPerAddressMax, connectionsMax)
	need(len(c.Listen) <= listenMax, "listen has %d addresses, want at most %d", len(c.Listen), listenMax)
	for i, a := range c.Listen[:min(len(c.Listen), listenMax)] {
		need(isAddress(a), "listen[%d] is %q, want an address such as /ip4/127.0.0.1/tcp/7000 or 127.0.0.1:7000", i, a)
	}
	levels := []string{"", "debug", "info", "warn", "error"}
	need(slices.Contains(levels, c.LogLevel), "log_level is %q, want debug, info, warn or error", c.LogLevel)
	need(!c.PlainKey || len(c.Passphrase) == 0, "a passphrase for a plain key: drop one of the two")
	return errors.Join(errs...)
}

// checkPurpose refuses what a cluster that serves may not have.
func (c Config) checkPurpose(g *Genesis) error {
	if c.Interpose == nil && c.Clock == nil || g.Purpose == PurposeTest {
		return nil
	}
	what := "Interpose makes a replica lie, or its network fail"
	if c.Interpose == nil {
		what = "Clock makes a replica's clock wrong"
	}
	return fmt.Errorf("%w: %s, and %s is of a cluster that serves: use one that was made for "+
		"tests (purpose = %q, quorate init --test)", ErrConfig, what, c.GenesisPath(), PurposeTest)
}

// isAddress tells whether a is a multiaddress of a host and a TCP port, or
// host:port.
func isAddress(a string) bool {
	if strings.HasPrefix(a, "/") {
		addr, err := multiaddr.NewMultiaddr(a)
		return err == nil && len(addr) == 2 && addr[1].Protocol().Code == multiaddr.P_TCP
	}
	host, port, err := net.SplitHostPort(a)
	_, malformed := strconv.ParseUint(port, 10, 16)
	return err == nil && malformed == nil && host != ""
}

// GenesisPath returns where the genesis is.
func (c Config) GenesisPath() string { return either(c.Genesis, filepath.Join(c.Dir, GenesisFile)) }

// ArchivePath returns where the archive for audits is.
func (c Config) ArchivePath() string { return filepath.Join(c.DataPath(), archiveDir) }

// KeyPath returns where the key is.
func (c Config) KeyPath() string { return either(c.Key, filepath.Join(c.Dir, KeyFile)) }

// DataPath returns where the journal and the state are.
func (c Config) DataPath() string { return filepath.Join(c.Dir, DataDir) }

// TickInterval returns the length of the core's tick: a hundredth of the
// request timeout.
func (c Config) TickInterval() time.Duration { return c.requestTimeout() / requestTicks }

func (c Config) requestTimeout() time.Duration {
	if c.RequestTimeout == 0 {
		return RequestTimeoutDefault
	}
	return c.RequestTimeout
}

// InitData makes the empty data directory of a replica that never ran, in the
// replica's directory dir. It refuses to touch one that is there. When it returns, no power
// cut takes the directory away, without which a replica counts as one that lost its data;
// with an error it has left nothing behind.
func InitData(dir string) error {
	data := filepath.Join(dir, DataDir)
	if err := os.Mkdir(data, 0o700); err != nil {
		return err
	}
	fresh := filepath.Join(data, FreshFile)
	err := writeFresh(fresh)
	if err == nil {
		err = errors.Join(syncDir(data), syncDir(dir))
	}
	if err != nil {
		_ = os.Remove(fresh) // it may not be there
		return errors.Join(err, os.Remove(data))
	}
	return nil
}

func writeFresh(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString("This replica has not run yet. Do not remove or copy this file: see OPERATIONS, lost data.\n")
	return errors.Join(err, f.Sync(), f.Close())
}

// checkData tells whether this is the replica's first start: it never is where Rejoin says
// that the data is lost, for a copy of a directory that was made for the first one proves
// nothing. It refuses, with ErrDataMissing, to start one that may have run and whose data is
// gone, unless Rejoin says that this is known.
func (c Config) checkData() (fresh bool, err error) {
	data := c.DataPath()
	entries, err := os.ReadDir(data)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == FreshFile }) {
		return !c.Rejoin, nil
	}
	if len(entries) > 0 || c.Rejoin {
		return false, nil
	}
	return false, fmt.Errorf("%w: %s is missing or empty, and a replica that forgot what it signed is a faulty one: "+
		"mount the disk that has it, or, if it is lost, start with --rejoin (Config.Rejoin)", ErrDataMissing, data)
}

// readBounded reads a file of at most limit bytes.
func readBounded(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", path)
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("%s has %d bytes, want at most %d", path, info.Size(), limit)
	}
	return os.ReadFile(path)
}

// located adds the line to an error of the TOML decoder.
func located(err error) error {
	var at *toml.DecodeError
	if !errors.As(err, &at) {
		return err
	}
	line, column := at.Position()
	return fmt.Errorf("line %d, column %d: %w", line, column, err)
}

func unknownKeys(missing *toml.StrictMissingError) error {
	errs := make([]error, 0, len(missing.Errors))
	for i := range missing.Errors {
		line, _ := missing.Errors[i].Position()
		key := missing.Errors[i].Key()
		errs = append(errs, fmt.Errorf("%w: line %d: unknown key %q", ErrConfig, line, strings.Join(key, ".")))
	}
	return errors.Join(errs...)
}

// under returns path, relative to dir where it is relative; empty stays empty.
func under(dir, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

func either(s, otherwise string) string {
	if s != "" {
		return s
	}
	return otherwise
}
