package pbft

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/multiformats/go-multiaddr"

	"github.com/quorate/quorate/app"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// Bounds of a genesis.
const (
	nameBytesMax    = 64
	replicasMin     = 4   // fewer tolerate no lie
	replicasMax     = 128 // votes grow with the square
	addrsMax        = 8   // of one replica
	addrBytesMax    = 256
	intervalMax     = 4096
	windowMax       = 16384
	batchRequestMax = 1 << 16
	batchBytesMin   = 1 << 10
	batchBytesMax   = 16 << 20
	opBytesMax      = 1 << 20 // half of what a client may have open
	// resultBytesMax bounds what may be promised of results: each is kept in a value. That
	// the replica needs some bytes of it is not counted, for the default leaves none.
	resultBytesMax = app.ValueBytesMax
	clientsMax     = 10_000_000
	// windowBytesMax bounds a window of full batches: replicas hold it in memory.
	windowBytesMax = 384 << 20
	// frameBytesMax bounds every message: a journal keeps it as one record.
	frameBytesMax = 32 << 20
)

// problemList collects what is wrong with a genesis.
type problemList []error

func (p *problemList) add(format string, args ...any) {
	*p = append(*p, fmt.Errorf("%w: "+format, append([]any{ErrGenesis}, args...)...))
}

func (p *problemList) need(ok bool, format string, args ...any) {
	if !ok {
		p.add(format, args...)
	}
}

// Validate reports everything that is wrong with g, at once; each problem names
// the replica or field, and what to do. It changes nothing.
func (g *Genesis) Validate() error { return errors.Join(g.problems(false)...) }

// problems leaves out, of a genesis that was just parsed, what parsing reported.
func (g *Genesis) problems(parsed bool) problemList {
	var p problemList
	p.need(isClusterName(g.Name), "name is %q, want 1 to %d of a-z, 0-9 and -", clip(g.Name), nameBytesMax)
	p.need(g.Epoch <= wire.NumberMax, "epoch is %d, want at most %d", g.Epoch, uint64(wire.NumberMax))
	p.need(g.Purpose == "" || g.Purpose == PurposeTest,
		"purpose is %q, want %q, or none for a cluster that serves", clip(g.Purpose), PurposeTest)
	n := g.Replicas()
	p.need(n >= replicasMin, "there are %d replicas, want at least %d: fewer cannot tolerate a faulty one", n, replicasMin)
	p.need(n <= replicasMax, "there are %d replicas, want at most %d", n, replicasMax)
	p.need(g.Faults == 0 || g.Faults > 0 && g.Faults <= n && n >= 3*g.Faults+1,
		"faults is %d, but %d replicas tolerate at most %d (n ≥ 3f+1): lower it or add replicas",
		g.Faults, n, max(0, (n-1)/3))
	g.Limits.check(&p)
	if len(p) == 0 { // or else the sum means nothing
		longest := g.WireLimits().FrameBytesMax()
		p.need(longest <= frameBytesMax, "messages of up to %d bytes follow from the limits, want at most %d: "+
			"lower window or batch_bytes", longest, frameBytesMax)
	}
	if n > replicasMax {
		return p // to list the rest helps nobody
	}
	g.checkIDs(&p, parsed)
	g.checkKeys(&p, parsed)
	g.checkAddrs(&p)
	return p
}

func isClusterName(s string) bool {
	return s != "" && len(s) <= nameBytesMax && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == "" &&
		!strings.ContainsFunc(s, func(r rune) bool { return r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') })
}

func (l GenesisLimits) check(p *problemList) {
	before := len(*p)
	within := func(name string, v, low, high int) {
		p.need(v >= low && v <= high, "limits: %s is %d, want %d to %d", name, v, low, high)
	}
	p.need(l.CheckpointInterval >= 1 && l.CheckpointInterval <= intervalMax,
		"limits: checkpoint_interval is %d, want 1 to %d", l.CheckpointInterval, intervalMax)
	p.need(l.Window <= windowMax, "limits: window is %d, want at most %d", l.Window, windowMax)
	p.need(l.Window/2 >= l.CheckpointInterval, "limits: window is %d, want at least twice checkpoint_interval, "+
		"which is %d: or the order would stop at every checkpoint", l.Window, l.CheckpointInterval)
	within("batch_requests", l.BatchRequests, 1, batchRequestMax)
	within("batch_bytes", l.BatchBytes, batchBytesMin, batchBytesMax)
	within("op_bytes", l.OpBytes, 1, opBytesMax)
	within("result_bytes", l.ResultBytes, 1, resultBytesMax)
	within("clients", l.Clients, 1, clientsMax)
	if len(*p) > before {
		return
	}
	bytes := l.Window * (unsigned(l.BatchBytes) + unsigned(l.OpBytes) + wire.InputBytesMax)
	p.need(bytes <= windowBytesMax, "limits: a window of %d full batches takes %d bytes of memory, want at most %d: "+
		"lower window or batch_bytes", l.Window, bytes, windowBytesMax)
}

// checkIDs reports numbers that are not exactly 0 to n−1, in order.
func (g *Genesis) checkIDs(p *problemList, parsed bool) {
	n := g.Replicas()
	count := make(map[wire.ReplicaID]int, n)
	for i, r := range g.Members {
		if parsed && r.ID == noID {
			continue
		}
		count[r.ID]++
		p.need(int64(r.ID) < int64(n), "replica %d: there are %d replicas, so ids are 0 to %d", r.ID, n, n-1)
		p.need(i == 0 || g.Members[i-1].ID <= r.ID, "replica %d comes after replica %d: put them in order",
			r.ID, g.Members[max(0, i-1)].ID)
	}
	for i := range n {
		id := wire.ReplicaID(i) //nolint:gosec // below replicasMax
		p.need(count[id] > 0, "no replica has id %d: number them 0 to %d", id, n-1)
		p.need(count[id] < 2, "%d replicas have id %d: number them 0 to %d", count[id], id, n-1)
	}
}

func (g *Genesis) checkKeys(p *problemList, parsed bool) {
	owner := make(map[crypto.PublicKey]wire.ReplicaID, g.Replicas())
	for _, r := range g.Members {
		if parsed && r.Key == (crypto.PublicKey{}) {
			continue
		}
		if _, err := crypto.ParsePublicKey(r.Key[:]); err != nil {
			p.add("replica %d: key: %w: make another one", r.ID, err)
			continue
		}
		other, taken := owner[r.Key]
		p.need(!taken, "replicas %d and %d have the same key %s: each must have its own", other, r.ID, r.Key.Short())
		owner[r.Key] = r.ID
	}
}

func (g *Genesis) checkAddrs(p *problemList) {
	owner := make(map[string]wire.ReplicaID)
	for _, r := range g.Members {
		p.need(len(r.Addrs) > 0, "replica %d has no addrs: say where it can be reached, as in /ip4/192.0.2.1/tcp/4001", r.ID)
		p.need(len(r.Addrs) <= addrsMax, "replica %d has %d addrs, want at most %d", r.ID, len(r.Addrs), addrsMax)
		for _, a := range r.Addrs[:min(len(r.Addrs), addrsMax)] {
			canonical, err := parseAddr(a)
			if err != nil {
				p.add("replica %d: address %q %w: write it as /ip4/192.0.2.1/tcp/4001 or /dns/r0.example.org/tcp/4001",
					r.ID, clip(a), err)
				continue
			}
			other, taken := owner[canonical]
			p.need(!taken, "replicas %d and %d have the same address %s: each must have its own", other, r.ID, a)
			owner[canonical] = r.ID
		}
	}
}

// parseAddr checks that s is a host and a TCP port, and returns its one
// spelling.
func parseAddr(s string) (string, error) {
	if len(s) > addrBytesMax {
		return "", fmt.Errorf("has %d bytes, more than %d", len(s), addrBytesMax)
	}
	a, err := multiaddr.NewMultiaddr(s)
	if err != nil {
		return "", fmt.Errorf("is no multiaddress (%w)", err)
	}
	if len(a) != 2 || a[1].Protocol().Code != multiaddr.P_TCP {
		return "", errors.New("is not one host and one tcp port")
	}
	if a[1].Value() == "0" {
		return "", errors.New("has port 0, which nobody can connect to")
	}
	host := a[0].Value()
	switch a[0].Protocol().Code {
	case multiaddr.P_IP4, multiaddr.P_IP6:
		if ip, err := netip.ParseAddr(host); err != nil || ip.IsUnspecified() || ip.IsMulticast() {
			return "", fmt.Errorf("has the host %s, which nobody can connect to", host)
		}
	case multiaddr.P_DNS, multiaddr.P_DNS4, multiaddr.P_DNS6:
		if !isHostName(host) {
			return "", errors.New("has a host that is no name")
		}
	default:
		return "", errors.New("begins with none of ip4, ip6, dns, dns4 and dns6")
	}
	return strings.ToLower(a.String()), nil
}

func isHostName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		return !letter && (r < '0' || r > '9') && r != '.' && r != '-' && r != '_'
	})
}
