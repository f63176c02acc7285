package crypto

import (
	"encoding/binary"
	"fmt"
	"math/big"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hdevalence/ed25519consensus"
	"github.com/oasisprotocol/curve25519-voi/primitives/ed25519"
	"pgregory.net/rapid"
)

// testKey returns the i-th of a fixed sequence of keys.
func testKey(tb testing.TB, i uint64) PrivateKey {
	tb.Helper()
	seed := Sum([]byte("test key"), binary.BigEndian.AppendUint64(nil, i))
	k, err := NewPrivateKey(seed[:])
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

func signedCheck(tb testing.TB, key uint64, message string) Check {
	tb.Helper()
	k := testKey(tb, key)
	return Check{Key: k.Public(), Message: []byte(message), Signature: k.Sign([]byte(message))}
}

// oracle is the second, independent implementation.
func oracle(c Check) bool {
	return ed25519consensus.Verify(c.Key[:], c.Message, c.Signature[:])
}

func oracleBatch(checks []Check) bool {
	b := ed25519consensus.NewBatchVerifier()
	for _, c := range checks {
		b.Add(c.Key[:], c.Message, c.Signature[:])
	}
	return b.Verify()
}

// libraryBatch is the batch verification of the library that the Verifier builds
// on, which it does not use: it merges the terms of one key.
func libraryBatch(checks []Check) bool {
	b := ed25519.NewBatchVerifier()
	for _, c := range checks {
		b.AddWithOptions(c.Key[:], c.Message, c.Signature[:], &ed25519.Options{Verify: ed25519.VerifyOptionsZIP_215})
	}
	all, _ := b.Verify(nil)
	return all
}

// requireAgreement fails unless v, in one call and check by check, says what
// the oracle says, in one batch and check by check, and the library in its own.
func requireAgreement(t rapid.TB, v *BatchVerifier, checks []Check) {
	t.Helper()
	want := make([]bool, len(checks))
	for i, c := range checks {
		want[i] = oracle(c)
	}
	wantAll := !slices.Contains(want, false)
	got := make([]bool, len(checks))
	if all := v.Verify(checks, got); all != wantAll {
		t.Errorf("batch of %d: got %v, want %v", len(checks), all, wantAll)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("batch of %d (-want +got):\n%s", len(checks), diff)
	}
	if len(checks) > 0 && oracleBatch(checks) != wantAll {
		t.Errorf("the oracle's batch of %d does not say %v", len(checks), wantAll)
	}
	if len(checks) > 0 && libraryBatch(checks) != wantAll {
		t.Errorf("the library's batch of %d does not say %v", len(checks), wantAll)
	}
	for i := range checks {
		one := []bool{!want[i]}
		if all := v.Verify(checks[i:i+1], one); all != want[i] || one[0] != want[i] {
			t.Errorf("check %d alone: got %v and %v, want %v: key %s signature %s",
				i, all, one[0], want[i], checks[i].Key, checks[i].Signature)
		}
	}
}

// edges returns checks from the corners of the encoding, and what they are.
func edges(tb testing.TB) (checks []Check, names []string) {
	tb.Helper()
	f := newField()
	add := func(name string, c Check) {
		checks, names = append(checks, c), append(names, name)
	}
	small := f.smallOrderEncodings(tb)
	message := []byte("quorate")
	for _, a := range small {
		for _, r := range small {
			c := Check{Key: a, Message: message}
			copy(c.Signature[:32], r[:])
			add("small order", c)
			c.Signature = f.plusOrder(c.Signature)
			add("small order, S = L", c)
		}
	}
	for i, a := range small {
		r := small[(5*i+3)%len(small)]
		add("torsion", newTorsionSigner(tb, uint64(i), a, r).sign(tb, message))
	}
	good := signedCheck(tb, 1, "m")
	highS := good
	highS.Signature = f.plusOrder(good.Signature)
	add("S + L", highS)
	topS := good
	topS.Signature[63] |= 0xe0
	add("S over 2^253", topS)
	for _, e := range append(f.unreducedEncodings(), f.offCurve(), [32]byte{}) {
		badA, badR := good, good
		badA.Key = e
		copy(badR.Signature[:32], e[:])
		add("other A", badA)
		add("other R", badR)
	}
	return checks, names
}

func TestAllSmallOrderPairsAreValidAndReducedSIsRequired(t *testing.T) {
	t.Parallel()
	checks, names := edges(t)
	want := map[string]bool{"small order": true, "torsion": true}
	got := make([]bool, len(checks))
	NewVerifier(8).Verify(checks, got)
	counted := 0
	for i, name := range names {
		if got[i] != want[name] {
			t.Errorf("%s (A %s, signature %s): got %v, want %v",
				name, checks[i].Key, checks[i].Signature, got[i], want[name])
		}
		if name == "small order" {
			counted++
		}
	}
	if counted != 14*14 {
		t.Errorf("got %d pairs, want %d", counted, 14*14)
	}
}

func TestBothImplementationsAgreeOnEveryEdge(t *testing.T) {
	t.Parallel()
	checks, _ := edges(t)
	requireAgreement(t, NewVerifier(4), checks)
	var valid []Check
	for _, c := range checks {
		if oracle(c) {
			valid = append(valid, c)
		}
	}
	for _, size := range []int{2, 14, 93, 94, 95, len(valid)} {
		requireAgreement(t, NewVerifier(64), valid[:size])
	}
}

// drawCheck draws a check of any kind, most of them valid.
func drawCheck(tb testing.TB, t *rapid.T, edge []Check) Check {
	tb.Helper()
	switch rapid.IntRange(0, 9).Draw(t, "kind") {
	case 0:
		return rapid.SampledFrom(edge).Draw(t, "edge")
	case 1:
		c := signedCheck(tb, rapid.Uint64Range(0, 9).Draw(t, "key"), "flipped")
		flip := rapid.IntRange(0, 8*(32+64)-1).Draw(t, "bit")
		if flip < 8*32 {
			c.Key[flip/8] ^= 1 << (flip % 8)
		} else {
			c.Signature[flip/8-32] ^= 1 << (flip % 8)
		}
		return c
	case 2:
		c := signedCheck(tb, rapid.Uint64Range(0, 9).Draw(t, "key"), "signed")
		c.Message = []byte("shown")
		return c
	default:
		key := rapid.Uint64Range(0, 9).Draw(t, "key")
		return signedCheck(tb, key, fmt.Sprint(rapid.Uint16().Draw(t, "message")))
	}
}

func TestBatchAndSingleAlwaysAgree(t *testing.T) {
	t.Parallel()
	edge, _ := edges(t)
	v := NewVerifier(5) // fewer than keys, so that hits and misses mix
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.SampledFrom([]int{0, 1, 2, 3, 5, 8, 17, 40}).Draw(rt, "n")
		checks := make([]Check, n)
		for i := range checks {
			checks[i] = drawCheck(t, rt, edge)
		}
		requireAgreement(rt, v, checks)
	})
}

func TestLargeBatchesNameExactlyTheBadSignatures(t *testing.T) {
	t.Parallel()
	for _, size := range []int{93, 94, batchMax, batchMax + 1, 2*batchMax + 3} {
		checks := make([]Check, size)
		for i := range checks {
			checks[i] = signedCheck(t, uint64(i%7), fmt.Sprint(i))
		}
		v := NewVerifier(3)
		ok := make([]bool, size)
		if !v.Verify(checks, ok) || slices.Contains(ok, false) {
			t.Fatalf("%d valid signatures: not all are", size)
		}
		checks[size-1].Signature[0] ^= 1
		want := slices.Repeat([]bool{true}, size)
		want[size-1] = false
		if v.Verify(checks, ok) {
			t.Errorf("%d with a bad one: all valid", size)
		}
		if diff := cmp.Diff(want, ok); diff != "" {
			t.Errorf("%d with a bad one (-want +got):\n%s", size, diff)
		}
	}
}

// A batch that did not weight its members at random would let errors cancel.
func TestOppositeErrorsDoNotCancelInABatch(t *testing.T) {
	t.Parallel()
	order := newField().order
	shift := func(c Check, by int64) Check {
		s := slices.Clone(c.Signature[32:])
		slices.Reverse(s)
		n := new(big.Int).Add(new(big.Int).SetBytes(s), big.NewInt(by))
		n.Mod(n, order).FillBytes(s)
		slices.Reverse(s)
		copy(c.Signature[32:], s)
		return c
	}
	a, b := signedCheck(t, 1, "a"), signedCheck(t, 1, "b")
	ok := make([]bool, 2)
	NewVerifier(2).Verify([]Check{shift(a, 1), shift(b, -1)}, ok)
	if diff := cmp.Diff([]bool{false, false}, ok); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	requireAgreement(t, NewVerifier(2), []Check{shift(a, 1), shift(b, -1), a, b})
}

func TestVerifyOfUnequalLengthsAcceptsNothing(t *testing.T) {
	t.Parallel()
	c := signedCheck(t, 1, "m")
	for _, n := range []int{0, 2} {
		ok := slices.Repeat([]bool{true}, n)
		if NewVerifier(1).Verify([]Check{c}, ok) || slices.Contains(ok, true) {
			t.Errorf("one check, %d results: got something valid", n)
		}
	}
}

func TestVerifyOfNothingIsTrue(t *testing.T) {
	t.Parallel()
	if !NewVerifier(1).Verify(nil, nil) {
		t.Error("got false, want true")
	}
}

func TestManyGoroutinesShareAVerifier(t *testing.T) {
	t.Parallel()
	v := NewVerifier(2)
	checks := make([]Check, 12)
	want := make([]bool, len(checks))
	for i := range checks {
		checks[i] = signedCheck(t, uint64(i%5), fmt.Sprint(i))
		want[i] = i%6 != 0
		if !want[i] {
			checks[i].Signature[40] ^= 4
		}
	}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for round := range 6 {
				n := (g+round)%len(checks) + 1
				ok := make([]bool, n)
				v.Verify(checks[:n], ok)
				if diff := cmp.Diff(want[:n], ok); diff != "" {
					t.Errorf("%d checks (-want +got):\n%s", n, diff)
				}
			}
		})
	}
	wg.Wait()
}

func FuzzVerifyAgrees(f *testing.F) {
	edge, _ := edges(f)
	for i, c := range edge {
		if i%9 == 0 {
			f.Add(c.Key[:], c.Signature[:], c.Message)
		}
	}
	good := signedCheck(f, 1, "m")
	f.Add(good.Key[:], good.Signature[:], good.Message)
	v := NewVerifier(4)
	f.Fuzz(func(t *testing.T, key, signature, message []byte) {
		var c Check
		copy(c.Key[:], key)
		copy(c.Signature[:], signature)
		c.Message = message
		requireAgreement(t, v, []Check{good, c, good, c})
	})
}
