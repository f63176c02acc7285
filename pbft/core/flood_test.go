package core

import (
	"testing"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// TestFloodDeposesNobody has a few clients keep the primary's pool full, which then has no
// room for what others ask and backups know of.
func TestFloodDeposesNobody(t *testing.T) {
	for name, most := range map[string]load{"requests": {200, poolBytesMax}, "bytes": {poolRequestsMax, 200 * 250}} {
		k := newTrack(t, func(c *Config) { c.BatchRequestsMax, c.BatchBytesMax = 8, 8*250 })
		for _, one := range k.runners {
			one.r.pool.most = most
		}
		var next [20]wire.Number
		fill := func(r *Replica, i int) bool {
			number := next[i] + 1
			sealed := wire.Seal(tallySigner{100}, crypto.Domain{}, &wire.Request{
				Client: wire.ClientID{byte(i), 200}, Session: 1, Number: number, Acked: number - 1, Ops: [][]byte{{1}},
			})
			req := sealed.Message().(*wire.Request) //nolint:errcheck,forcetypeassert // made so
			fits := r.refuseRequest(sealed, req, r.now) == 0
			if fits {
				r.admit(sealed, req)
				next[i] = number
			}
			return fits
		}
		k.tamper = func(r *Replica) {
			for i := 0; r.id == r.primary() && i < len(next); i++ {
				for fill(r, i) {
				}
			}
		}
		k.run(20)
		late := k.ask(3, 1)
		k.run(k.cfg.RequestTicks)
		for _, a := range late {
			if a.answered < 5 || k.leaves > 0 {
				t.Errorf("%s: a client got %d answers; views left: %q", name, a.answered, k.left)
			}
		}
	}
}
