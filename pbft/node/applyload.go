package node

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// The state's keys by their first byte. Every value is of fixed width, but for
// the application's and the result at the end of a record. docs/STORAGE.md has
// the layout.
const (
	// AppPrefix begins the keys of the application.
	AppPrefix = "a"
	// clientPrefix + client → the client's session, low watermark and window.
	clientPrefix = "c"
	// resultPrefix + client + session + number → the operation's kept result.
	resultPrefix = "r"
	// outputPrefix + number → an output that is kept.
	outputPrefix = "o"
	// metaName → the place in the order.
	metaName = "smeta"
)

// Widths of the values.
const (
	clientBytes      = 8 + 8 + 8*len(core.ClientState{}.Done)
	recordFixedBytes = 8 + 1
	metaBytes        = 8 + crypto.DigestSize + 8 + 3*8 + crypto.DigestSize + 8 + 8
)

// meta is the place of a state in the order.
type meta struct {
	seq     wire.Seq
	history crypto.Digest
	time    wire.Time
	outputs emittedSoFar
	domain  crypto.Domain
	floor   wire.Session // the highest session that the client table forgot
}

// record is the kept result of one operation.
type record struct {
	seq     wire.Seq
	outcome wire.Outcome
	result  []byte
}

// told returns what the client is told.
func (r *record) told(client wire.ClientID, session wire.Session, number wire.Number) wire.Told {
	return wire.Told{
		Client: client, Session: session,
		Answer: wire.Answer{Number: number, Seq: r.seq, Outcome: r.outcome, Result: r.result},
	}
}

func metaKey() []byte { return []byte(metaName) }

func clientKey(client wire.ClientID) []byte { return append([]byte(clientPrefix), client[:]...) }

// resultID names the kept result of an operation.
type resultID core.Answer

func idOf(o core.Order) resultID { return resultID{o.Request.Client, o.Request.Session, o.Number()} }

func (id resultID) key() []byte {
	key := make([]byte, 0, len(resultPrefix)+len(id.Client)+8+8)
	key = append(append(key, resultPrefix...), id.Client[:]...)
	key = binary.BigEndian.AppendUint64(key, uint64(id.Session))
	return binary.BigEndian.AppendUint64(key, uint64(id.Number))
}

func (m meta) encode() []byte {
	b := make([]byte, 0, metaBytes)
	b = binary.BigEndian.AppendUint64(b, uint64(m.seq))
	b = append(b, m.history[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(m.time)) //nolint:gosec // the same bits
	b = binary.BigEndian.AppendUint64(b, m.outputs.all)
	b = binary.BigEndian.AppendUint64(b, m.outputs.kept)
	b = binary.BigEndian.AppendUint64(b, m.outputs.bytes)
	b = append(b, m.domain.Cluster[:]...)
	b = binary.BigEndian.AppendUint64(b, m.domain.Epoch)
	return binary.BigEndian.AppendUint64(b, uint64(m.floor))
}

func decodeMeta(b []byte) (meta, error) {
	if len(b) != metaBytes {
		return meta{}, fmt.Errorf("the record of the place in the order has %d bytes, want %d: was it written by another version?",
			len(b), metaBytes)
	}
	var m meta
	m.seq = wire.Seq(binary.BigEndian.Uint64(b))
	b = b[8:]
	b = b[copy(m.history[:], b):]
	m.time = wire.Time(binary.BigEndian.Uint64(b)) //nolint:gosec // the same bits
	m.outputs.all = binary.BigEndian.Uint64(b[8:])
	m.outputs.kept = binary.BigEndian.Uint64(b[16:])
	m.outputs.bytes = binary.BigEndian.Uint64(b[24:])
	b = b[32:]
	b = b[copy(m.domain.Cluster[:], b):]
	m.domain.Epoch = binary.BigEndian.Uint64(b)
	m.floor = wire.Session(binary.BigEndian.Uint64(b[8:]))
	return m, nil
}

func (r record) encode() []byte {
	b := make([]byte, 0, recordFixedBytes+len(r.result))
	b = binary.BigEndian.AppendUint64(b, uint64(r.seq))
	return append(append(b, byte(r.outcome)), r.result...)
}

func decodeRecord(b []byte) (record, error) {
	if len(b) < recordFixedBytes {
		return record{}, fmt.Errorf("a kept result has %d bytes, want %d or more", len(b), recordFixedBytes)
	}
	r := record{seq: wire.Seq(binary.BigEndian.Uint64(b)), outcome: wire.Outcome(b[8])}
	r.result = append(r.result, b[recordFixedBytes:]...)
	return r, nil
}

func encodeClient(s *core.ClientState) []byte {
	b := make([]byte, 0, clientBytes)
	b = binary.BigEndian.AppendUint64(b, uint64(s.Session))
	b = binary.BigEndian.AppendUint64(b, uint64(s.Low))
	for _, w := range s.Done {
		b = binary.BigEndian.AppendUint64(b, w)
	}
	return b
}

func decodeClient(key, value []byte) (core.ClientState, error) {
	s := core.ClientState{}
	if len(key) != len(clientPrefix)+len(s.Client) || len(value) != clientBytes {
		return s, fmt.Errorf("client record %x has %d bytes, want %d", key, len(value), clientBytes)
	}
	copy(s.Client[:], key[len(clientPrefix):])
	s.Session = wire.Session(binary.BigEndian.Uint64(value))
	s.Low = wire.Number(binary.BigEndian.Uint64(value[8:]))
	for i := range s.Done {
		s.Done[i] = binary.BigEndian.Uint64(value[16+8*i:])
	}
	return s, nil
}

// Load reads where the state stands, after it was opened and after every
// transfer: its content must be that of its newest snapshot. A state without one
// must be empty; it is that of number 0.
func (a *Applier) Load() (core.Snapshot, error) {
	if a.broken != nil {
		return core.Snapshot{}, a.broken
	}
	a.loaded = false
	seq, root := a.state.Last()
	m, err := a.loadMeta(seq)
	if err != nil {
		return core.Snapshot{}, fmt.Errorf("node: load the state of checkpoint %d: %w", seq, err)
	}
	clients, err := a.loadClients()
	if err != nil {
		return core.Snapshot{}, fmt.Errorf("node: load the state of checkpoint %d: %w", seq, err)
	}
	a.meta, a.loaded = m, true
	a.clients, a.changed, a.unsaved = make(map[wire.ClientID]*held, len(clients)), nil, 0
	for _, s := range clients {
		a.clients[s.Client] = newHeld(s)
	}
	return core.Snapshot{Seq: seq, State: root, History: m.history, Time: m.time, Clients: clients, Floor: m.floor}, nil
}

func (a *Applier) loadMeta(seq wire.Seq) (meta, error) {
	value, ok, err := a.state.Get(metaKey())
	if err != nil {
		return meta{}, err
	}
	if !ok {
		return meta{}, a.checkEmpty(seq)
	}
	m, err := decodeMeta(value)
	switch {
	case err != nil:
		return meta{}, err
	case m.domain != a.domain:
		return meta{}, fmt.Errorf("it is of cluster %s, epoch %d, not of cluster %s, epoch %d: check the directory",
			m.domain.Cluster.Short(), m.domain.Epoch, a.domain.Cluster.Short(), a.domain.Epoch)
	case m.seq != seq:
		return meta{}, fmt.Errorf("its content is of number %d", m.seq)
	}
	return m, nil
}

func (a *Applier) checkEmpty(seq wire.Seq) error {
	if seq != 0 {
		return errors.New("it does not say its place in the order")
	}
	empty := true
	err := a.state.Scan(nil, nil, func(_, _ []byte) bool {
		empty = false
		return false
	})
	if err == nil && !empty {
		return errors.New("it is not empty and does not say its place in the order")
	}
	return err
}

func (a *Applier) loadClients() ([]core.ClientState, error) {
	var clients []core.ClientState
	var malformed error
	end := []byte{clientPrefix[0] + 1}
	err := a.state.Scan([]byte(clientPrefix), end, func(key, value []byte) bool {
		s, err := decodeClient(key, value)
		if err != nil {
			malformed = err
			return false
		}
		clients = append(clients, s)
		return true
	})
	return clients, errors.Join(err, malformed)
}
