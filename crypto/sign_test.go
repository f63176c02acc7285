package crypto

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestMessageHasItsGoldenBytes(t *testing.T) {
	t.Parallel()
	d := Domain{Cluster: Sum([]byte("genesis")), Epoch: 0x0102030405060708}
	want := "71756f7261746500" + // quorate, 0
		"01" + // protocol version
		"07" + // kind
		"aeebad4a796fcc2e15dc4c6061b45ed9b373f26adfc798ca7d2d8cc58182718e" + // cluster
		"0102030405060708" + // epoch
		"626f6479" // body
	got := hex.EncodeToString(d.Message(7, []byte("body")))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestMessageDiffersWheneverAnyPartDiffers(t *testing.T) {
	t.Parallel()
	type parts struct {
		domain Domain
		kind   byte
		body   string
	}
	draw := rapid.Custom(func(t *rapid.T) parts {
		return parts{
			domain: Domain{
				Cluster: Sum(rapid.SliceOfN(rapid.Byte(), 0, 1).Draw(t, "cluster")),
				Epoch:   rapid.Uint64Range(0, 3).Draw(t, "epoch"),
			},
			kind: rapid.ByteRange(1, 3).Draw(t, "kind"),
			body: string(rapid.SliceOfN(rapid.ByteRange(0, 2), 0, 10).Draw(t, "body")),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := draw.Draw(t, "a"), draw.Draw(t, "b")
		ma, mb := a.domain.Message(a.kind, []byte(a.body)), b.domain.Message(b.kind, []byte(b.body))
		if bytes.Equal(ma, mb) != (a == b) {
			t.Errorf("equal messages: %v, equal parts: %v", bytes.Equal(ma, mb), a == b)
		}
	})
}

func TestASignatureIsValidInItsOwnDomainOnly(t *testing.T) {
	t.Parallel()
	k := testKey(t, 1)
	home := Domain{Cluster: Sum([]byte("a")), Epoch: 1}
	signature := k.Sign(home.Message(3, []byte("body")))
	for name, c := range map[string]struct {
		domain Domain
		kind   byte
		body   string
		want   bool
	}{
		"same":          {home, 3, "body", true},
		"other cluster": {Domain{Cluster: Sum([]byte("b")), Epoch: 1}, 3, "body", false},
		"other epoch":   {Domain{Cluster: home.Cluster, Epoch: 2}, 3, "body", false},
		"other kind":    {home, 4, "body", false},
		"other body":    {home, 3, "bodY", false},
	} {
		check := Check{Key: k.Public(), Message: c.domain.Message(c.kind, []byte(c.body)), Signature: signature}
		if got := verifyOK(t, NewVerifier(0), check); got != c.want {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}

func TestDigestsKeysAndSignaturesPrintInHexadecimal(t *testing.T) {
	t.Parallel()
	d, k, s := Digest{0xab, 1, 2, 3, 4}, PublicKey{0xcd, 1, 2, 3, 4}, Signature{0xef}
	got := []string{d.String(), d.Short(), k.String(), k.Short(), s.String()}
	want := []string{
		"ab01020304" + strings.Repeat("0", 54), "ab010203",
		"cd01020304" + strings.Repeat("0", 54), "cd010203",
		"ef" + strings.Repeat("0", 126),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSumHashesTheConcatenation(t *testing.T) {
	t.Parallel()
	if got, want := Sum([]byte("ab"), nil, []byte("c")), Sum([]byte("abc")); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	const abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" // FIPS 180-4
	if got := Sum([]byte("abc")).String(); got != abc {
		t.Errorf("got %s, want %s", got, abc)
	}
	if (Digest{}).IsZero() != true || Sum().IsZero() {
		t.Error("IsZero is wrong")
	}
}
