package wire_test

import (
	"testing"

	"github.com/quorate/quorate/pbft/wire"
)

func TestSenderOfKnowsWhoSigned(t *testing.T) {
	byReplica := map[wire.Kind]wire.ReplicaID{
		wire.KindPrePrepare: 2, wire.KindPrepare: 3, wire.KindCommit: 3, wire.KindCheckpoint: 1, wire.KindViewChange: 1,
		wire.KindNewView: 1, wire.KindReply: 2, wire.KindStatus: 2, wire.KindFetchBatches: 3, wire.KindFetchCommitted: 0,
		wire.KindFetchViewChange: 2, wire.KindFetchPieces: 1, wire.KindReport: 0, wire.KindRefusal: 2, wire.KindReplies: 2,
		wire.KindOutputs: 1, wire.KindResults: 3,
	}
	for k, s := range newStubWorld(t).samples(t) {
		want, found := byReplica[k]
		if got, ok := wire.SenderOf(s.Message()); got != want || ok != found {
			t.Errorf("%s: got %d, %t, want %d, %t", k, got, ok, want, found)
		}
	}
}
