package faultnet

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"github.com/quorate/quorate/pbft/wire"
)

// Bounds of Orders.
const (
	ordersBytesMax = 64 << 10
	rulesMax       = 64 // in each direction
	delayMax       = time.Minute
	clockMax       = 365 * 24 * time.Hour
)

// ErrOrders is in every error about Orders.
var ErrOrders = errors.New("bad orders to the network")

// Orders say what goes wrong until the next ones. In a file they are TOML:
//
//	number = 3          # of these orders; Seen names it when they are in force
//	seed = 7            # chooses which frames a fault hits
//	clock = "-1h"       # how far the wall clock is off
//
//	[[send]]            # frames that the replica sends
//	peers = ["R0", "clients"]
//	kinds = ["prepare", "commit"]
//	drop = 0.3
//
//	[[hear]]            # frames that it should hear
//	delay_max = "120ms"
//
// Of the rules of a direction the first that fits a frame decides what becomes of
// it, and what no rule fits passes. The zero value spoils nothing.
type Orders struct {
	Number uint64   `toml:"number"`
	Seed   uint64   `toml:"seed,omitempty"`
	Clock  Duration `toml:"clock,omitempty"`
	Send   []Rule   `toml:"send,omitempty"`
	Hear   []Rule   `toml:"hear,omitempty"`
}

// Rule is what becomes of some frames.
type Rule struct {
	// Peers are whom the frames go to or come from; none means everybody.
	Peers []Peer `toml:"peers,omitempty"`
	// Kinds are those of the messages in the frames; none means all.
	Kinds []Kind `toml:"kinds,omitempty"`
	// Above, if not zero, leaves the rule the prepares and commits for higher numbers
	// alone. So networks can be cut at one number, whenever each of them obeys.
	Above wire.Seq `toml:"above,omitempty"`
	// Drop, Duplicate and Damage are probabilities: of being lost, of coming twice,
	// and of one flipped bit.
	Drop      float64 `toml:"drop,omitempty"`
	Duplicate float64 `toml:"duplicate,omitempty"`
	Damage    float64 `toml:"damage,omitempty"`
	// DelayMin and DelayMax bound the delay of each copy; a range reorders.
	DelayMin Duration `toml:"delay_min,omitempty"`
	DelayMax Duration `toml:"delay_max,omitempty"`
	// Rate, if not zero, is how many bytes a second all these frames together may
	// have. What is sent waits, and is lost where too much does; what is heard waits
	// at its sender, for nothing more is read of the stream it comes on.
	Rate int `toml:"rate,omitempty"`
}

// Duration is a time.Duration that is written like one: "1h", "120ms".
type Duration time.Duration

// MarshalText writes the duration.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads a duration.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is no duration: write it as \"1h\" or \"120ms\"", text)
	}
	*d = Duration(v)
	return nil
}

// Peer is a replica by its number, or Clients.
type Peer int64

// Clients are all clients together.
const Clients Peer = -1

// String returns R0 and up, or clients.
func (p Peer) String() string {
	if p == Clients {
		return "clients"
	}
	return "R" + strconv.FormatInt(int64(p), 10)
}

// MarshalText writes what String returns.
func (p Peer) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads what String returns.
func (p *Peer) UnmarshalText(text []byte) error {
	if string(text) == Clients.String() {
		*p = Clients
		return nil
	}
	number, replica := strings.CutPrefix(string(text), "R")
	id, err := strconv.ParseUint(number, 10, 16)
	if !replica || err != nil {
		return fmt.Errorf("%q is no peer: want R0, R1 and so on, or clients", text)
	}
	*p = Peer(id) //nolint:gosec // it has 16 bits
	return nil
}

// Kind is a wire.Kind that is written as its name.
type Kind wire.Kind

// MarshalText writes the name.
func (k Kind) MarshalText() ([]byte, error) { return []byte(wire.Kind(k).String()), nil }

// UnmarshalText reads a name.
func (k *Kind) UnmarshalText(text []byte) error {
	var names []string
	for kind := wire.KindRequest; kind <= wire.KindLast; kind++ {
		if kind.String() == string(text) {
			*k = Kind(kind)
			return nil
		}
		names = append(names, kind.String())
	}
	return fmt.Errorf("%q is no kind of message: want one of %s", text, strings.Join(names, ", "))
}

// Parse reads Orders. The error, an ErrOrders, says what is wrong, and in which
// line.
func Parse(text []byte) (Orders, error) {
	var o Orders
	if len(text) > ordersBytesMax {
		return o, fmt.Errorf("%w: %d bytes, want at most %d", ErrOrders, len(text), ordersBytesMax)
	}
	err := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields().Decode(&o)
	if err != nil {
		return Orders{}, fmt.Errorf("%w: %w", ErrOrders, located(err))
	}
	if err := o.Validate(); err != nil {
		return Orders{}, err
	}
	return o, nil
}

// located adds lines to an error of the TOML decoder.
func located(err error) error {
	var unknown *toml.StrictMissingError
	if errors.As(err, &unknown) {
		var errs []error
		for i := range unknown.Errors {
			line, _ := unknown.Errors[i].Position()
			errs = append(errs, fmt.Errorf("line %d: there is no %q: drop it, or write it as package faultnet does",
				line, strings.Join(unknown.Errors[i].Key(), ".")))
		}
		return errors.Join(errs...)
	}
	var at *toml.DecodeError
	if errors.As(err, &at) {
		line, column := at.Position()
		return fmt.Errorf("line %d, column %d: %w", line, column, err)
	}
	return err
}

// Validate reports everything that is wrong with o, at once.
func (o Orders) Validate() error {
	var errs []error
	need := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("%w: "+format, append([]any{ErrOrders}, args...)...))
		}
	}
	clock := time.Duration(o.Clock)
	need(clock.Abs() <= clockMax, "clock is %s, want at most %s either way", clock, clockMax)
	for name, rules := range map[string][]Rule{"send": o.Send, "hear": o.Hear} {
		need(len(rules) <= rulesMax, "%s has %d rules, want at most %d", name, len(rules), rulesMax)
		for i, r := range rules {
			errs = append(errs, r.problems(fmt.Sprintf("%s[%d]", name, i))...)
		}
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

// problems returns what is wrong with the rule of a name.
func (r Rule) problems(name string) []error {
	var errs []error
	for what, p := range map[string]float64{"drop": r.Drop, "duplicate": r.Duplicate, "damage": r.Damage} {
		if !(p >= 0 && p <= 1) {
			errs = append(errs, fmt.Errorf("%w: %s: %s is %v, want a probability, 0 to 1", ErrOrders, name, what, p))
		}
	}
	least, most := time.Duration(r.DelayMin), time.Duration(r.DelayMax)
	if least < 0 || most > delayMax || most < least {
		errs = append(errs, fmt.Errorf("%w: %s: delay_min is %s and delay_max %s, want 0 to %s, and delay_max no less",
			ErrOrders, name, least, most, delayMax))
	}
	if r.Rate < 0 {
		errs = append(errs, fmt.Errorf("%w: %s: rate is %d, want bytes a second, or 0 for no limit", ErrOrders, name, r.Rate))
	}
	return errs
}

// Write puts o where a Network finds it: all of it, or nothing.
func (o Orders) Write(path string) error {
	if err := o.Validate(); err != nil {
		return err
	}
	text, err := toml.Marshal(o)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrOrders, err)
	}
	return replace(path, text)
}

// replace writes a file that is never seen half.
func replace(path string, text []byte) error {
	next := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".next")
	if err := os.WriteFile(next, text, 0o600); err != nil {
		return err
	}
	return os.Rename(next, path)
}

// fits tells whether the rule is about frames of a flow that vote for a number, 0
// for frames that are no votes.
func (r *Rule) fits(f Flow, number wire.Seq) bool {
	return (r.Above == 0 || number > r.Above) && (len(r.Peers) == 0 || slices.Contains(r.Peers, f.Peer)) &&
		(len(r.Kinds) == 0 || slices.Contains(r.Kinds, f.Kind))
}
