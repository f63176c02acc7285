package crypto

import (
	"fmt"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// warm has the valid ones of checks verified alone, until their keys have tables, and
// returns how many do.
func warm(t rapid.TB, v *BatchVerifier, checks []Check) (tables int) {
	t.Helper()
	for range 2 * multiplesAfter {
		for i := range checks {
			v.Verify(checks[i:i+1], make([]bool, 1))
		}
	}
	v.keys.mu.RLock()
	defer v.keys.mu.RUnlock()
	for _, e := range v.keys.mu.entries {
		if e.expanded.multiples.Load() != nil {
			tables++
		}
	}
	return tables
}

// fitting counts the checks that v accepts by a table.
func fitting(v *BatchVerifier, checks []Check) (n int) {
	v.keys.mu.RLock()
	defer v.keys.mu.RUnlock()
	for i := range checks {
		if e := v.keys.mu.entries[checks[i].Key]; e != nil {
			if m := e.expanded.multiples.Load(); m != nil && m.fits(&checks[i]) {
				n++
			}
		}
	}
	return n
}

// TestTablesAgreeOnEveryEdge verifies all edges by keys that have tables, and what signers
// make. Some valid ones do not fit: they are accepted all the same.
func TestTablesAgreeOnEveryEdge(t *testing.T) {
	t.Parallel()
	checks, _ := edges(t)
	valid := 0
	for i := range checks {
		if oracle(checks[i]) {
			valid++
		}
	}
	v := NewVerifier(len(checks))
	if tables := warm(t, v, checks); tables < 14 {
		t.Fatalf("%d keys have tables, want those of small order and more", tables)
	}
	if fit := fitting(v, checks); fit == 0 || fit >= valid {
		t.Errorf("%d of %d valid edges fit, want some, and not all", fit, valid)
	}
	for from := range checks {
		for n := 1; n <= aloneMax+1; n++ {
			requireAgreement(t, v, checks[from:min(len(checks), from+n)])
		}
	}
}

// TestTablesAgreeWithTheOracle spoils signatures of keys that have tables.
func TestTablesAgreeWithTheOracle(t *testing.T) {
	t.Parallel()
	edge, _ := edges(t)
	good := make([]Check, 10)
	for i := range good {
		good[i] = signedCheck(t, uint64(i), "m")
	}
	v := NewVerifier(64)
	if tables := warm(t, v, good); tables != len(good) || fitting(v, good) != len(good) {
		t.Fatalf("%d keys have tables, and %d signatures fit, want %d", tables, fitting(v, good), len(good))
	}
	rapid.Check(t, func(rt *rapid.T) {
		checks := make([]Check, rapid.IntRange(1, aloneMax+1).Draw(rt, "n"))
		for i := range checks {
			checks[i] = drawCheck(t, rt, edge)
		}
		requireAgreement(rt, v, checks)
	})
}

// TestLongMessagesFitToo have more to hash than most.
func TestLongMessagesFitToo(t *testing.T) {
	t.Parallel()
	v := NewVerifier(4)
	good := signedCheck(t, 1, fmt.Sprintf("%0*d", 3*hashedBytes, 7))
	warm(t, v, []Check{good})
	bad := good
	bad.Message = append([]byte("1"), good.Message[1:]...)
	if fitting(v, []Check{good}) != 1 || fitting(v, []Check{bad}) != 0 {
		t.Error("a long message does not fit, or another does")
	}
	requireAgreement(t, v, []Check{good, bad})
}

// TestTablesAreBounded has more keys sign alone than may have tables, and others take
// their places in the cache.
func TestTablesAreBounded(t *testing.T) {
	t.Parallel()
	const size = multiplesMax + 20
	v := NewVerifier(size)
	checks := make([]Check, size)
	for i := range checks {
		checks[i] = signedCheck(t, uint64(i), "m")
	}
	if tables := warm(t, v, checks); tables != multiplesMax || v.keys.mu.granted != multiplesMax {
		t.Errorf("%d keys have tables and %d may, want %d", tables, v.keys.mu.granted, multiplesMax)
	}
	for i := range uint64(2 * size) { // strangers, each once
		verifyOK(t, v, signedCheck(t, 1000+i, "m"))
	}
	granted := 0
	for _, e := range v.keys.mu.entries {
		if e.granted {
			granted++
		}
	}
	if granted == multiplesMax || v.keys.mu.granted != granted {
		t.Errorf("%d keys may have tables by the count, and %d by what is there; want fewer than before", v.keys.mu.granted, granted)
	}
	members := checks[:4]
	if tables := warm(t, v, members); tables < len(members) || fitting(v, members) != len(members) {
		t.Errorf("keys that came back have %d tables, want %d", tables, len(members))
	}
}

// TestForgetfulVerifiersMakeNoTables would throw them away.
func TestForgetfulVerifiersMakeNoTables(t *testing.T) {
	t.Parallel()
	v := NewVerifier(0)
	if tables := warm(t, v, []Check{signedCheck(t, 1, "m")}); tables != 0 || v.keys.mu.granted != 0 {
		t.Errorf("got %d tables, want none", tables)
	}
}

// TestManyGoroutinesMakeTables verify signatures of one key at the same time.
func TestManyGoroutinesMakeTables(t *testing.T) {
	t.Parallel()
	v := NewVerifier(4)
	checks := []Check{signedCheck(t, 1, "a"), signedCheck(t, 2, "b"), signedCheck(t, 2, "c")}
	checks[2].Signature[3] ^= 1
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range multiplesAfter {
				for i := range checks {
					if got := verifyOK(t, v, checks[i]); got != (i < 2) {
						t.Errorf("check %d: got %v", i, got)
					}
				}
			}
		})
	}
	wg.Wait()
	if fitting(v, checks) != 2 {
		t.Errorf("%d of the checks fit, want 2", fitting(v, checks))
	}
}
