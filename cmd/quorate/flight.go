package main

import (
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/quorate/quorate/pbft"
)

// takeDumpSignals takes SIGUSR1 from now on, which would end the process. From start on
// the replica writes its flight recorder whenever one comes, or has come, until end.
func takeDumpSignals(c *console) (start func(replica *pbft.Replica), end func()) {
	asked, over := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(asked, syscall.SIGUSR1)
	var dumping sync.WaitGroup
	start = func(replica *pbft.Replica) {
		dumping.Go(func() {
			for {
				select {
				case <-over:
					return
				case <-asked:
					c.dumpFlight(replica)
				}
			}
		})
	}
	return start, func() {
		signal.Stop(asked)
		close(over)
		dumping.Wait()
	}
}

// dumpFlight has a replica write its flight recorder, and tells where.
func (c *console) dumpFlight(replica *pbft.Replica) {
	path, err := replica.DumpFlight()
	if err != nil {
		c.tell("what the replica did lately could not be written: %v\n", err)
		return
	}
	c.tell("what the replica did lately is in %s\n", path)
}
