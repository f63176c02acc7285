package adversary_test

import (
	"strings"
	"testing"

	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// Law: under a correct primary no client starves another by what it asks for.
// Attack: five clients keep three equal requests waiting each, of which four fill
// a batch, so that the same one could find no room each time.
func TestNoClientStarvesUnderACorrectPrimary(t *testing.T) {
	const clients, waiting, batches = 5, 3, 300
	l := newLab(t, 4)
	l.configure = func(c *core.Config) { c.BatchBytesMax, c.InFlight = 4096, 1 }
	l.start()
	op := strings.Repeat("x", 700)
	var asked, served [clients]wire.Number
	number := map[wire.ClientID]int{}
	for c := range clients {
		number[l.signer(clientKeys+c).Public()] = c
	}
	feed := func() {
		for c := range clients {
			for asked[c] < served[c]+waiting {
				asked[c]++
				l.submit(l.request(c, asked[c], op), l.hosts...)
			}
		}
	}
	counted := 0
	count := func() {
		for _, ex := range l.hosts[0].executed[counted:] {
			for _, order := range ex.Orders {
				served[number[order.Request.Client]]++
			}
			counted++
		}
	}
	for feed(); counted < batches && len(l.net) > 0; feed() {
		l.deliver()
		count()
	}
	if counted < batches {
		t.Fatalf("the cluster came to rest after %d batches, want %d", counted, batches)
	}
	for c, got := range served {
		if want := wire.Number(counted / 2); got < want {
			t.Errorf("client %d was served %d times in %d batches, want at least %d; all: %v", c, got, counted, want, served)
		}
	}
}
