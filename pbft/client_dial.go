package pbft

import (
	"context"
	"fmt"
	"time"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/network"
	"github.com/quorate/quorate/pbft/wire"
)

// DialConfig tells Dial which cluster to be a client of, and as whom. Every
// field but one of Genesis and GenesisPath has a working zero value.
type DialConfig struct {
	// Genesis is the cluster's genesis.
	Genesis *Genesis
	// GenesisPath is where to load it from if Genesis is nil.
	GenesisPath string
	// Key is who the client is; the zero key means a fresh random one. The
	// cluster remembers every key that ever submitted, up to a bound: a client
	// that comes back should bring its key along.
	Key crypto.PrivateKey
	// Session numbers the lives of the key. It must grow from one to the next:
	// the cluster refuses an older session once it has seen a newer. Zero means
	// the wall clock in nanoseconds, which does that as long as the clock is not
	// set back and no two clients share a key. Sessions are points of time: what is of
	// one in the future, of a minute or more by the replicas' clocks, finds no room,
	// as if the cluster were overloaded, until that time has come; and a cluster that
	// knows as many clients as it can takes no new ones with old sessions.
	Session wire.Session
	// Next takes over the Session of an earlier process: it is the first number
	// which that one had not used yet, or any number above. Each call of Submit,
	// Read or Query uses one number at most, from 1 on. Operations that have no result yet
	// can be retried with SubmitWith, all of them before the first other call.
	// Zero means a new session.
	Next wire.Number
	// RequestTimeout is that of the replicas (Config.RequestTimeout). The client
	// asks all replicas when the primary is silent for half of it. Zero means
	// RequestTimeoutDefault.
	RequestTimeout time.Duration
	// OpsPerSignature bounds how many operations that wait together share one
	// signed request. Zero means as many as the cluster takes.
	OpsPerSignature int
	// NoWait has operations refused at once, with ErrOverload, where they would wait:
	// when core.ClientWindowMax of this client, or 2 MiB of them, have no result yet, or
	// f+1 replicas have no room for them, or as many are read outside of the order as four
	// queries carry. What is served is then served soon, however much is
	// asked for.
	NoWait bool
}

// Dial returns a client. It does not wait for connections: those are made, and
// made again, until Close; a Submit waits for what it needs. ctx bounds the call
// of Dial alone.
func Dial(ctx context.Context, cfg DialConfig) (*Client, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	own, genesis, err := cfg.clientConfig()
	if err != nil {
		return nil, err
	}
	domain := genesis.Domain()
	transport, err := network.NewClients(network.ClientConfig{
		Cluster: domain.Cluster, Epoch: domain.Epoch, Replicas: genesis.networkMembers(),
		FrameBytesMax: answerBytesMax(own.limits), ClientFrameBytesMax: own.limits.KindBytesMax(wire.KindRequest),
	})
	if err != nil {
		return nil, err
	}
	return newClient(own, transport), nil //nolint:contextcheck // ctx bounds Dial; the client lives until Close
}

// clientConfig fills in what cfg leaves open.
func (cfg DialConfig) clientConfig() (clientConfig, *Genesis, error) {
	genesis := cfg.Genesis
	if genesis == nil {
		if cfg.GenesisPath == "" {
			return clientConfig{}, nil, fmt.Errorf("%w: no genesis: set Genesis or GenesisPath", ErrConfig)
		}
		loaded, err := LoadGenesis(cfg.GenesisPath)
		if err != nil {
			return clientConfig{}, nil, err
		}
		genesis = loaded
	} else if err := genesis.Validate(); err != nil {
		return clientConfig{}, nil, err
	}
	timeout := Config{RequestTimeout: cfg.RequestTimeout}.requestTimeout()
	if timeout < RequestTimeoutMin || timeout > RequestTimeoutMax {
		return clientConfig{}, nil, fmt.Errorf("%w: request timeout is %v, want %v to %v",
			ErrConfig, timeout, RequestTimeoutMin, RequestTimeoutMax)
	}
	replica, err := genesis.CoreConfig(0) // all replicas have the same quorums
	if err != nil {
		return clientConfig{}, nil, err
	}
	limits := genesis.WireLimits()
	if err := cfg.inBounds(limits.OpsMax); err != nil {
		return clientConfig{}, nil, err
	}
	own := clientConfig{
		signer: cfg.Key, domain: genesis.Domain(), keys: genesis.Keys(), quorum: replica.Quorum,
		limits: limits, session: cfg.Session, next: max(cfg.Next, 1), retransmit: timeout / 2,
		together: cfg.OpsPerSignature, noWait: cfg.NoWait,
	}
	if own.session == 0 {
		own.session = wire.Session(time.Now().UnixNano()) //nolint:gosec // after 1970
	}
	if cfg.Key.Equal(crypto.PrivateKey{}) {
		key, err := crypto.GenerateKey(nil)
		if err != nil {
			return clientConfig{}, nil, err
		}
		own.signer = key
	}
	return own, genesis, nil
}

// inBounds reports numbers that no client may have.
func (cfg DialConfig) inBounds(opsMax int) error {
	if cfg.Next > numberMax || cfg.Session > wire.NumberMax {
		return fmt.Errorf("%w: session may be at most %d, and next %d", ErrConfig, uint64(wire.NumberMax), uint64(numberMax))
	}
	if cfg.Next > 1 && cfg.Session == 0 {
		return fmt.Errorf("%w: next is %d, which means nothing without the session that it is of", ErrConfig, uint64(cfg.Next))
	}
	if cfg.OpsPerSignature < 0 || cfg.OpsPerSignature > opsMax {
		return fmt.Errorf("%w: operations per signature are %d, want 1 to %d, or 0 for as many as wait",
			ErrConfig, cfg.OpsPerSignature, opsMax)
	}
	return nil
}

// answerBytesMax returns the length of the longest frame that a client is sent.
func answerBytesMax(lim wire.Limits) int {
	return max(lim.KindBytesMax(wire.KindReplies), lim.KindBytesMax(wire.KindReport), lim.KindBytesMax(wire.KindRefusal),
		lim.KindBytesMax(wire.KindOutputs), lim.KindBytesMax(wire.KindResults))
}

// VerifyResult returns the result that a certificate proves, with nothing but
// the cluster's genesis: that f+1 replicas, so a correct one, signed it. It
// proves what the operation with the result's identity returned, to the client
// whose key is in it (Client); what the operation was, the client must show by
// its own signature. The error is ErrProof, or ErrGenesis where the genesis is bad.
func VerifyResult(genesis *Genesis, cert Certificate) (Result, error) {
	if genesis == nil {
		return Result{}, fmt.Errorf("%w: no genesis: give that of the cluster that answered", ErrGenesis)
	}
	if err := genesis.Validate(); err != nil {
		return Result{}, err
	}
	replica, err := genesis.CoreConfig(0)
	if err != nil {
		return Result{}, err
	}
	opener := openerFor(genesis.Domain(), genesis.Keys(), genesis.WireLimits())
	return verifyCertificate(opener, replica.Quorum.Weak(), cert)
}
