package faultnet

import (
	"context"
	"fmt"
	"os"
	"time"
)

const (
	// followEvery is how often orders are looked for.
	followEvery = 10 * time.Millisecond
	// tellEvery is how many looks there are between two of the same orders after
	// which the counts are told.
	tellEvery = 5
)

// follow obeys the orders in the file, whenever they change, and tells what is
// seen, until ctx is done. The error says that it could not be told.
func (n *Network) follow(ctx context.Context) error {
	ticker := time.NewTicker(followEvery)
	defer ticker.Stop()
	var told uint64
	for look := 0; ; look++ {
		changed := n.look()
		if changed || look%tellEvery == 0 {
			if err := n.tell(&told); err != nil {
				return fmt.Errorf("faultnet: %w", err)
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return n.tell(&told)
		}
	}
}

// look reads the file, obeys or refuses what is new there, and tells whether there
// was anything. Follow alone calls it, once it runs.
func (n *Network) look() bool {
	text, err := os.ReadFile(n.path)
	if err != nil {
		text = []byte(err.Error()) // which is no orders, so it is told once
	}
	if string(text) == n.text {
		return false
	}
	n.text = string(text)
	var orders Orders
	if err == nil {
		orders, err = Parse(text)
	}
	if err == nil {
		err = n.known(orders)
	}
	if err != nil {
		n.refuse(fmt.Errorf("%s: %w", n.path, err))
		return true
	}
	n.obey(orders)
	return true
}

// tell writes what is seen, if it is not what was told.
func (n *Network) tell(told *uint64) error {
	n.mu.Lock()
	revision := n.mu.revision
	n.mu.Unlock()
	if revision == *told {
		return nil
	}
	*told = revision
	return n.Seen().write(n.path)
}
