package adversary

import (
	"encoding/binary"

	"github.com/quorate/quorate/pbft/wire"
)

// HollowBatches returns a primary whose batches are full of what has executed
// already: each holds one request of its own client, with the same number as
// the one before, so that nothing in it runs.
func HollowBatches() Strategy {
	return rewriting("proposes what runs nothing", func(env Env, _ wire.ReplicaID, m *wire.PrePrepare) ([]wire.Message, bool) {
		if m.Batch.IsNull() {
			return nil, false
		}
		sealed := env.SignRequest(int(env.ID()), &wire.Request{
			Session: 1, Number: 1, Ops: [][]byte{binary.BigEndian.AppendUint64(nil, uint64(m.Seq))},
		})
		r, _ := sealed.Message().(*wire.Request) // SignRequest signs a request
		lie := proposing(m, m.Batch.Time, []*wire.Request{r})
		return []wire.Message{lie, &wire.Commit{Vote: unsigned(lie.Vote)}}, true
	})
}
