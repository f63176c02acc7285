//go:build adversary

package main

import (
	"strings"

	"github.com/quorate/quorate/pbft"
	"github.com/quorate/quorate/pbft/node"
	"github.com/quorate/quorate/test/adversary"
	"github.com/quorate/quorate/test/adversary/puppet"
	"github.com/quorate/quorate/test/faultnet"
)

// interpose makes the replica of cfg play the strategy with this name, and says
// so. The replica refuses to start in a cluster that was not made for tests.
func interpose(c *console, cfg *pbft.Config, name string) error {
	entry, ok := adversary.Find(name)
	if !ok {
		var names []string
		for _, e := range adversary.Catalogue() {
			names = append(names, e.Name)
		}
		return usagef("--adversary is %q, want one of %s", name, strings.Join(names, ", "))
	}
	c.tell("WARNING: THIS REPLICA IS BYZANTINE ON PURPOSE. It plays %s: it %s.\n", entry.Name, entry.Does)
	c.tell("WARNING: it is for tests alone, as is this program. Nobody may rely on its cluster.\n")
	cfg.Interpose = func(nc node.Config) node.Transport {
		return puppet.New(nc, entry.New(), puppet.Options{
			Seed: nc.Core.Seed,
			Note: func(text string) { c.tell("adversary: %s\n", text) },
		})
	}
	return nil
}

// spoil lets the network and the clock of the replica of cfg do what the orders at
// path say, below whatever it plays. The replica refuses to start in a cluster that
// was not made for tests.
func spoil(c *console, cfg *pbft.Config, path string) error {
	faults, err := faultnet.Open(path)
	if err != nil {
		return usageError{err}
	}
	c.tell("WARNING: THE NETWORK AND THE CLOCK OF THIS REPLICA FAIL ON PURPOSE, as %s orders.\n", path)
	c.tell("WARNING: it is for tests alone, as is this program. Nobody may rely on its cluster.\n")
	above := cfg.Interpose
	cfg.Clock = faults.Now
	cfg.Interpose = func(nc node.Config) node.Transport {
		nc.Transport = faults.Interpose(nc)
		if above == nil {
			return nc.Transport
		}
		return above(nc)
	}
	return nil
}

// mayLie tells that this program has replicas that lie.
func mayLie() error { return nil }
