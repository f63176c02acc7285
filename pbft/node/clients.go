package node

import (
	"container/list"
	"slices"
	"sync"

	"github.com/quorate/quorate/pbft/wire"
)

const (
	// clientsMax bounds the clients whose connections are known: more than the
	// core's client table has by default. A client that is forgotten gets its
	// result when it sends its request again.
	clientsMax = 16384
	// connsMax is how many connections of one client are answered: more than one
	// because it may connect anew before the old connection is known to be dead,
	// and because anyone can replay a client's request. Those that were first stay as
	// long as they live, or whoever replays requests fast enough would leave a client
	// without answers; the last place is that of the newest.
	connsMax = 4
)

// clients know which connections a client sends its requests over: the results of what
// is executed go there. What it asks for again goes where it asks. Any goroutine may call
// its methods.
type clients struct {
	answer func(conn uint64, frame []byte) bool
	mu     struct {
		sync.Mutex
		byKey  map[wire.ClientID]*list.Element
		recent *list.List // of *client, the most recent first
	}
}

type client struct {
	id    wire.ClientID
	conns []uint64 // the oldest first
}

func newClients(answer func(conn uint64, frame []byte) bool) *clients {
	c := &clients{answer: answer}
	c.mu.byKey = make(map[wire.ClientID]*list.Element)
	c.mu.recent = list.New()
	return c
}

// learn notes that a request of id came over conn.
func (c *clients) learn(id wire.ClientID, conn uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.mu.byKey[id]
	if e == nil {
		c.makeRoom()
		c.mu.byKey[id] = c.mu.recent.PushFront(&client{id: id, conns: []uint64{conn}})
		return
	}
	c.mu.recent.MoveToFront(e)
	k := e.Value.(*client) //nolint:errcheck,forcetypeassert // the list holds nothing else
	if !slices.Contains(k.conns, conn) {
		k.conns = append(k.conns[:min(len(k.conns), connsMax-1)], conn)
	}
}

// makeRoom forgets the client that was silent longest, if there are too many. It
// needs the lock.
func (c *clients) makeRoom() {
	if c.mu.recent.Len() < clientsMax {
		return
	}
	last := c.mu.recent.Back()
	k := c.mu.recent.Remove(last).(*client) //nolint:errcheck,forcetypeassert // the list holds nothing else
	delete(c.mu.byKey, k.id)
}

// here returns those of told whose clients have a connection here. It overwrites
// told.
func (c *clients) here(told []wire.Told) []wire.Told {
	c.mu.Lock()
	defer c.mu.Unlock()
	var last wire.ClientID // most often, several in a row are for one
	known := false
	n := 0
	for i := range told {
		if id := told[i].Client; i == 0 || id != last {
			last, known = id, c.mu.byKey[id] != nil
		}
		if known {
			told[n] = told[i]
			n++
		}
	}
	return told[:n]
}

// conns returns the connections of id.
func (c *clients) conns(id wire.ClientID) []uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.mu.byKey[id]
	if e == nil {
		return nil
	}
	return slices.Clone(e.Value.(*client).conns) //nolint:errcheck,forcetypeassert // the list holds nothing else
}

// send sends frame over every connection of id, and forgets those that take nothing
// until they are asked over again: they are gone, or have no room for more.
func (c *clients) send(id wire.ClientID, frame []byte) {
	for _, conn := range c.conns(id) {
		if !c.answer(conn, frame) {
			c.forget(id, conn)
		}
	}
}

func (c *clients) forget(id wire.ClientID, conn uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.mu.byKey[id]
	if e == nil {
		return
	}
	k := e.Value.(*client) //nolint:errcheck,forcetypeassert // the list holds nothing else
	k.conns = slices.DeleteFunc(k.conns, func(of uint64) bool { return of == conn })
	if len(k.conns) == 0 {
		c.mu.recent.Remove(e)
		delete(c.mu.byKey, id)
	}
}
