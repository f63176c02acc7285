package network

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// protocolVersion is the version of Hello and of the frames' format.
const protocolVersion = 1

// clientProtocol is what clients speak.
const clientProtocol = "/quorate/1/client"

func protocolOf(class wire.Class) protocol.ID {
	switch class {
	case wire.ClassVotes:
		return "/quorate/1/votes"
	case wire.ClassBatches:
		return "/quorate/1/batches"
	case wire.ClassBulk:
		return "/quorate/1/bulk"
	default: // ClassClients
		return clientProtocol
	}
}

// hello is the first thing on every stream, said by whoever opened it.
//
//	version u32 | cluster 32 bytes | epoch u64 | sender u32 | class u8
type hello struct {
	version uint32
	cluster crypto.Digest
	epoch   uint64
	sender  wire.ReplicaID // outsider for a client
	class   wire.Class
}

const helloBytes = 4 + crypto.DigestSize + 8 + 4 + 1

func (h hello) encode() []byte {
	b := make([]byte, 0, helloBytes)
	b = binary.BigEndian.AppendUint32(b, h.version)
	b = append(b, h.cluster[:]...)
	b = binary.BigEndian.AppendUint64(b, h.epoch)
	b = binary.BigEndian.AppendUint32(b, uint32(h.sender))
	return append(b, byte(h.class))
}

func readHello(r io.Reader) (hello, error) {
	var b [helloBytes]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return hello{}, err
	}
	h := hello{version: binary.BigEndian.Uint32(b[:]), class: wire.Class(b[helloBytes-1])}
	copy(h.cluster[:], b[4:])
	h.epoch = binary.BigEndian.Uint64(b[4+crypto.DigestSize:])
	h.sender = wire.ReplicaID(binary.BigEndian.Uint32(b[4+crypto.DigestSize+8:]))
	return h, nil
}

// verdict is the answer to a hello.
type verdict byte

const (
	verdictWelcome  verdict = 0
	verdictVersion  verdict = 1 // another version of the protocol
	verdictGenesis  verdict = 2 // another genesis
	verdictEpoch    verdict = 3
	verdictImpostor verdict = 4 // not the sender, or not the class, that it says
	verdictCrowd    verdict = 5 // no room for one more client
)

// answer tells the other side what became of its hello, and what ours is, so
// that the operators of both see both.
//
//	verdict u8 | version u32 | cluster 32 bytes | epoch u64
type answer struct {
	verdict verdict
	version uint32
	cluster crypto.Digest
	epoch   uint64
}

const answerBytes = 1 + 4 + crypto.DigestSize + 8

func (a answer) encode() []byte {
	b := make([]byte, 0, answerBytes)
	b = append(b, byte(a.verdict))
	b = binary.BigEndian.AppendUint32(b, a.version)
	b = append(b, a.cluster[:]...)
	return binary.BigEndian.AppendUint64(b, a.epoch)
}

func readAnswer(r io.Reader) (answer, error) {
	var b [answerBytes]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return answer{}, err
	}
	a := answer{verdict: verdict(b[0]), version: binary.BigEndian.Uint32(b[1:])}
	copy(a.cluster[:], b[5:])
	a.epoch = binary.BigEndian.Uint64(b[5+crypto.DigestSize:])
	return a, nil
}

// GenesisError says that the other side belongs to another cluster: the hashes
// of the two genesis files differ.
type GenesisError struct{ Ours, Theirs crypto.Digest }

// Error names both hashes and what to do.
func (e *GenesisError) Error() string {
	return fmt.Sprintf("another cluster: our genesis is %s, theirs %s; give both sides the same genesis file",
		e.Ours, e.Theirs)
}

// EpochError says that the other side is of the same cluster, in another epoch.
type EpochError struct{ Ours, Theirs uint64 }

// Error names both epochs and what to do.
func (e *EpochError) Error() string {
	return fmt.Sprintf("another epoch: ours is %d, theirs %d; bring the older side up to date", e.Ours, e.Theirs)
}

// VersionError says that the other side speaks another version of the protocol.
type VersionError struct{ Ours, Theirs uint32 }

// Error names both versions and what to do.
func (e *VersionError) Error() string {
	return fmt.Sprintf("another protocol version: ours is %d, theirs %d; upgrade the older side", e.Ours, e.Theirs)
}

// ErrRefused is what a dialler gets that the other side does not take: it is not
// the member it says it is, or there is no room for one more client.
var ErrRefused = errors.New("refused")

// judge compares a hello with ours, which has what sender and class must be.
func (h hello) judge(ours hello) verdict {
	switch {
	case h.version != ours.version:
		return verdictVersion
	case h.cluster != ours.cluster:
		return verdictGenesis
	case h.epoch != ours.epoch:
		return verdictEpoch
	case h.sender != ours.sender || h.class != ours.class:
		return verdictImpostor
	default:
		return verdictWelcome
	}
}

// err returns what a's verdict means to whoever said ours.
func (a answer) err(ours hello) error {
	switch a.verdict {
	case verdictWelcome:
		return nil
	case verdictVersion:
		return &VersionError{Ours: ours.version, Theirs: a.version}
	case verdictGenesis:
		return &GenesisError{Ours: ours.cluster, Theirs: a.cluster}
	case verdictEpoch:
		return &EpochError{Ours: ours.epoch, Theirs: a.epoch}
	case verdictImpostor:
		return fmt.Errorf("%w: our key is not the one that they have for us; compare the genesis files", ErrRefused)
	case verdictCrowd:
		return fmt.Errorf("%w: too many clients; try later, or raise the replica's limit", ErrRefused)
	default:
		return fmt.Errorf("%w, for a reason that this version does not know: %d", ErrRefused, a.verdict)
	}
}

// mismatch reports a fault of err's kind, if it is of one, with both sides'
// values.
func (l *ledger) mismatch(who wire.ReplicaID, err error) {
	var genesis *GenesisError
	var epoch *EpochError
	var version *VersionError
	switch {
	case errors.As(err, &genesis):
		l.addGenesis(who, FaultGenesis, err.Error(), genesis.Theirs)
	case errors.As(err, &epoch):
		l.add(who, FaultEpoch, err.Error())
	case errors.As(err, &version):
		l.add(who, FaultVersion, err.Error())
	}
}

// note is mismatch for the side that gave the verdict.
func (l *ledger) note(who wire.ReplicaID, theirs, ours hello, v verdict) {
	if v == verdictImpostor {
		l.add(who, FaultImpostor, fmt.Sprintf("says it is replica %d, class %d", theirs.sender, theirs.class))
		return
	}
	l.mismatch(who, answer{v, theirs.version, theirs.cluster, theirs.epoch}.err(ours))
}
