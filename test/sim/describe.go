package sim

import (
	"fmt"

	"github.com/quorate/quorate/pbft/wire"
)

// describe tells in a few words what a message says.
func (w *world) describe(sealed *wire.Sealed) string {
	switch m := sealed.Message().(type) { //nolint:gochecksumtype // the others have nothing to tell
	case *wire.PrePrepare:
		return fmt.Sprintf("v%d n%d %s", m.View, m.Seq, m.Digest.Short())
	case *wire.Prepare:
		return fmt.Sprintf("v%d n%d %s by R%d", m.View, m.Seq, m.Digest.Short(), m.Sender)
	case *wire.Commit:
		return fmt.Sprintf("v%d n%d %s by R%d", m.View, m.Seq, m.Digest.Short(), m.Sender)
	case *wire.Checkpoint:
		return fmt.Sprintf("n%d %s by R%d", m.Seq, m.State.Short(), m.Sender)
	case *wire.ViewChange:
		return fmt.Sprintf("v%d h%d prepared %d by R%d", m.View, m.Stable.Seq, len(m.Prepared), m.Sender)
	case *wire.NewView:
		return fmt.Sprintf("v%d h%d choices %d", m.View, m.Stable, len(m.Choices))
	case *wire.Status:
		return fmt.Sprintf("v%d active %v h%d executed %d", m.View, m.Active, m.Stable, m.Executed)
	case *wire.FetchCommitted:
		return fmt.Sprintf("%d–%d", m.First, m.Last)
	case *wire.Committed:
		return fmt.Sprintf("n%d %s", m.Cert.Seq, m.Cert.Digest.Short())
	case *wire.StableProof:
		return fmt.Sprintf("n%d %s", m.Cert.Seq, m.Cert.State.Short())
	default:
		return ""
	}
}
