package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/quorate/quorate/app"
	"github.com/quorate/quorate/network"
	"github.com/quorate/quorate/pbft"
	"github.com/quorate/quorate/pbft/wire"
)

// oneLine joins the lines of an error.
func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// brief says in a few words why a replica cannot be reached: which address, and
// what happens there.
func brief(err error) string {
	var (
		other    *network.GenesisError
		stranger sec.ErrPeerIDMismatch
		dial     *swarm.DialError
	)
	switch {
	case errors.As(err, &other):
		return fmt.Sprintf("its genesis is %s, this one is %s", other.Theirs.Short(), other.Ours.Short())
	case errors.As(err, &stranger):
		return "another key answers there"
	case errors.As(err, &dial) && len(dial.DialErrors) > 0:
		var ways []string
		for _, d := range dial.DialErrors {
			ways = append(ways, endpoint(d.Address)+": "+rootCause(d.Cause))
		}
		return strings.Join(ways, "; ")
	case errors.Is(err, syscall.ECONNRESET):
		return "it ended the connection: perhaps it has as many clients as it may (clients_max); its log says so"
	default:
		return oneLine(err)
	}
}

// endpoint returns host:port of an address, where it has them.
func endpoint(addr ma.Multiaddr) string {
	var host, port string
	ma.ForEach(addr, func(c ma.Component) bool {
		if c.Protocol().Code == ma.P_TCP {
			port = c.Value()
		} else if host == "" {
			host = c.Value()
		}
		return true
	})
	if host == "" || port == "" {
		return addr.String()
	}
	return net.JoinHostPort(host, port)
}

func rootCause(err error) string {
	var (
		errno   syscall.Errno
		timeout net.Error
	)
	switch {
	case errors.As(err, &errno):
		return errno.Error()
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "no answer"
	default:
		return oneLine(err)
	}
}

// toldError is an error in words for people.
type toldError struct {
	words string
	err   error
}

// Error returns the words.
func (e toldError) Error() string { return e.words }

// Unwrap returns the error behind them.
func (e toldError) Unwrap() error { return e.err }

// advise tells what went wrong in words for people, and what to do about it.
func advise(err error, genesis *pbft.Genesis, timeout time.Duration) error {
	var unfinished *pbft.UnfinishedError
	if !errors.As(err, &unfinished) {
		if errors.Is(err, pbft.ErrSessionOld) {
			return toldError{"another command uses the same --key: one at a time may; or the cluster knows as many keys as " +
				"it can, and others began later, by this machine's clock; look whether this operation was executed, and run " +
				"it again if not", err}
		}
		return err
	}
	words := fmt.Sprintf("no result yet, after %v", timeout)
	if errors.Is(unfinished.Err, context.Canceled) {
		words = "no result yet, and interrupted"
	}
	words += fmt.Sprintf(": %d replicas replied", unfinished.Replies)
	if unfinished.Identity.Number != 0 {
		words += "; the operation may still be executed"
	}
	if unfinished.Refused == wire.RefusalOverload {
		words += "; more than f replicas had no room for it: they are overloaded, or this machine's clock is ahead of theirs"
	}
	return toldError{words + unreached(unfinished.Links, genesis), err}
}

// adviseLoad tells why a load could not be put on a cluster in words for people.
func adviseLoad(err error, genesis *pbft.Genesis) error {
	err = mismatched(err, "kv")
	var unfinished *pbft.UnfinishedError
	if !errors.As(err, &unfinished) {
		return err
	}
	before, after, _ := strings.Cut(err.Error(), unfinished.Error())
	return toldError{before + "no answer in time" + after + unreached(unfinished.Links, genesis), err}
}

// unreached tells which replicas cannot be reached, on a line each, and what to do where
// others answer in their place.
func unreached(links []pbft.LinkError, genesis *pbft.Genesis) string {
	words, foreign := "", false
	for _, l := range links {
		words += fmt.Sprintf("\nreplica %d cannot be reached: %s", l.Replica,
			strings.TrimPrefix(brief(l.Err), "cannot be reached: "))
		var (
			other    *network.GenesisError
			stranger sec.ErrPeerIDMismatch
		)
		foreign = foreign || errors.As(l.Err, &other) || errors.As(l.Err, &stranger)
	}
	if foreign {
		words += fmt.Sprintf("\nreplicas of another genesis answer at these addresses; this one's hash is %s: "+
			"give theirs with --genesis", genesis.Hash())
	}
	return words
}

// fits refuses, as a bad command line, an operation that the application would
// refuse whatever its state.
func fits(machine app.Validator, op []byte) error {
	if err := machine.Validate(op); err != nil {
		return usageError{err}
	}
	return nil
}

// mismatched adds to a refusal of an operation that fits its application that
// the cluster may run another.
func mismatched(err error, name string) error {
	var refused *pbft.RefusedError
	if !errors.As(err, &refused) || refused.Reason != wire.RefusalInvalid {
		return err
	}
	return fmt.Errorf("%w\ndoes this cluster run the %s application?", err, name)
}
