package crypto

import (
	"slices"
	"sync"

	"github.com/oasisprotocol/curve25519-voi/primitives/ed25519"
)

// batchMax is the most checks that are verified in one batch. Beyond it the
// cost of each falls little more, while one bad signature makes its whole batch
// pay for single checks.
const batchMax = 512

// BatchVerifier is the Verifier of a real cluster: several checks at once are
// verified as one batch, at a third to a quarter of the cost, and the keys of
// valid signatures are kept in expanded form. Its methods may be called by many
// goroutines at once. Keys and signatures may be any bytes.
type BatchVerifier struct {
	keys      *keyCache
	options   *ed25519.Options
	equations sync.Pool // of *merged
}

// NewVerifier returns a verifier that remembers at most the given number of
// expanded public keys, about 3 KiB each, and 40 KiB more for up to 128 of them
// whose signatures come alone again and again; with none or fewer it remembers
// nothing, and works.
func NewVerifier(keys int) *BatchVerifier {
	return &BatchVerifier{
		keys:      newKeyCache(keys),
		options:   &ed25519.Options{Verify: ed25519.VerifyOptionsZIP_215},
		equations: sync.Pool{New: func() any { return newMerged() }},
	}
}

// Verify sets ok[i] to whether checks[i] is valid by ZIP-215 and returns
// whether all are. If the lengths differ nothing is valid.
func (v *BatchVerifier) Verify(checks []Check, ok []bool) bool {
	clear(ok)
	if len(checks) != len(ok) {
		return false
	}
	all := true
	for len(checks) > 0 {
		n := min(len(checks), batchMax)
		all = v.verifyBatch(checks[:n], ok[:n]) && all
		checks, ok = checks[n:], ok[n:]
	}
	return all
}

// verifyBatch is Verify of at most batchMax checks.
func (v *BatchVerifier) verifyBatch(checks []Check, ok []bool) bool {
	expanded, missed := v.expand(checks)
	if few(expanded) {
		for i := range checks {
			ok[i] = expanded[i] != nil && v.verifyOne(&checks[i], expanded[i])
		}
	} else {
		v.verifyMany(checks, expanded, ok)
	}
	all := true
	for i := range checks {
		all = all && ok[i]
	}
	if missed {
		v.keys.put(checks, expanded, ok)
	}
	return all
}

// expand returns the expanded key of each check, nil where the key's bytes are
// no point, and whether any was not in the cache.
func (v *BatchVerifier) expand(checks []Check) (expanded []*expandedKey, missed bool) {
	expanded = make([]*expandedKey, len(checks))
	if v.keys.get(checks, expanded) {
		return expanded, false
	}
	fresh := make(map[PublicKey]*expandedKey)
	for i := range checks {
		if expanded[i] != nil {
			continue
		}
		key, seen := fresh[checks[i].Key]
		if !seen {
			key = expandKey(&checks[i].Key)
			fresh[checks[i].Key] = key
		}
		expanded[i] = key
	}
	return expanded, true
}

// few tells whether checks of these keys cost less one by one than in a batch.
func few(expanded []*expandedKey) bool {
	if len(expanded) == 1 {
		return true
	}
	return len(expanded) <= aloneMax && !slices.ContainsFunc(expanded, func(k *expandedKey) bool {
		return k == nil || k.multiples.Load() == nil
	})
}

// multiples returns the table of a key whose signature is checked alone, or nil.
func (v *BatchVerifier) multiples(c *Check, key *expandedKey) *multiples {
	if m := key.multiples.Load(); m != nil {
		return m
	}
	if key.alone.Add(1)%multiplesAfter != 0 || !v.keys.grant(c.Key, key) {
		return nil
	}
	m := newMultiples(key.point)
	key.multiples.Store(m)
	return m
}

// verifyOne applies the predicate to one check.
func (v *BatchVerifier) verifyOne(c *Check, key *expandedKey) bool {
	if m := v.multiples(c, key); m != nil && m.fits(c) {
		return true
	}
	single := key.forOne(&c.Key)
	return single != nil && ed25519.VerifyExpandedWithOptions(single, c.Message, c.Signature[:], v.options)
}

// verifyMany verifies the checks as one batch and, if that fails, one by one.
// Checks that need no arithmetic to be refused stay out of the batch, so that
// they do not spoil it.
func (v *BatchVerifier) verifyMany(checks []Check, expanded []*expandedKey, ok []bool) {
	batch, _ := v.equations.Get().(*merged)
	defer v.equations.Put(batch)
	defer batch.end()
	batch.begin(len(checks))
	for i := range checks {
		ok[i] = expanded[i] != nil && batch.add(&checks[i], expanded[i])
	}
	if batch.holds() {
		return
	}
	for i := range checks {
		ok[i] = ok[i] && v.verifyOne(&checks[i], expanded[i])
	}
}
