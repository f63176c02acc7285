package adversary

import (
	"fmt"

	"github.com/quorate/quorate/pbft/wire"
)

// describe names a message and its place, for people.
func describe(m wire.Message) string {
	switch m := m.(type) { //nolint:gochecksumtype // the others have no place
	case *wire.PrePrepare:
		return place(m, m.View, m.Seq)
	case *wire.Prepare:
		return place(m, m.View, m.Seq)
	case *wire.Commit:
		return place(m, m.View, m.Seq)
	case *wire.Checkpoint:
		return fmt.Sprintf("checkpoint %d", m.Seq)
	case *wire.ViewChange:
		return fmt.Sprintf("view-change to view %d", m.View)
	case *wire.NewView:
		return fmt.Sprintf("new-view %d", m.View)
	case *wire.Replies:
		if len(m.Answers) == 0 {
			return "replies to nothing"
		}
		return fmt.Sprintf("replies to %d numbers from %d on", len(m.Answers), m.Answers[0].Number)
	default:
		return m.Kind().String()
	}
}

func place(m wire.Message, view wire.View, seq wire.Seq) string {
	return fmt.Sprintf("%s of view %d, number %d", m.Kind(), view, seq)
}
