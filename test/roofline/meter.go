package roofline

import (
	"context"
	stdlib "crypto/ed25519" //nolint:depguard // measured for comparison only
	"errors"
	"fmt"

	"github.com/quorate/quorate/crypto"
)

// batchMax is how many signatures a verifier takes into one batch; beyond it, it
// makes several.
const batchMax = 512

// Base are the constants that depend on the machine alone, in nanoseconds:
// processor time, unless they say otherwise.
type Base struct {
	Hash       float64 `json:"hash_ns"` // SHA-256 of 64 bytes
	HashByte   float64 `json:"hash_byte_ns"`
	Flush      float64 `json:"flush_ns"`         // append a record of about 200 bytes to the journal, and flush it
	FlushWall  float64 `json:"flush_elapsed_ns"` // the same, elapsed
	Frame      float64 `json:"frame_ns"`         // sent and received over our transport, in a stream of them
	FrameByte  float64 `json:"frame_byte_ns"`
	RoundTrip  float64 `json:"round_trip_elapsed_ns"` // of a vote over our transport on loopback, elapsed
	SignStdlib float64 `json:"sign_stdlib_ns"`        // 128 bytes, as all below
	Sign       float64 `json:"sign_ns"`
	OneStdlib  float64 `json:"verify_stdlib_ns"`
	OneFresh   float64 `json:"verify_unknown_key_ns"`
	One        float64 `json:"verify_ns"` // with a key that is known, as all below
	// Crowding is how many times as much processor time a signature takes while all
	// processors make them. The limit assumes 1.
	Crowding float64 `json:"all_cores_slowdown"`
}

// Batch is the cost of one signature among several that are verified at once.
type Batch struct {
	Signatures int     `json:"signatures"`
	Keys       int     `json:"keys"` // that made them
	Bytes      int     `json:"bytes"`
	Each       float64 `json:"each_ns"`
}

// Constants are all that a Meter has measured.
type Constants struct {
	Base
	Batches []Batch `json:"verify_together"`
}

// Meter measures this machine. What it has measured it measures no second time.
// One goroutine uses it.
type Meter struct {
	base    Base
	batches []Batch
	signs   map[int]float64 // by length
	singles map[int][2]float64
	keys    []crypto.PrivateKey
}

// NewMeter measures the base constants; flushes on the file system of dir.
func NewMeter(ctx context.Context, dir string) (*Meter, error) {
	m := &Meter{signs: make(map[int]float64), singles: make(map[int][2]float64)}
	for i := range batchMax {
		seed := crypto.Sum([]byte("roofline"), []byte{byte(i), byte(i >> 8)})
		key, err := crypto.NewPrivateKey(seed[:])
		if err != nil {
			return nil, err
		}
		m.keys = append(m.keys, key)
	}
	m.hashes()
	m.base.Sign = m.sign(voteBytes)
	message := make([]byte, voteBytes)
	m.base.Crowding = crowding(func() { m.keys[0].Sign(message) })
	single := m.single(voteBytes)
	m.base.SignStdlib, m.base.OneStdlib = single[0], single[1]
	var errs []error
	fresh, err := m.verify(crypto.NewVerifier(0), Batch{Signatures: 1, Keys: 1, Bytes: voteBytes})
	m.base.OneFresh = fresh
	errs = append(errs, err)
	m.base.One, err = m.together(1, 1, voteBytes)
	errs = append(errs, err, m.flushes(dir), m.frames(ctx))
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("measure this machine: %w", err)
	}
	return m, nil
}

// Constants returns what was measured so far.
func (m *Meter) Constants() Constants { return Constants{m.base, m.batches} }

// Limit measures what is missing, and computes the limit of a shape.
func (m *Meter) Limit(s Shape) (Limit, error) {
	if err := s.Validate(); err != nil {
		return Limit{}, err
	}
	bytes := int(s.requestBytes())
	c := Costs{
		Hash: m.base.Hash, HashByte: m.base.HashByte, Flush: m.base.Flush,
		Frame: m.base.Frame, FrameByte: m.base.FrameByte,
	}
	if s.Single {
		request, vote := m.single(bytes), m.single(voteBytes)
		c.SignRequest, c.VerifyRequest = request[0], request[1]
		c.SignVote, c.VerifyVote, c.VerifyReply = vote[0], vote[1], vote[1]
		return limit(s, c), nil
	}
	c.SignRequest, c.SignVote = m.sign(bytes), m.base.Sign
	var requestErr, voteErr, replyErr error
	c.VerifyRequest, requestErr = m.cheaper(s.requestsTogether(), s.requestKeys(), bytes)
	c.VerifyVote, voteErr = m.cheaper(s.votesTogether(), s.voteKeys(), voteBytes)
	c.VerifyReply, replyErr = m.cheaper((s.Faults+1)*s.InFlight, s.Faults+1, voteBytes)
	return limit(s, c), errors.Join(requestErr, voteErr, replyErr)
}

func (m *Meter) hashes() {
	const short, long = 64, 64 << 10
	data := make([]byte, long)
	few := costOf(func() { crypto.Sum(data[:short]) })
	many := costOf(func() { crypto.Sum(data) })
	m.base.Hash, m.base.HashByte = few, max(0, (many-few)/(long-short))
}

// sign returns the cost of our signature of so many bytes.
func (m *Meter) sign(bytes int) float64 {
	if cost, ok := m.signs[bytes]; ok {
		return cost
	}
	message := make([]byte, bytes)
	m.signs[bytes] = costOf(func() { m.keys[0].Sign(message) })
	return m.signs[bytes]
}

// single returns the costs of signing and verifying so many bytes with the
// standard library.
func (m *Meter) single(bytes int) [2]float64 {
	if costs, ok := m.singles[bytes]; ok {
		return costs
	}
	seed, message := m.keys[0].Seed(), make([]byte, bytes)
	key := stdlib.NewKeyFromSeed(seed[:])
	signature := stdlib.Sign(key, message)
	public := key.Public().(stdlib.PublicKey) //nolint:errcheck,forcetypeassert // it is one
	m.singles[bytes] = [2]float64{
		costOf(func() { stdlib.Sign(key, message) }),
		costOf(func() { stdlib.Verify(public, message, signature) }),
	}
	return m.singles[bytes]
}

// cheaper is together or, where few signatures cost less alone, the cost of one.
func (m *Meter) cheaper(signatures, keys, bytes int) (float64, error) {
	one, oneErr := m.together(1, 1, bytes)
	each, err := m.together(signatures, keys, bytes)
	return min(one, each), errors.Join(oneErr, err)
}

// together returns the cost of each of so many signatures, verified at once, by
// so many keys that the verifier knows.
func (m *Meter) together(signatures, keys, bytes int) (float64, error) {
	b := Batch{Signatures: min(signatures, batchMax), Bytes: bytes}
	b.Keys = min(keys, b.Signatures)
	for _, known := range m.batches {
		if known.Signatures == b.Signatures && known.Keys == b.Keys && known.Bytes == b.Bytes {
			return known.Each, nil
		}
	}
	each, err := m.verify(crypto.NewVerifier(2*batchMax), b)
	if err != nil {
		return 0, err
	}
	b.Each = each
	m.batches = append(m.batches, b)
	return each, nil
}

// verify measures v, and tells whether it did its work.
func (m *Meter) verify(v crypto.Verifier, b Batch) (float64, error) {
	checks, ok := make([]crypto.Check, b.Signatures), make([]bool, b.Signatures)
	for i := range checks {
		message := make([]byte, max(2, b.Bytes))
		message[0], message[1] = byte(i), byte(i>>8)
		key := m.keys[i%b.Keys]
		checks[i] = crypto.Check{Key: key.Public(), Message: message, Signature: key.Sign(message)}
	}
	good := true
	cost := costOf(func() { good = v.Verify(checks, ok) && good })
	if !good {
		return 0, errors.New("a valid signature was refused")
	}
	return cost / float64(b.Signatures), nil
}
