package golden

import (
	"encoding/binary"
	"fmt"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
	"github.com/quorate/quorate/test/sim"
)

// wallStart is the wall clock at the begin.
const wallStart = wire.Time(1_700_000_000_000_000_000)

// begin makes a new cluster and starts its replicas.
func (w *World) begin(c call) error {
	n := c.count("n", 4)
	quorum, err := core.NewQuorumWithFaults(n, c.count("f", (n-1)/3))
	if err != nil {
		return err
	}
	*w = World{
		quorum: quorum, scheme: sim.NewScheme(), clients: map[string]*client{},
		domain: crypto.Domain{Cluster: crypto.Sum([]byte("golden"))},
		names:  newNames(), shown: map[string]bool{}, config: newConfig(c, quorum),
		truth: truth{
			histories: map[wire.Seq]crypto.Digest{}, times: map[wire.Seq]wire.Time{}, ran: map[string]wire.Seq{},
			signed: map[string]crypto.Digest{}, changes: map[string]crypto.Digest{},
			commits: map[vote][]wire.ReplicaID{},
		},
		byHand:   c.flag("by-hand"),
		manual:   c.flag("by-hand") || c.options["snapshots"] == "manual",
		tickTime: wire.Time(c.count("us", 10_000)) * 1000,
	}
	signers, err := w.keys(n)
	if err != nil {
		return err
	}
	w.names.know(stateDigest(0, crypto.Digest{}, false), "S0")
	for i, signer := range signers {
		r := &replica{w: w, id: wire.ReplicaID(i), signer: signer, app: newState()} //nolint:gosec // a cluster is small
		w.replicas = append(w.replicas, r)
	}
	if w.byHand {
		return nil
	}
	for _, r := range w.replicas {
		if err := r.start(); err != nil {
			return err
		}
	}
	w.stabilize()
	w.lines = nil
	return nil
}

// newConfig reads the options of the command cluster. The request timeout is so
// short that no jitter is added to it.
func newConfig(c call, quorum core.Quorum) core.Config {
	cfg := core.DefaultConfig(0, quorum)
	cfg.Interval = wire.Seq(c.count("K", 4))                       //nolint:gosec // scripts are ours
	cfg.Window = wire.Seq(c.count("L", max(8, 2*c.count("K", 4)))) //nolint:gosec // scripts are ours
	cfg.InFlight = c.count("W", 2)
	cfg.BatchRequestsMax = c.count("batch", 8)
	cfg.BatchBytesMax = c.count("bytes", 1<<20)
	cfg.RequestTicks = c.count("T", 10)
	cfg.PaceTicks = c.count("pace", 10) // as T: the rules of pace rest
	cfg.BackoffMax = c.count("backoff", 3)
	cfg.StatusTicks = c.count("status", 5)
	cfg.HeartbeatTicks = c.count("heartbeat", 20)
	cfg.CatchUpTicks = c.count("catchup", 5)
	cfg.ClientsMax = c.count("clients", 100)
	cfg.QueueRequestsMax = c.count("queue", 8)
	cfg.ArchiveBytesMax = c.count("archive", 1<<20)
	cfg.Seed = uint64(c.count("jitter", 0)) //nolint:gosec // not negative
	cfg.Inputs = c.flag("inputs")
	cfg.StateZero = stateDigest(0, crypto.Digest{}, false)
	return cfg
}

// keys makes the keys of n replicas and the opener that knows them.
func (w *World) keys(n int) ([]crypto.Signer, error) {
	var signers []crypto.Signer
	var public []crypto.PublicKey
	for i := range n {
		signer, err := w.signer(uint64(i + 1)) //nolint:gosec // not negative
		if err != nil {
			return nil, err
		}
		signers, public = append(signers, signer), append(public, signer.Public())
	}
	w.opener = wire.NewOpener(w.domain, public, wire.DefaultLimits(n), w.scheme)
	return signers, nil
}

func (w *World) signer(number uint64) (crypto.Signer, error) {
	var seed [crypto.SeedSize]byte
	binary.BigEndian.PutUint64(seed[:], number)
	key, err := crypto.NewPrivateKey(seed[:])
	if err != nil {
		return nil, fmt.Errorf("golden: key %d: %w", number, err)
	}
	return w.scheme.Signer(key), nil
}

// elapse lets the wall clock go on by a tick.
func (w *World) elapse() { w.elapsed += w.tickTime }

// client signs the requests of one letter.
type client struct {
	signer crypto.Signer
	sealed map[string]*wire.Sealed
}

// client returns the id of the client with a letter.
func (w *World) client(letter string) wire.ClientID {
	signer, err := w.signer(clientKeys + uint64(letter[0]))
	if err != nil {
		return wire.ClientID{}
	}
	return signer.Public()
}

// clientKeys is added to a letter to make the key of a client.
const clientKeys = 1000

// request returns the request of a name like a12, made anew unless it was made
// before. Its operation is its name, filled up to size.
func (w *World) request(name string, c call) (*wire.Sealed, error) {
	var number wire.Number
	if len(name) < 2 || name[0] < 'a' || name[0] > 'z' {
		return nil, fmt.Errorf("%q is no request: want a letter and a number", name)
	}
	if _, err := fmt.Sscanf(name[1:], "%d", &number); err != nil {
		return nil, fmt.Errorf("%q is no request: %w", name, err)
	}
	one := w.clients[name[:1]]
	if one == nil {
		signer, err := w.signer(clientKeys + uint64(name[0]))
		if err != nil {
			return nil, err
		}
		one = &client{signer, map[string]*wire.Sealed{}}
		w.clients[name[:1]] = one
		w.names.clients[signer.Public()] = name[:1]
	}
	session := wire.Session(c.count("session", 1)) //nolint:gosec // scripts are ours
	full := fmt.Sprintf("%s/%d", name, session)
	if one.sealed[full] == nil {
		m := &wire.Request{
			Client: one.signer.Public(), Session: session, Number: number, ReadOnly: c.options["read"] == "yes",
			Acked: wire.Number(c.count("acked", 0)), //nolint:gosec // scripts are ours
		}
		for range min(max(1, c.count("ops", 1)), core.ClientWindowMax) {
			m.Ops = append(m.Ops, append([]byte(name), make([]byte, c.count("size", 0))...))
		}
		one.sealed[full] = wire.Seal(one.signer, w.domain, m)
	}
	return one.sealed[full], nil
}

// submit brings requests to replicas as their clients do.
func (w *World) submit(c call) error {
	var requests []*wire.Sealed
	for _, name := range c.words {
		sealed, err := w.request(name, c)
		if err != nil {
			return err
		}
		requests = append(requests, sealed)
	}
	to := c.options["to"]
	if to == "" {
		to = "0"
	}
	return w.each(call{name: c.name, words: []string{to}}, func(r *replica) {
		var events []core.Event
		for _, sealed := range requests {
			events = append(events, core.Submitted{Request: sealed})
		}
		r.step(events...)
	})
}

// forward brings a request from another replica.
func (w *World) forward(c call) error {
	from := c.ids(c.options["from"])
	if len(from) != 1 {
		return fmt.Errorf("forward: want from=replica")
	}
	for _, name := range c.words {
		sealed, err := w.request(name, c)
		if err != nil {
			return err
		}
		for _, to := range w.receivers(c) {
			w.network.post(newEnvelope(from[0], to, sealed))
		}
	}
	return nil
}
