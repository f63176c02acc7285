package crypto

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

func TestParsePublicKeyRefusesEveryUnfitKey(t *testing.T) {
	t.Parallel()
	f := newField()
	good := testKey(t, 1).Public()
	type row struct {
		name string
		key  []byte
		want error
	}
	rows := []row{
		{"nil", nil, ErrKeyLength},
		{"31 bytes", good[:31], ErrKeyLength},
		{"33 bytes", append(slices.Clone(good[:]), 0), ErrKeyLength},
		{"good", good[:], nil},
	}
	off := f.offCurve()
	rows = append(rows, row{"off the curve", off[:], ErrKeyEncoding})
	for _, e := range f.unreducedEncodings() {
		rows = append(rows, row{"unreduced", slices.Clone(e[:]), ErrKeyEncoding})
	}
	weak := 0
	for _, e := range f.smallOrderEncodings(t) {
		_, err := ParsePublicKey(e[:])
		if errors.Is(err, ErrKeyWeak) {
			weak++
		} else if !errors.Is(err, ErrKeyEncoding) {
			t.Errorf("small order %x: got %v, want a refusal", e, err)
		}
	}
	if weak != 8 {
		t.Errorf("%d keys of small order are called weak, want the 8 canonical ones", weak)
	}
	for _, r := range rows {
		got, err := ParsePublicKey(r.key)
		if !errors.Is(err, r.want) || (r.want == nil) != (err == nil) {
			t.Errorf("%s %x: got %v, want %v", r.name, r.key, err, r.want)
		}
		if err != nil && got != (PublicKey{}) {
			t.Errorf("%s: got a key along with the error", r.name)
		}
	}
}

func TestParsePublicKeyHexReadsWhatStringPrints(t *testing.T) {
	t.Parallel()
	k := testKey(t, 1).Public()
	for _, s := range []string{k.String(), strings.ToUpper(k.String())} {
		if got, err := ParsePublicKeyHex(s); err != nil || got != k {
			t.Errorf("%s: got %s and %v, want the key", s, got, err)
		}
	}
	for s, want := range map[string]error{
		"":                              ErrKeyLength,
		k.String()[1:]:                  ErrKeyLength,
		k.String() + "0":                ErrKeyLength,
		"zz" + k.String()[2:]:           ErrKeyEncoding,
		"01" + strings.Repeat("00", 31): ErrKeyWeak,
	} {
		if _, err := ParsePublicKeyHex(s); !errors.Is(err, want) {
			t.Errorf("%q: got %v, want %v", s, err, want)
		}
	}
}

func FuzzParsePublicKey(f *testing.F) {
	for _, e := range newField().smallOrderEncodings(f) {
		f.Add(e[:])
	}
	k := testKey(f, 1).Public()
	f.Add(k[:])
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := ParsePublicKey(b)
		if err == nil && !bytes.Equal(k[:], b) {
			t.Errorf("got %s for %x", k, b)
		}
	})
}

func TestSignaturesAreThoseOfRFC8032(t *testing.T) {
	t.Parallel()
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	// RFC 8032, section 7.1, test 2.
	k, err := NewPrivateKey(unhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"))
	if err != nil {
		t.Fatal(err)
	}
	const public = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
	const signature = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da" +
		"085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
	if got := k.Public().String(); got != public {
		t.Errorf("public key: got %s, want %s", got, public)
	}
	if got := k.Sign(unhex("72")).String(); got != signature {
		t.Errorf("signature: got %s, want %s", got, signature)
	}
}

func TestKeysAndSignaturesEqualTheStandardLibrarys(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.SliceOfN(rapid.Byte(), SeedSize, SeedSize).Draw(t, "seed")
		message := rapid.SliceOf(rapid.Byte()).Draw(t, "message")
		std := ed25519.NewKeyFromSeed(seed)
		k, err := NewPrivateKey(seed)
		if err != nil {
			t.Fatal(err)
		}
		if got := k.Public(); !bytes.Equal(got[:], std[32:]) {
			t.Errorf("public key: got %s, want %x", got, std[32:])
		}
		if got, want := k.Sign(message), ed25519.Sign(std, message); !bytes.Equal(got[:], want) {
			t.Errorf("signature: got %s, want %x", got, want)
		}
		if got := k.Seed(); !bytes.Equal(got[:], seed) {
			t.Errorf("seed: got %x, want %x", got, seed)
		}
	})
}

func TestPrintingShowsNothingOfAPrivateKey(t *testing.T) {
	t.Parallel()
	k := testKey(t, 7)
	seed := k.Seed()
	type holder struct {
		Open   PrivateKey
		hidden PrivateKey
		list   []PrivateKey
	}
	values := []any{k, &k, []PrivateKey{k}, holder{k, k, []PrivateKey{k}}, map[string]PrivateKey{"k": k}}
	decimal := fmt.Sprintf("%d %d %d", seed[0], seed[1], seed[2])
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		for i, value := range values {
			got := strings.ToLower(fmt.Sprintf(verb, value))
			for _, secret := range []string{
				hex.EncodeToString(seed[:3]), decimal, strings.ReplaceAll(decimal, " ", ", "),
				fmt.Sprintf("%#x", seed[0]) + ", ",
			} {
				if strings.Contains(got, secret) {
					t.Errorf("%s of value %d shows %q: %s", verb, i, secret, got)
				}
			}
		}
	}
	if got, want := fmt.Sprint(k), "private key of "+k.Public().Short(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestGenerateKeyTakesItsRandomnessFromTheReader(t *testing.T) {
	t.Parallel()
	seed := bytes.Repeat([]byte{5}, SeedSize)
	k, err := GenerateKey(iotest.OneByteReader(bytes.NewReader(seed)))
	if got := k.Seed(); err != nil || !bytes.Equal(got[:], seed) {
		t.Errorf("got seed %x and %v, want %x", got, err, seed)
	}
	if _, err := GenerateKey(bytes.NewReader(seed[1:])); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("too little randomness: got %v, want %v", err, io.ErrUnexpectedEOF)
	}
	a, errA := GenerateKey(nil)
	b, errB := GenerateKey(nil)
	if err := errors.Join(errA, errB); err != nil || a.Equal(b) || !a.Equal(a) {
		t.Errorf("two random keys: got %v and %v, %v; want different ones", a, b, err)
	}
}

func TestNewPrivateKeyWantsA32ByteSeed(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 31, 33, 64} {
		if _, err := NewPrivateKey(make([]byte, n)); !errors.Is(err, ErrKeyLength) {
			t.Errorf("%d bytes: got %v, want %v", n, err, ErrKeyLength)
		}
	}
}

func TestTheZeroPrivateKeySignsNothingValid(t *testing.T) {
	t.Parallel()
	var k PrivateKey
	c := Check{Key: k.Public(), Message: []byte("m"), Signature: k.Sign([]byte("m"))}
	if _, err := ParsePublicKey(c.Key[:]); err == nil {
		t.Error("the zero public key was accepted")
	}
	if k.Seed() != [SeedSize]byte{} || !k.Equal(PrivateKey{}) || k.Equal(testKey(t, 1)) {
		t.Error("the zero key is not zero")
	}
	if got := fmt.Sprint(k); got != "private key of 00000000" {
		t.Errorf("got %q", got)
	}
}
