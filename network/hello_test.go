package network

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

func TestHelloAndAnswerReadBackAsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cluster := crypto.Sum(rapid.SliceOf(rapid.Byte()).Draw(t, "genesis"))
		version, epoch := rapid.Uint32().Draw(t, "version"), rapid.Uint64().Draw(t, "epoch")
		sender, class := rapid.Uint32().Draw(t, "sender"), rapid.Byte().Draw(t, "class")
		h := hello{version, cluster, epoch, wire.ReplicaID(sender), wire.Class(class)}
		gotHello, err := readHello(bytes.NewReader(h.encode()))
		if err != nil || gotHello != h {
			t.Fatalf("got %+v, %v, want %+v", gotHello, err, h)
		}
		a := answer{verdict(rapid.Byte().Draw(t, "verdict")), version, cluster, epoch}
		gotAnswer, err := readAnswer(bytes.NewReader(a.encode()))
		if err != nil || gotAnswer != a {
			t.Fatalf("got %+v, %v, want %+v", gotAnswer, err, a)
		}
		if _, err := readHello(bytes.NewReader(h.encode()[:helloBytes-1])); err == nil {
			t.Fatal("a hello that is one byte short was read")
		}
		if _, err := readAnswer(bytes.NewReader(a.encode()[:answerBytes-1])); err == nil {
			t.Fatal("an answer that is one byte short was read")
		}
	})
}

func TestVerdictsAreErrorsThatSayWhatToDo(t *testing.T) {
	ours := hello{version: 1, cluster: crypto.Sum([]byte("a")), epoch: 2}
	for _, test := range []struct {
		verdict verdict
		is      func(error) bool
		says    string
	}{
		{verdictVersion, func(err error) bool { var e *VersionError; return errors.As(err, &e) }, "upgrade"},
		{verdictGenesis, func(err error) bool { var e *GenesisError; return errors.As(err, &e) }, "same genesis file"},
		{verdictEpoch, func(err error) bool { var e *EpochError; return errors.As(err, &e) }, "up to date"},
		{verdictImpostor, func(err error) bool { return errors.Is(err, ErrRefused) }, "compare the genesis"},
		{verdictCrowd, func(err error) bool { return errors.Is(err, ErrRefused) }, "later"},
		{99, func(err error) bool { return errors.Is(err, ErrRefused) }, "99"},
	} {
		err := answer{verdict: test.verdict}.err(ours)
		if err == nil || !test.is(err) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("verdict %d: got %v, want one of its type that says %q", test.verdict, err, test.says)
		}
	}
	if err := (answer{verdict: verdictWelcome}).err(ours); err != nil {
		t.Errorf("welcome: got %v, want nil", err)
	}
}
