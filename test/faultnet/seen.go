package faultnet

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/quorate/quorate/pbft/wire"
)

// seenBytesMax bounds a file of Seen: a line for each kind, peer and direction.
const seenBytesMax = 1 << 20

// Seen is what a Network tells of itself.
type Seen struct {
	// Number is that of the orders in force, and Error why later ones are not.
	Number uint64 `json:"number"`
	Error  string `json:"error,omitempty"`
	// Counts are of all frames since the process began, whatever the orders.
	Counts []Count `json:"counts"`
}

// Flow is one kind of messages between the replica and a peer, one way.
type Flow struct {
	// Heard tells frames that came from the peer from those sent to it.
	Heard bool `json:"heard"`
	Peer  Peer `json:"peer"`
	Kind  Kind `json:"kind"`
}

func (f Flow) compare(g Flow) int {
	if f.Heard != g.Heard {
		if g.Heard {
			return -1
		}
		return 1
	}
	return cmp.Or(cmp.Compare(f.Peer, g.Peer), cmp.Compare(f.Kind, g.Kind))
}

// Count is what became of the frames of a flow.
type Count struct {
	Flow

	// Frames is how many there were, before any fault.
	Frames uint64 `json:"frames"`
	// Dropped were lost by chance, and Overflowed because a slow link was full.
	Dropped    uint64 `json:"dropped,omitempty"`
	Overflowed uint64 `json:"overflowed,omitempty"`
	Duplicated uint64 `json:"duplicated,omitempty"`
	Damaged    uint64 `json:"damaged,omitempty"`
	// Delayed counts the copies that waited, and Reordered those that a later frame
	// of the flow overtook.
	Delayed   uint64 `json:"delayed,omitempty"`
	Reordered uint64 `json:"reordered,omitempty"`
	// Highest is the highest number that a prepare or commit of the flow was for,
	// lost or not.
	Highest wire.Seq `json:"highest,omitempty"`

	last uint64 // the latest frame of the flow that was delivered
}

// seenPath returns where what a Network saw is, whose orders are at path.
func seenPath(path string) string { return path + ".seen" }

// ReadSeen returns what the Network whose orders are at path told last: nothing if
// it has not begun.
func ReadSeen(path string) (Seen, error) {
	text, err := os.ReadFile(seenPath(path))
	if errors.Is(err, os.ErrNotExist) {
		return Seen{}, nil
	}
	if err != nil {
		return Seen{}, err
	}
	if len(text) > seenBytesMax {
		return Seen{}, fmt.Errorf("%s has %d bytes, want at most %d", seenPath(path), len(text), seenBytesMax)
	}
	var s Seen
	if err := json.Unmarshal(text, &s); err != nil {
		return Seen{}, fmt.Errorf("%s: %w", seenPath(path), err)
	}
	return s, nil
}

// write puts s where ReadSeen finds it.
func (s Seen) write(path string) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return replace(seenPath(path), text)
}

// sorted returns counts in an order that does not change.
func sorted(counts map[Flow]*Count) []Count {
	out := make([]Count, 0, len(counts))
	for _, c := range counts {
		out = append(out, *c)
	}
	slices.SortFunc(out, func(a, b Count) int { return a.compare(b.Flow) })
	return out
}
