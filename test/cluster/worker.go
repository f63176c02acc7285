package cluster

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/quorate/quorate/app/kv"
)

// The keys of a load begin with one of these.
const (
	sharedPrefix = "shared/"
	swapPrefix   = "swap/"
	uniquePrefix = "unique/"
	ownPrefix    = "proof/" // those of Prove
)

// The values of swap keys.
const (
	swapEven = "a"
	swapOdd  = "b"
)

// worker chooses the operations of one client. Its client's goroutine owns it.
type worker struct {
	client  int
	random  *rand.Rand
	last    kv.Op
	counter int // of operations: with the client, it makes values unique
	uniques int
	swaps   int                     // acknowledged
	seen    [loadSharedKeys]*string // the last values known of the shared keys
}

// choose returns the next operation.
func (w *worker) choose() kv.Op {
	w.counter++
	value := fmt.Appendf(nil, "c%d.%d", w.client, w.counter)
	switch draw := w.random.IntN(10); {
	case draw < 3:
		w.last = kv.Op{Kind: kv.KindPutIfAbsent, Key: fmt.Sprintf("%s%d/%06d", uniquePrefix, w.client, w.uniques), Value: value}
		w.uniques++
	case draw < 5:
		w.last = w.swap()
	default:
		w.last = w.shared(value)
	}
	return w.last
}

// swap returns the next operation on the client's own swap key.
func (w *worker) swap() kv.Op {
	key := fmt.Sprint(swapPrefix, w.client)
	if w.swaps == 0 {
		return kv.Op{Kind: kv.KindPutIfAbsent, Key: key, Value: []byte(swapOdd)}
	}
	return kv.Op{Kind: kv.KindCompareAndSwap, Key: key, Old: []byte(swapValue(w.swaps)), Value: []byte(swapValue(w.swaps + 1))}
}

// swapValue returns what a swap key holds after n swaps.
func swapValue(n int) string {
	if n%2 == 0 {
		return swapEven
	}
	return swapOdd
}

// shared returns an operation on a key that all clients use.
func (w *worker) shared(value []byte) kv.Op {
	i := w.random.IntN(loadSharedKeys)
	o := kv.Op{Kind: kv.KindGet, Key: fmt.Sprint(sharedPrefix, i)}
	switch draw := w.random.IntN(20); {
	case draw < 8:
	case draw < 13:
		o.Kind, o.Value = kv.KindPut, value
	case draw < 19 && w.seen[i] != nil:
		o.Kind, o.Old, o.Value = kv.KindCompareAndSwap, []byte(*w.seen[i]), value
	case draw == 19:
		o.Kind = kv.KindDelete
	}
	return o
}

// learn notes the result of the last operation.
func (w *worker) learn(r kv.Result) {
	switch {
	case strings.HasPrefix(w.last.Key, swapPrefix):
		w.swaps++
	case strings.HasPrefix(w.last.Key, sharedPrefix):
		var i int
		if _, err := fmt.Sscanf(w.last.Key, sharedPrefix+"%d", &i); err != nil || i >= loadSharedKeys {
			return
		}
		w.seen[i] = valueAfter(w.last, r)
	}
}

// valueAfter returns the value of an operation's key after it, or nil if it has
// none.
func valueAfter(o kv.Op, r kv.Result) *string {
	var value string
	switch {
	case r.Status == kv.StatusFound || r.Status == kv.StatusConflict:
		value = string(r.Value)
	case r.Status == kv.StatusDone && o.Kind != kv.KindDelete:
		value = string(o.Value)
	default:
		return nil
	}
	return &value
}
