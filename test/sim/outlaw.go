package sim

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/quorate/quorate/app/kv"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// outlaw is a Byzantine client. It keeps to no rule: it gives one number to
// several operations, goes back to old sessions and jumps ahead, floods, asks for
// what is too large or empty, calls writes reads, uses keys that are none, and
// repeats what others once asked. What it writes is apart from what the checked
// clients of the key-value store use, so that their history explains itself.
type outlaw struct {
	w       *world
	id      int
	signer  crypto.Signer
	rng     *rand.Rand
	session wire.Session
	next    wire.Number
	ops     int
	floods  int
	store   bool // the application is the key-value store
	// giant is a request that is too large. It is made once, for making it took
	// longer than all the rest of a run.
	giant *wire.Sealed
}

// outlawKeys is where the keys of outlaws begin.
const outlawKeys = 2_000_000

// outlawEvery is the longest time between two acts of an outlaw.
const outlawEvery = 10 * tick

// planOutlaws lets the outlaws begin.
func (w *world) planOutlaws() {
	for i := range w.o.Outlaws {
		l := &outlaw{
			w: w, id: i, signer: w.signer(outlawKeys + i), session: wire.Session(w.wall()), //nolint:gosec // after 1970
			rng:  rand.New(rand.NewPCG(w.o.Seed, outlawKeys+uint64(i))), //nolint:gosec // small; and it need not be secret
			next: 1, store: w.o.isStore(),
		}
		w.known[l.signer.Public()] = true
		w.after(w.between(0, outlawEvery), l.act)
	}
}

// act does something wrong, again and again until the others are done.
func (l *outlaw) act() {
	for _, c := range l.w.clients {
		if !c.finished() {
			l.one()
			l.w.after(time.Duration(l.rng.Int64N(int64(outlawEvery))), l.act)
			return
		}
	}
}

func (l *outlaw) one() {
	l.w.counters.Crimes++
	switch l.rng.IntN(9) {
	case 0:
		l.equivocate()
	case 1:
		l.flood()
	case 2:
		l.repeat()
	case 3:
		l.session = l.otherSession()
	case 4:
		l.next += wire.Number(l.rng.IntN(2 * core.ClientWindowMax)) //nolint:gosec // small
	case 5:
		l.misshape()
	case 6:
		l.weakKey()
	case 7: // a write that is called a read
		m := l.request(l.operation())
		m.ReadOnly = true
		l.send(l.someNode(), l.seal(m))
		l.query(m.Ops)
	default:
		l.send(l.someNode(), l.seal(l.request(l.operation())))
	}
}

func (l *outlaw) someNode() *node { return l.w.nodes[l.rng.IntN(len(l.w.nodes))] }

// operation returns one of the machine's, such as one of the clients has, or, of the
// key-value store, one on keys of its own.
func (l *outlaw) operation() []byte {
	l.ops++
	if o := &l.w.o; !l.store {
		return o.Operation(l.rng, l.id%o.Clients, 1+(l.ops-1)%o.Operations)
	}
	return kv.Put(fmt.Sprint("outlaw", l.rng.IntN(4)), fmt.Append(nil, l.id, l.ops))
}

// request asks for ops with the next number.
func (l *outlaw) request(ops ...[]byte) *wire.Request {
	m := &wire.Request{Session: l.session, Number: l.next, Acked: wire.Number(l.rng.Uint64N(uint64(l.next))), Ops: ops}
	l.next += wire.Number(len(ops)) //nolint:gosec // small
	return m
}

func (l *outlaw) seal(m *wire.Request) *wire.Sealed {
	m.Client = l.signer.Public()
	return wire.Seal(l.signer, l.w.domain, m)
}

// send lets a replica have a request, as a connection would: opened first.
func (l *outlaw) send(to *node, sealed *wire.Sealed) {
	opened, err := l.w.open(sealed)
	if err != nil {
		l.w.counters.Unfit++
		return
	}
	l.w.after(l.w.delay(), func() { to.accept(opened) })
}

// query asks all replicas for writes as a query, where clients have queries.
func (l *outlaw) query(ops [][]byte) {
	if l.w.o.FastReads == 0 {
		return
	}
	m := l.w.sealQuery(l.signer, &wire.Query{Client: l.signer.Public(), Nonce: uint64(l.ops), Ops: ops}) //nolint:gosec // small
	for _, n := range l.w.nodes {
		l.w.after(l.w.delay(), func() { n.query(nil, m) })
	}
}

// equivocate gives one number to several operations.
func (l *outlaw) equivocate() {
	first := l.request(l.operation())
	for _, n := range l.w.nodes {
		m := *first
		if l.rng.IntN(2) == 0 {
			m.Ops = [][]byte{l.operation()}
		}
		l.send(n, l.seal(&m))
	}
}

// floodsMax bounds the floods of one outlaw: what waits in the replicas' queues is
// passed on again and again, and made a few runs as long as a hundred others.
const floodsMax = 3

// flood asks for much at once, of one replica or of all.
func (l *outlaw) flood() {
	if l.floods++; l.floods > floodsMax {
		return
	}
	to, all := l.someNode(), l.rng.IntN(2) == 0
	for range 40 {
		sealed := l.seal(l.request(l.operation()))
		for _, n := range l.w.nodes {
			if all || n == to {
				l.send(n, sealed)
			}
		}
	}
}

// repeat asks again what somebody once asked.
func (l *outlaw) repeat() {
	if past := l.w.asked; len(past) > 0 {
		l.send(l.someNode(), past[l.rng.IntN(len(past))])
	}
}

// otherSession is older, far ahead, or a little newer.
func (l *outlaw) otherSession() wire.Session {
	switch l.rng.IntN(3) {
	case 0:
		return wire.Session(l.rng.Uint64N(uint64(l.session) + 1))
	case 1:
		return wire.Session(l.w.wall()) + wire.Session(time.Hour)*wire.Session(l.rng.IntN(100)) //nolint:gosec // after 1970
	default:
		l.next = 1
		return wire.Session(l.w.wall()) //nolint:gosec // after 1970
	}
}

// misshape asks for what is empty, too large for a batch, or for any frame.
func (l *outlaw) misshape() {
	for _, ops := range [][][]byte{{}, {nil}, make([][]byte, 100), {[]byte("no operation")}} {
		l.send(l.someNode(), l.seal(l.request(ops...)))
	}
	if l.giant == nil {
		l.giant = l.seal(l.request(make([]byte, l.giantBytes())))
	}
	l.send(l.someNode(), l.giant)
}

// giantBytes is too much for a batch, or for any request.
func (l *outlaw) giantBytes() int {
	if most := l.w.opener.Limits().OpBytesMax; l.w.o.BatchBytes > most || l.rng.IntN(4) == 0 {
		return most + 1
	}
	return l.w.o.BatchBytes
}

// weak is a key that is none: anybody can sign for it, or it has two encodings.
type weak struct {
	crypto.Signer
	key crypto.PublicKey
}

// Public returns the weak key.
func (k weak) Public() crypto.PublicKey { return k.key }

// weakKey asks as somebody whose key is none, which nobody may open.
func (l *outlaw) weakKey() {
	for _, b := range []byte{0, 1, 0xee} {
		k := weak{Signer: l.signer}
		for i := range k.key {
			k.key[i] = map[bool]byte{true: 0xff, false: 0}[b == 0xee]
		}
		k.key[0] = b
		m := l.request(l.operation())
		m.Client = k.key
		if _, err := l.w.opener.OpenOne(wire.Seal(k, l.w.domain, m).Frame()); err == nil {
			l.w.breach(lawOnce, "a request of the key %x was opened", k.key[:4])
		}
	}
}

// accept takes in a request of somebody, if it may be one.
func (n *node) accept(sealed *wire.Sealed) {
	switch {
	case n.down:
	case n.paused:
		n.later(func() { n.accept(sealed) })
	default:
		n.step(core.Submitted{Request: sealed})
	}
}

// askedMax bounds the requests that are remembered for outlaws.
const askedMax = 128

// eavesdrop remembers a request of a correct client.
func (w *world) eavesdrop(sealed *wire.Sealed) {
	if w.o.Outlaws == 0 {
		return
	}
	if len(w.asked) < askedMax {
		w.asked = append(w.asked, sealed)
	}
}
