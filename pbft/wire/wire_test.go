package wire_test

import (
	"testing"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

func TestSmoke(t *testing.T) {
	lim := wire.DefaultLimits(4)
	for _, m := range []wire.Message{
		&wire.Ask{Nonce: 7},
		&wire.PrePrepare{Vote: wire.Vote{View: 1, Seq: 3, Sender: 1, Digest: wire.NullDigest()}, Batch: wire.NullBatch()},
		&wire.Request{Client: crypto.PublicKey{1}, Number: 1, Ops: [][]byte{[]byte("add")}},
	} {
		frame := wire.Encode(m)
		got, err := wire.Decode(frame, &lim)
		if err != nil {
			t.Fatal(err)
		}
		if string(wire.Encode(got)) != string(frame) {
			t.Errorf("%s: got %x, want %x", m.Kind(), wire.Encode(got), frame)
		}
	}
}
