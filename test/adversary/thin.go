package adversary

import "github.com/quorate/quorate/pbft/wire"

// ThinCertificate returns a replica whose view changes claim, for every number of
// the window, that it prepared the null batch in the last view that it led, with
// its own pre-prepare and no prepare of anybody: all that it can truly sign. Who
// does not count a certificate's prepares gives up what has committed.
func ThinCertificate() Strategy {
	return rewriting("claims null batches that it alone proposed",
		func(env Env, _ wire.ReplicaID, m *wire.ViewChange) ([]wire.Message, bool) {
			n := wire.View(env.Replicas())
			led := wire.View(env.ID())
			if m.View <= led {
				return nil, false
			}
			led += (m.View - 1 - led) / n * n
			lie := *m
			lie.Prepared = nil
			for seq := m.Stable.Seq + 1; seq <= m.Stable.Seq+env.Window(); seq++ {
				v := wire.Vote{View: led, Seq: seq, Digest: wire.NullDigest(), Sender: env.ID()}
				pp, ok := env.Sign(&wire.PrePrepare{Vote: v, Batch: wire.NullBatch()}).Message().(*wire.PrePrepare)
				if !ok {
					return nil, false
				}
				lie.Prepared = append(lie.Prepared, wire.PreparedCert{
					View: led, Seq: seq, Digest: v.Digest, PrePrepare: pp.Signature,
				})
			}
			return []wire.Message{&lie}, true
		})
}
