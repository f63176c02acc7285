package crypto

import (
	"testing"

	"pgregory.net/rapid"
)

func verifyOK(t rapid.TB, v *BatchVerifier, checks ...Check) bool {
	t.Helper()
	return v.Verify(checks, make([]bool, len(checks)))
}

func (c *keyCache) has(k PublicKey) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.mu.entries[k] != nil
}

func TestOnlyKeysOfValidSignaturesAreRemembered(t *testing.T) {
	t.Parallel()
	v := NewVerifier(8)
	good, bad := signedCheck(t, 1, "m"), signedCheck(t, 2, "m")
	bad.Signature[1] ^= 1
	verifyOK(t, v, bad)
	verifyOK(t, v, good, bad)
	if v.keys.has(bad.Key) {
		t.Error("the key of a bad signature is in the cache")
	}
	if !v.keys.has(good.Key) {
		t.Error("the key of a good signature is not in the cache")
	}
}

func TestAFloodOfStrangersKeepsTheKeysInUse(t *testing.T) {
	t.Parallel()
	const size = 8
	v := NewVerifier(size)
	members := make([]Check, 4)
	for i := range members {
		members[i] = signedCheck(t, uint64(i), "vote")
	}
	for stranger := range uint64(100) {
		if !verifyOK(t, v, members...) || !verifyOK(t, v, signedCheck(t, 1000+stranger, "m")) {
			t.Fatal("a valid signature was refused")
		}
		for i := range members {
			if !v.keys.has(members[i].Key) {
				t.Fatalf("stranger %d evicted member %d", stranger, i)
			}
		}
	}
}

func TestKeyCacheKeepsItsBound(t *testing.T) {
	t.Parallel()
	checks := make([]Check, 20)
	for i := range checks {
		checks[i] = signedCheck(t, uint64(i), "m")
	}
	rapid.Check(t, func(rt *rapid.T) {
		size := rapid.IntRange(-1, 6).Draw(rt, "size")
		v := NewVerifier(size)
		for _, i := range rapid.SliceOfN(rapid.IntRange(0, len(checks)-1), 0, 30).Draw(rt, "uses") {
			if !verifyOK(rt, v, checks[i]) {
				rt.Fatalf("check %d was refused", i)
			}
			entries, ring := len(v.keys.mu.entries), len(v.keys.mu.ring)
			if entries != ring || entries > max(size, 0) {
				rt.Fatalf("got %d entries in a ring of %d, want at most %d", entries, ring, size)
			}
			if size > 0 && !v.keys.has(checks[i].Key) {
				rt.Fatalf("key %d was just used and is not there", i)
			}
		}
	})
}
