package node

import (
	"bytes"
	"math"
	"strings"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// differing tells of a key with different values what may be told: nil is none.
func differing(key, own, other []byte) wire.DifferingKey {
	part, rest := partOf(key)
	if part == wire.PartOrder {
		rest = []byte(placesDiffer(own, other))
	}
	return wire.DifferingKey{
		Part: part, Key: bytes.Clone(rest[:min(len(rest), wire.DivisionKeyBytesMax)]), KeyBytes: bytesOf(rest),
		Own: sizeOf(own), Other: sizeOf(other),
	}
}

// partOf returns the part of the state to which a key belongs, and what it is called
// there.
func partOf(key []byte) (wire.StatePart, []byte) {
	prefix := func(p string) bool { return bytes.HasPrefix(key, []byte(p)) }
	switch {
	case prefix(AppPrefix):
		return wire.PartApplication, key[len(AppPrefix):]
	case prefix(clientPrefix):
		return wire.PartClients, key[len(clientPrefix):]
	case prefix(resultPrefix):
		return wire.PartResults, key[len(resultPrefix):]
	case prefix(outputPrefix):
		return wire.PartOutputs, key[len(outputPrefix):]
	case string(key) == metaName:
		return wire.PartOrder, nil
	default:
		return wire.PartOther, key
	}
}

// placesDiffer returns the names of what differs between two places in the order.
func placesDiffer(own, other []byte) string {
	a, errA := decodeMeta(own)
	b, errB := decodeMeta(other)
	if errA != nil || errB != nil {
		return "record"
	}
	var names []string
	for _, field := range []struct {
		name    string
		differs bool
	}{
		{"number", a.seq != b.seq},
		{"history", a.history != b.history},
		{"time", a.time != b.time},
		{"outputs", a.outputs != b.outputs},
		{"cluster", a.domain != b.domain},
		{"forgotten sessions", a.floor != b.floor},
	} {
		if field.differs {
			names = append(names, field.name)
		}
	}
	return strings.Join(names, ", ")
}

func sizeOf(value []byte) wire.ValueSize {
	return wire.ValueSize{Present: value != nil, Bytes: bytesOf(value)}
}

func bytesOf(value []byte) uint32 { return uint32(min(len(value), math.MaxUint32)) } //nolint:gosec // it is in the range

// shortOf returns the beginning of a value's digest, for a log.
func shortOf(value []byte) string {
	if value == nil {
		return ""
	}
	digest := crypto.Sum(value)
	return " " + digest.Short()
}
