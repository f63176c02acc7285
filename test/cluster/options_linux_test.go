package cluster

import (
	"net"
	"strings"
	"testing"
)

// TestOthersDoNotTakeThePortsOfACluster has another program listen on them before the replicas
// do, as most do: at 127.0.0.1.
func TestOthersDoNotTakeThePortsOfACluster(t *testing.T) {
	addrs, err := freeAddrs(4)
	must(t, err)
	for _, addr := range addrs {
		parts := strings.Split(addr, "/") // /ip4/HOST/tcp/PORT
		for _, host := range []string{loopbackHost, parts[2]} {
			l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp4", net.JoinHostPort(host, parts[4]))
			if err != nil && host == loopbackHost {
				continue // somebody listens there already
			}
			must(t, err)
			defer l.Close() //nolint:errcheck // the end of a test
		}
	}
}
