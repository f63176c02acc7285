package sim

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/quorate/quorate/app"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// bulky keeps a long value of each of a few keys: two mebibytes of state.
func bulky(tx *app.Tx, op []byte) []byte {
	tx.Put(string(op), bytes.Repeat(op, 250_000))
	return op
}

// TestLongStatesAreTransferred: a state longer than a piece breaks no law, and replicas that
// lost theirs, or are given false pieces, fetch it.
func TestLongStatesAreTransferred(t *testing.T) {
	t.Parallel()
	var counters Counters
	for seed := uint64(1); seed <= 12; seed++ {
		o := FromSeed(seed).On(4)
		o.RealStorage, o.Reencode = false, true
		o.Machine = func() app.StateMachine { return execute(bulky) }
		o.Operation = func(rng *rand.Rand, _, _ int) []byte { return []byte{byte('a' + rng.IntN(8))} }
		res := Run(o)
		if res.Violation != nil {
			t.Fatalf("seed %d: %v", seed, res.Violation)
		}
		counters.Add(res.Counters)
	}
	if counters.Transfers == 0 || counters.Pieces <= 2*counters.Transfers {
		t.Errorf("%d transfers of %d pieces: the test is void without transfers of several", counters.Transfers, counters.Pieces)
	}
}

func TestModelStateTakesNoOtherPiece(t *testing.T) {
	long := newModelState()
	for _, key := range []string{"a", "b", "c"} {
		if err := long.Put([]byte(key), bytes.Repeat([]byte(key), 300_000)); err != nil {
			t.Fatal(err)
		}
	}
	long.Checkpoint(7, func(crypto.Digest, error) {})
	long.persist()
	_, root := long.Last()
	got := newModelState()
	if err := got.BeginTransfer(7, root); err != nil {
		t.Fatal(err)
	}
	for wanted := got.Wanted(1); len(wanted) > 0; wanted = got.Wanted(1) {
		piece, ok := long.Piece(wanted[0])
		if !ok || len(piece) > wire.DefaultLimits(4).PieceBytesMax || got.PieceDigest(piece) != wanted[0] {
			t.Fatalf("there is a piece: %v, of %d bytes", ok, len(piece))
		}
		wrong := bytes.Clone(piece)
		wrong[len(wrong)-1] ^= 1
		for i, c := range []struct {
			piece []byte
			want  bool
		}{{wrong, false}, {piece, true}, {piece, false}} {
			if used, err := got.AddPiece(c.piece); used != c.want || err != nil {
				t.Fatalf("%d: used %v, %v, want %v", i, used, err, c.want)
			}
		}
	}
	if err := got.FinishTransfer(); err != nil || !bytes.Equal(flatten(got), flatten(long)) {
		t.Errorf("%v, or another state", err)
	}
}
