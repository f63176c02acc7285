package pbft

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// genesisBytesMax bounds the file: it has room for the largest cluster.
const genesisBytesMax = 1 << 20

// genesisText is the layout of the file.
type genesisText struct {
	Name    string        `toml:"name"`
	Epoch   uint64        `toml:"epoch"`
	Purpose string        `toml:"purpose"`
	Faults  *int          `toml:"faults"`
	Limits  limitsText    `toml:"limits"`
	Replica []replicaText `toml:"replica"`
}

type limitsText struct {
	CheckpointInterval uint64 `toml:"checkpoint_interval"`
	Window             uint64 `toml:"window"`
	BatchRequests      int    `toml:"batch_requests"`
	BatchBytes         int    `toml:"batch_bytes"`
	OpBytes            int    `toml:"op_bytes"`
	ResultBytes        int    `toml:"result_bytes"`
	Clients            int    `toml:"clients"`
}

type replicaText struct {
	ID    *int64   `toml:"id"`
	Key   string   `toml:"key"`
	Addrs []string `toml:"addrs"`
}

// LoadGenesis reads the genesis at path; see ParseGenesis.
func LoadGenesis(path string) (*Genesis, error) {
	data, err := readBounded(path, genesisBytesMax)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrGenesis, err)
	}
	g, err := ParseGenesis(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return g, nil
}

// ParseGenesis reads and validates a genesis, in TOML. Limits that it does not
// mention have their defaults. Unknown keys are refused. The error, an
// ErrGenesis, tells every problem at once, and the line of those that are not
// about the meaning.
func ParseGenesis(data []byte) (*Genesis, error) {
	if len(data) > genesisBytesMax {
		return nil, fmt.Errorf("%w: %d bytes, want at most %d", ErrGenesis, len(data), genesisBytesMax)
	}
	text := genesisText{Limits: limitsText(DefaultGenesisLimits())}
	err := toml.NewDecoder(bytes.NewReader(data)).DisallowUnknownFields().Decode(&text)
	var unknown *toml.StrictMissingError
	if err != nil && !errors.As(err, &unknown) {
		return nil, fmt.Errorf("%w: %w", ErrGenesis, located(err))
	}
	var problems problemList
	for _, key := range unknownGenesisKeys(unknown) {
		problems.add("%s", key)
	}
	g := text.genesis(&problems)
	problems = append(problems, g.problems(true)...)
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return g, nil
}

// noID stands for an id that a genesis cannot hold. It is reported when it is
// found, as is a key that is none and becomes zero.
const noID wire.ReplicaID = math.MaxUint32

// genesis converts the text. What cannot be said in a Genesis is a problem.
func (text genesisText) genesis(problems *problemList) *Genesis {
	g := &Genesis{Name: text.Name, Epoch: text.Epoch, Purpose: text.Purpose, Limits: GenesisLimits(text.Limits)}
	if text.Faults != nil {
		g.Faults = *text.Faults
		if g.Faults < 1 {
			problems.add("faults is %d, want at least 1: leave it out for as many as the replicas tolerate", g.Faults)
			g.Faults = 0
		}
	}
	for i, r := range text.Replica {
		where := fmt.Sprintf("replica number %d of the file", i+1)
		m := GenesisReplica{ID: noID, Addrs: r.Addrs}
		switch {
		case r.ID == nil:
			problems.add("%s has no id: number the replicas from 0", where)
		case *r.ID < 0 || *r.ID >= math.MaxUint32:
			problems.add("%s has id %d: number the replicas from 0", where, *r.ID)
		default:
			m.ID = wire.ReplicaID(*r.ID)
			where = fmt.Sprintf("replica %d", m.ID)
		}
		key, err := crypto.ParsePublicKeyHex(r.Key)
		if err != nil {
			problems.add("%s: key %q: %w: use the public key that was printed when the key was made", where, clip(r.Key), err)
		}
		m.Key = key
		g.Members = append(g.Members, m)
	}
	g.order()
	return g
}

func unknownGenesisKeys(missing *toml.StrictMissingError) []string {
	if missing == nil {
		return nil
	}
	var keys []string
	for i := range missing.Errors {
		line, _ := missing.Errors[i].Position()
		keys = append(keys, fmt.Sprintf("line %d: unknown key %q: remove or correct it",
			line, clip(strings.Join(missing.Errors[i].Key(), "."))))
	}
	return keys
}

// clip shortens what an error quotes.
func clip(s string) string {
	const most = 100
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}

// Encode returns the genesis as a file, with comments. ParseGenesis of it gives
// an equal Genesis, if it is valid.
func (g *Genesis) Encode() []byte {
	var b bytes.Buffer
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# The genesis of a cluster: the same file for all its replicas and clients.")
	line("# Its hash names the cluster: %s.", g.Hash())
	line("# The hash covers everything but addrs, which alone may be changed later.")
	line("")
	line("name = %s", strconv.Quote(g.Name))
	line("epoch = %d", g.Epoch)
	if g.Purpose != "" {
		line("purpose = %s # its replicas may be made to lie: never use it to serve", strconv.Quote(g.Purpose))
	}
	if g.Faults == 0 {
		line("# faults = %d # f: as many of %d replicas may lie", g.faults(), g.Replicas())
	} else {
		line("faults = %d # f: as many of %d replicas may lie", g.Faults, g.Replicas())
	}
	line("")
	line("[limits]")
	l := g.Limits
	line("checkpoint_interval = %d # batches between two checkpoints", l.CheckpointInterval)
	line("window = %d # batches above the last stable checkpoint", l.Window)
	line("batch_requests = %d", l.BatchRequests)
	line("batch_bytes = %d", l.BatchBytes)
	line("op_bytes = %d # of an operation", l.OpBytes)
	line("result_bytes = %d # of its result", l.ResultBytes)
	line("clients = %d # keys that the cluster remembers", l.Clients)
	for _, r := range g.Members {
		line("")
		line("[[replica]]")
		line("id = %d", r.ID)
		line("key = \"%s\"", r.Key)
		quoted := make([]string, 0, len(r.Addrs))
		for _, a := range r.Addrs {
			quoted = append(quoted, strconv.Quote(a))
		}
		line("addrs = [%s]", strings.Join(quoted, ", "))
	}
	return b.Bytes()
}
