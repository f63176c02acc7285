package main

import (
	"errors"
	"runtime"

	"github.com/quorate/quorate/pbft"
	"github.com/quorate/quorate/test/cluster"
)

// takeOrders carries out the orders that come from the standard input, until that
// ends. From now on it alone writes to the standard output. end ends the profile that
// is being written, if one is.
//
// A read of a standard input that never ends cannot be interrupted: it ends with the
// process.
func takeOrders(c *console, replica *pbft.Replica) (end func()) {
	p := &profile{}
	go func() {
		err := cluster.ReadOrders(c.in, c.out, func(order, argument string) cluster.OrderOutcome {
			return carryOut(replica, p, order, argument)
		})
		if err != nil {
			c.tell("orders: %v\n", err)
		}
	}()
	return func() { _ = p.end() } // there may be none
}

// carryOut does what an order says.
func carryOut(replica *pbft.Replica, p *profile, order, argument string) (out cluster.OrderOutcome) {
	var err error
	switch order {
	case cluster.OrderStats:
		out.Stats = &cluster.Stats{Goroutines: runtime.NumGoroutine(), Counts: replica.Counts()}
	case cluster.OrderProfile:
		err = p.begin(argument)
	case cluster.OrderProfileEnd:
		err = p.end()
	default:
		err = errors.New("there is no such order")
	}
	if err != nil {
		out.Error = err.Error()
	}
	return out
}
