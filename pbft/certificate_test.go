package pbft

import (
	"errors"
	"strings"
	"testing"
)

// TestCertificatesAreForWhoHasTheGenesis proves a result to somebody who was no client,
// and nothing to who has the genesis of another cluster, or none.
func TestCertificatesAreForWhoHasTheGenesis(t *testing.T) {
	var clusters [2]*Local
	for i := range clusters {
		l, err := StartLocalWith(t.Context(), LocalConfig{Replicas: 4, Memory: true, Dir: t.TempDir()}, echo{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		}()
		clusters[i] = l
	}
	client, err := clusters[0].Client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer closeClient(t, client)
	got, err := client.Submit(t.Context(), []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	cert := got.Certificate()

	proven, err := VerifyResult(clusters[0].Genesis(), cert)
	if err != nil || string(proven.Value) != string(got.Value) || proven.Identity != got.Identity || proven.Client != got.Client || proven.Seq != got.Seq {
		t.Errorf("proven is %v, %v, want %v", proven, err, got)
	}
	if _, err := VerifyResult(clusters[0].Genesis(), cert[:1]); !errors.Is(err, ErrProof) {
		t.Errorf("one reply: %v, want ErrProof", err)
	}
	if _, err := VerifyResult(clusters[1].Genesis(), cert); !errors.Is(err, ErrProof) {
		t.Errorf("another cluster: %v, want ErrProof", err)
	}
	for genesis, want := range map[*Genesis]string{nil: "no genesis", {}: "replicas"} {
		if _, err := VerifyResult(genesis, cert); !errors.Is(err, ErrGenesis) || !strings.Contains(err.Error(), want) {
			t.Errorf("genesis %v: %v, want ErrGenesis and %q", genesis, err, want)
		}
	}
}
