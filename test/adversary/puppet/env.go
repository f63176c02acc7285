package puppet

import (
	"encoding/binary"
	"math/rand/v2"
	"time"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// env is the adversary.Env of a puppet, and all that an Env may be besides. The
// puppet's mutex is held while a strategy has it.
type env struct{ p *Puppet }

// ID returns the replica.
func (e env) ID() wire.ReplicaID { return e.p.cfg.Core.ID }

// Replicas returns n.
func (e env) Replicas() int { return e.p.cfg.Core.Quorum.Replicas() }

// Faults returns f.
func (e env) Faults() int { return e.p.cfg.Core.Quorum.Faults() }

// Now returns the time since the puppet was made.
func (e env) Now() time.Duration { return time.Since(e.p.began) }

// Timeout returns T.
func (e env) Timeout() time.Duration { return e.p.timeout() }

// Interval returns K.
func (e env) Interval() wire.Seq { return e.p.cfg.Core.Interval }

// Window returns L.
func (e env) Window() wire.Seq { return e.p.cfg.Core.Window }

// Rand returns the puppet's source.
func (e env) Rand() *rand.Rand { return e.p.mu.rng }

// Sign signs with the replica's key.
func (e env) Sign(m wire.Message) *wire.Sealed { return e.SignIn(e.p.cfg.Domain, m) }

// SignIn signs with the replica's key in any domain.
func (e env) SignIn(d crypto.Domain, m wire.Message) *wire.Sealed {
	return wire.Seal(e.p.cfg.Signer, d, m)
}

// SignAs signs with a colluder's key.
func (e env) SignAs(id wire.ReplicaID, m wire.Message) (*wire.Sealed, bool) {
	if id == e.ID() {
		return e.Sign(m), true
	}
	signer := e.p.options.Colluders[id]
	if signer == nil {
		return nil, false
	}
	return wire.Seal(signer, e.p.cfg.Domain, m), true
}

// SignRequest signs with a key that follows from the cluster and the client's
// number.
func (e env) SignRequest(client int, m *wire.Request) *wire.Sealed {
	number := binary.BigEndian.AppendUint64(nil, uint64(client)) //nolint:gosec // any number will do
	seed := crypto.Sum([]byte("quorate/adversary/client"), e.p.cfg.Domain.Cluster[:], number)
	key, err := crypto.NewPrivateKey(seed[:crypto.SeedSize])
	if err != nil { // a seed of this length always gives a key
		return wire.Reseal(m)
	}
	m.Client = key.Public()
	return wire.Seal(key, e.p.cfg.Domain, m)
}

// Send queues m.
func (e env) Send(to wire.ReplicaID, m *wire.Sealed) { e.SendRaw(to, m.Frame()) }

// SendRaw queues any bytes.
func (e env) SendRaw(to wire.ReplicaID, frame []byte) {
	if to != e.ID() && int(to) < e.Replicas() {
		e.p.cfg.Transport.Send(to, frame)
	}
}

// After calls do later, unless the puppet has ended by then, or too much waits.
func (e env) After(d time.Duration, do func()) {
	p := e.p
	if p.mu.ended || len(p.mu.timers) >= timersMax {
		return
	}
	p.running.Add(1)
	var t *time.Timer
	t = time.AfterFunc(d, func() {
		defer p.running.Done()
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.mu.timers, t)
		if !p.mu.ended {
			do()
		}
	})
	p.mu.timers[t] = true
}

// Note tells people.
func (e env) Note(format string, args ...any) { e.p.note(format, args...) }
