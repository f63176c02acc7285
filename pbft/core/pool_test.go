package core

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

func sizedRequest(client byte, number wire.Number, size int) *wire.Sealed {
	return wire.Reseal(&wire.Request{
		Client: wire.ClientID{client}, Session: 1, Number: number, Ops: [][]byte{make([]byte, size)},
	})
}

// TestPoolServesClientsInTurn fills a pool at random and empties it batch by
// batch: while a client waits, no other is served twice.
func TestPoolServesClientsInTurn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := &Config{
			BatchRequestsMax: rapid.IntRange(1, 6).Draw(t, "batch"),
			BatchBytesMax:    rapid.IntRange(400, 1500).Draw(t, "bytes"),
		}
		table := newClientTable(10, nil)
		p := newPool()
		number := wire.Number(0)
		since := map[wire.ClientID]map[wire.ClientID]int{} // waiting client → served meanwhile
		waiting := map[wire.ClientID]int{}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			if rapid.IntRange(0, 2).Draw(t, "what") > 0 {
				number++
				client := byte(rapid.IntRange(1, 4).Draw(t, "client"))
				one := sizedRequest(client, number, rapid.IntRange(0, 700).Draw(t, "size"))
				req := one.Message().(*wire.Request) //nolint:errcheck // made above
				p.add(one, req, uint64(number))
				if waiting[req.Client]++; waiting[req.Client] == 1 {
					since[req.Client] = map[wire.ClientID]int{}
				}
				continue
			}
			serve(t, cfg, p.take(cfg, &table), queueing{waiting, since})
		}
	})
}

// TestFetchedStateTellsWhatIsGivenUp has requests wait whose clients a fetched table of
// clients, which is full, knows, may take in, and may not: the last are given up, with what
// is spent.
func TestFetchedStateTellsWhatIsGivenUp(t *testing.T) {
	table := newClientTable(2, []ClientState{
		{Client: wire.ClientID{1}, Session: 5, Low: 3}, {Client: wire.ClientID{2}, Session: 7},
	})
	p := newPool()
	stays := map[crypto.Digest]bool{}
	for _, one := range []struct {
		client  byte
		session wire.Session
		number  wire.Number
		stays   bool
	}{
		{1, 5, 3, false},
		{1, 5, 4, true},
		{1, 5, 3 + ClientWindowMax, true},
		{1, 5, 4 + ClientWindowMax, false}, // what came with it in a request executed meanwhile
		{1, 4, 9, false},
		{1, 6, 1, true},
		{2, 7, 1, true},
		{3, 5, 1, false},
		{3, 4, 1, false},
		{4, 6, 1, true},
	} {
		sealed := wire.Reseal(&wire.Request{
			Client: wire.ClientID{one.client}, Session: one.session, Number: one.number, Ops: [][]byte{{1}},
		})
		p.add(sealed, sealed.Message().(*wire.Request), 0) //nolint:errcheck,forcetypeassert // made so
		stays[sealed.Digest()] = one.stays
	}
	p.giveUp(&table)
	for digest, want := range stays {
		if _, is := p.byDigest[digest]; is != want {
			t.Errorf("request %s waits: %v, want %v", digest.Short(), is, want)
		}
	}
}

// TestSettledRequestsTakeNoTurn lets many requests of one client be settled while they
// wait: its next one is served in the client's turn all the same, whoever else waits.
func TestSettledRequestsTakeNoTurn(t *testing.T) {
	cfg := &Config{BatchRequestsMax: 2, BatchBytesMax: 1000}
	table, p := newClientTable(10, nil), newPool()
	add := func(client byte, number wire.Number) {
		one := sizedRequest(client, number, 10)
		p.add(one, one.Message().(*wire.Request), 0) //nolint:errcheck // made so
	}
	for number := range wire.Number(21) {
		add(1, number+1)
		add(2, number+1)
	}
	table.take(&wire.Request{Client: wire.ClientID{1}, Session: 1, Number: 22, Acked: 20, Ops: [][]byte{nil}}, nil)
	out := p.take(cfg, &table)
	if len(out) != 2 || out[0].Client != (wire.ClientID{1}) || out[0].Number != 21 || out[1].Client != (wire.ClientID{2}) {
		t.Errorf("got %+v, want number 21 of client 1 and one of client 2", out)
	}
	if got := len(p.lines[wire.ClientID{1}].requests); got != 1 {
		t.Errorf("client 1 has %d requests, want the one that is in the batch", got)
	}
}

// TestNewSessionGivesUpTheOld lets a client begin anew: what waits of its old session
// takes no turns of the new one.
func TestNewSessionGivesUpTheOld(t *testing.T) {
	cfg, p, table := DefaultConfig(0, Quorum{}), newPool(), newClientTable(10, nil)
	cfg.BatchRequestsMax = 1
	ask := func(session wire.Session, number wire.Number) int {
		one := wire.Reseal(requestOf(1, session, number))
		return len(p.admit(one, one.Message().(*wire.Request), &cfg, 1)) //nolint:errcheck // made so
	}
	for number := range wire.Number(20) {
		if gone := ask(5, number+1); gone > 0 {
			t.Fatalf("number %d displaces %d others of its session", number+1, gone)
		}
	}
	p.take(&cfg, &table) // number 1 is in a batch
	if gone := ask(6, 1); gone != 19 {
		t.Errorf("the new session displaces %d requests, want the 19 that are in no batch", gone)
	}
	if !p.full(requestOf(1, 5, 50), &cfg) || p.full(requestOf(1, 6, 2), &cfg) {
		t.Error("there is room for a late request of the old session, or none for the new one's next")
	}
	p.unpropose()
	if got := len(p.lines[wire.ClientID{1}].requests); got != 1 || p.waiting != 1 {
		t.Errorf("in a new view %d requests wait, want the new session's", got)
	}
	if out := p.take(&cfg, &table); len(out) != 1 || out[0].Session != 6 {
		t.Errorf("got %v, want the one of the new session", out)
	}
}

// queueing is who waits, and how often others were served meanwhile.
type queueing struct {
	waiting map[wire.ClientID]int
	since   map[wire.ClientID]map[wire.ClientID]int
}

func serve(t *rapid.T, cfg *Config, out []*wire.Request, q queueing) {
	waiting, since := q.waiting, q.since
	bytes, left := 0, 0
	for _, n := range waiting {
		left += n
	}
	if len(out) > cfg.BatchRequestsMax || len(out) == 0 && left > 0 {
		t.Fatalf("got %d of %d waiting requests, want up to %d", len(out), left, cfg.BatchRequestsMax)
	}
	for _, req := range out {
		bytes += req.Size()
		for client, served := range since {
			if client == req.Client || waiting[client] == 0 {
				continue
			}
			if served[req.Client]++; served[req.Client] > 1 {
				t.Fatalf("client %d is served twice while client %d waits", req.Client[0], client[0])
			}
		}
		waiting[req.Client]--
		since[req.Client] = map[wire.ClientID]int{}
	}
	if bytes > cfg.BatchBytesMax && len(out) > 1 {
		t.Fatalf("got %d bytes in %d requests, want at most %d", bytes, len(out), cfg.BatchBytesMax)
	}
}

// TestClientsThatLeftChangeNoTurn holds that a pool in which lines of clients that left
// remain for a while serves as one that forgets them at once.
func TestClientsThatLeftChangeNoTurn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := &Config{BatchRequestsMax: rapid.IntRange(1, 6).Draw(t, "batch"), BatchBytesMax: 1000}
		table := newClientTable(10, nil)
		lazy, prompt := newPool(), newPool()
		both := func(f func(p *pool)) {
			f(&lazy)
			f(&prompt)
			prompt.turn, prompt.left = slices.DeleteFunc(prompt.turn, (*line).empty), 0
		}
		var known []crypto.Digest
		for i := range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 4).Draw(t, "what") {
			case 0, 1:
				one := sizedRequest(byte(rapid.IntRange(1, 8).Draw(t, "client")), wire.Number(i+1), 100) //nolint:gosec // small
				req := one.Message().(*wire.Request)                                                     //nolint:errcheck // made so
				both(func(p *pool) { p.add(one, req, uint64(i)) })                                       //nolint:gosec // small
				known = append(known, one.Digest())
			case 2:
				if len(known) > 0 {
					at := rapid.IntRange(0, len(known)-1).Draw(t, "removed")
					both(func(p *pool) { p.remove(known[at]) })
				}
			case 3:
				both((*pool).unpropose)
			default:
				var outs [][]*wire.Request
				both(func(p *pool) { outs = append(outs, p.take(cfg, &table)) })
				if !slices.Equal(outs[0], outs[1]) {
					t.Fatalf("a batch differs: got %v, want %v", outs[0], outs[1])
				}
			}
			if got, want := next(&lazy, &table), next(&prompt, &table); !slices.Equal(got, want) {
				t.Fatalf("first in turn, after the longest that waits: got %v, want %v", got, want)
			}
		}
	})
}

// next returns the client that waits longest, and the first request of each in turn.
func next(p *pool, t *clientTable) (all []crypto.Digest) {
	if l, _ := p.longest(t, 0); l != nil {
		all = append(all, crypto.Digest(l.client))
	}
	for _, one := range p.heads(t) {
		all = append(all, one.digest)
	}
	return all
}

// TestPoolCountsWhatItHolds adds, proposes and removes at random.
func TestPoolCountsWhatItHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := &Config{BatchRequestsMax: 3, BatchBytesMax: 1 << 20, QueueRequestsMax: 5, QueueBytesMax: 1500}
		table := newClientTable(10, nil)
		p := newPool()
		if rapid.Bool().Draw(t, "crowded") {
			p.most = load{rapid.IntRange(3, 12).Draw(t, "requests"), rapid.IntRange(600, 3000).Draw(t, "bytes")}
		}
		held := map[crypto.Digest]*wire.Request{}
		var all []crypto.Digest
		for i := range rapid.IntRange(1, 120).Draw(t, "steps") {
			what := []string{"add", "add", "remove", "place", "take", "unpropose", "execute", "longest"}
			switch rapid.SampledFrom(what).Draw(t, "what") {
			case "add":
				client := byte(rapid.IntRange(1, 3).Draw(t, "client"))
				number := wire.Number(rapid.IntRange(1, 1000).Draw(t, "number")) //nolint:gosec // positive
				one := sizedRequest(client, number, rapid.IntRange(0, 300).Draw(t, "size"))
				req := one.Message().(*wire.Request) //nolint:errcheck // made above
				checkYielding(t, &p, req, cfg)
				checkShare(t, &p, req, cfg)
				if held[one.Digest()] == nil && !p.full(req, cfg) {
					for _, gone := range p.admit(one, req, cfg, uint64(i)) {
						delete(held, gone.digest)
					}
					held[one.Digest()] = req
					all = append(all, one.Digest())
				}
			case "remove":
				if len(all) > 0 {
					d := rapid.SampledFrom(all).Draw(t, "which")
					p.remove(d)
					delete(held, d)
				}
			case "place":
				if len(all) > 0 {
					p.markProposed(rapid.SampledFrom(all).Draw(t, "which"))
				}
			case "take":
				p.take(cfg, &table)
			case "unpropose":
				p.unpropose()
			case "execute":
				if len(all) > 0 {
					if req := held[rapid.SampledFrom(all).Draw(t, "which")]; req != nil {
						table.take(req, nil)
					}
				}
			case "longest":
				p.longest(&table, 0)
			}
			for d := range held { // take and longest forget what can run no more
				if _, there := p.byDigest[d]; !there && table.spent(held[d]) {
					delete(held, d)
				}
			}
			checkPool(t, &p, held, cfg)
		}
		if line, since := p.longest(&table, 0); line != nil {
			for _, other := range p.lines {
				if at := max(other.requests[0].since, other.served); at < since {
					t.Fatalf("got a client that waits since tick %d as the one that waits longest; another does since %d", since, at)
				}
			}
		}
		for d := range held {
			p.remove(d)
		}
		if p.bytes != 0 || len(p.byDigest)+len(p.lines)+len(p.turn)+len(p.arrivals) != 0 {
			t.Fatalf("empty, the pool holds %d bytes, %d lines, %d arrivals", p.bytes, len(p.lines), len(p.arrivals))
		}
	})
}

// checkShare holds room for req against an equal share: who has less finds room, unless
// others have that in batches; and nobody loses what is within it.
func checkShare(t *rapid.T, p *pool, req *wire.Request, cfg *Config) {
	own, ok := p.yielding(req, cfg)
	yield, room := p.crowding(req, own)
	again, _ := p.crowding(req, own)
	if !slices.Equal(yield, again) {
		t.Fatal("others must go when it is looked again")
	}
	clients, held := len(p.lines), load{}
	if l := p.lines[req.Client]; l != nil {
		held = load{len(l.requests), l.bytes}
	} else {
		clients++
	}
	held = held.plus(req)
	within := held.requests*clients <= p.most.requests && held.bytes*clients <= p.most.bytes
	if ok && within && !room && p.waiting == len(p.byDigest) {
		t.Fatalf("no room for %+v of %d clients, where all may have %+v", held, clients, p.most)
	}
	left := map[wire.ClientID]load{}
	for _, one := range yield {
		l := p.lines[one.req.Client]
		if _, known := left[l.client]; !known {
			left[l.client] = load{len(l.requests), l.bytes}
		}
		if had := left[l.client]; one.proposed || had.requests*clients <= p.most.requests && had.bytes*clients <= p.most.bytes {
			t.Fatalf("a request of %+v must go, in a batch: %v, where each of %d may have of %+v", had, one.proposed, clients, p.most)
		}
		left[l.client] = left[l.client].minus(one.req)
	}
}

func checkPool(t *rapid.T, p *pool, held map[crypto.Digest]*wire.Request, cfg *Config) {
	bytes := 0
	if len(p.byDigest) > p.most.requests || p.bytes > p.most.bytes {
		t.Fatalf("%d requests of %d bytes wait, want %+v at most", len(p.byDigest), p.bytes, p.most)
	}
	for d, req := range held {
		bytes += req.Size()
		if p.byDigest[d] == nil {
			t.Fatalf("request %d is gone", req.Number)
		}
	}
	if len(p.byDigest) != len(held) || p.bytes != bytes || len(p.turn)-p.left != len(p.lines) || 2*p.left > len(p.turn) {
		t.Fatalf("got %d requests of %d bytes, %d of %d lines in turn; want %d of %d",
			len(p.byDigest), p.bytes, len(p.turn)-p.left, len(p.lines), len(held), bytes)
	}
	for _, l := range p.turn {
		if l.empty() && cap(l.requests) > 0 {
			t.Fatalf("the line of a client that left keeps room for %d requests", cap(l.requests))
		}
	}
	if len(p.arrivals) > 4*len(p.byDigest)+65 {
		t.Fatalf("got %d arrivals for %d requests", len(p.arrivals), len(p.byDigest))
	}
	for _, l := range p.lines {
		if len(l.requests) == 0 || len(l.requests) > cfg.QueueRequestsMax || l.bytes > cfg.QueueBytesMax {
			t.Fatalf("client %d has %d requests of %d bytes", l.client[0], len(l.requests), l.bytes)
		}
	}
	checkWaiting(t, p)
}

// checkYielding finds what must give way one by one: always the latest of those left.
func checkYielding(t *rapid.T, p *pool, req *wire.Request, cfg *Config) {
	l := p.lines[req.Client]
	if l == nil {
		return
	}
	left, bytes := slices.Clone(l.requests), l.bytes+req.Size()
	var want []*pending
	for len(left)+1 > cfg.QueueRequestsMax || bytes > cfg.QueueBytesMax {
		last := -1
		for i, one := range left {
			if !one.proposed && (last < 0 || compareAge(left[last].req, one.req) < 0) {
				last = i
			}
		}
		if last < 0 || compareAge(req, left[last].req) >= 0 {
			if _, ok := p.yielding(req, cfg); ok {
				t.Fatalf("there is room for request %d, though earlier ones would have to give way", req.Number)
			}
			return
		}
		want, bytes = append(want, left[last]), bytes-left[last].req.Size()
		left = slices.Delete(left, last, last+1)
	}
	if got, ok := p.yielding(req, cfg); !ok || !slices.Equal(got, want) {
		t.Fatalf("%d give way to request %d, %v; want %d others", len(got), req.Number, ok, len(want))
	}
}

// checkWaiting counts anew what is in no batch.
func checkWaiting(t *rapid.T, p *pool) {
	waiting, waitingBytes := 0, 0
	for _, l := range p.lines {
		bytes := 0
		for i, one := range l.requests {
			bytes += one.req.Size()
			if !one.proposed {
				waiting, waitingBytes = waiting+1, waitingBytes+one.req.Size()
			}
			if p.byDigest[one.digest] != one || i < l.proposed && !one.proposed {
				t.Fatalf("request %d of client %d, of whom the first %d are in batches, waits or is gone", i, l.client[0], l.proposed)
			}
		}
		if l.bytes != bytes {
			t.Fatalf("client %d has %d bytes, want %d", l.client[0], l.bytes, bytes)
		}
	}
	if p.waiting != waiting || p.waitingBytes != waitingBytes {
		t.Fatalf("got %d waiting requests of %d bytes, want %d of %d", p.waiting, p.waitingBytes, waiting, waitingBytes)
	}
}

// TestOldestRequestsStay: of what a client asks beyond its share, the oldest waits.
func TestOldestRequestsStay(t *testing.T) {
	cfg := &Config{BatchRequestsMax: 1, BatchBytesMax: 1 << 20, QueueRequestsMax: 2, QueueBytesMax: 1000}
	p := newPool()
	add := func(n wire.Number, size int) bool {
		one := sizedRequest(1, n, size)
		req := one.Message().(*wire.Request) //nolint:errcheck // made above
		if p.full(req, cfg) {
			return false
		}
		p.admit(one, req, cfg, 0)
		return true
	}
	for _, step := range []struct {
		number wire.Number
		size   int
		fits   bool
		waits  string
	}{
		{5, 10, true, "5"},
		{7, 10, true, "5 7"},
		{8, 10, false, "5 7"}, // the share is full of what is older
		{6, 10, true, "5 6"},
		{3, 600, true, "5 3"},
		{2, 600, true, "5 2"},
		{1, 900, false, "5 2"}, // there would be room without 5, were it not in a batch
		{1, 200, true, "5 1"},
	} {
		if step.number == 2 {
			p.lines[wire.ClientID{1}].requests[0].proposed = true
		}
		fits := add(step.number, step.size)
		var waits []string
		for _, one := range p.lines[wire.ClientID{1}].requests {
			waits = append(waits, fmt.Sprint(one.req.Number))
		}
		if got := strings.Join(waits, " "); fits != step.fits || got != step.waits {
			t.Errorf("number %d: got %t with %s waiting, want %t with %s", step.number, fits, got, step.fits, step.waits)
		}
	}
}

// TestPoolTakesAWindowBesideAnother lets a client whose whole window waits here be
// answered by the others, and fill its window again: a replica that is a little
// behind must not refuse what a correct client sends.
func TestPoolTakesAWindowBesideAnother(t *testing.T) {
	cfg := DefaultConfig(0, Quorum{})
	p := newPool()
	for n := range wire.Number(2 * ClientWindowMax) {
		one := sizedRequest(1, n+1, 128)
		req := one.Message().(*wire.Request) //nolint:errcheck // made above
		if p.full(req, &cfg) {
			t.Fatalf("number %d is refused with %d waiting, want room for two windows of %d", n+1, n, ClientWindowMax)
		}
		if gone := p.admit(one, req, &cfg, 1); len(gone) > 0 {
			t.Fatalf("number %d displaces %d others, want none", n+1, len(gone))
		}
	}
}
