package node

import "slices"

// shared is a bounded queue of what connections ask for, the oldest first. Where it is
// full, each connection that asks has an equal share of it: who asks for much keeps
// nobody from asking. It is not safe for concurrent use.
type shared[T any] struct {
	max   int
	items []sharedItem[T]
	of    map[uint64]int // by connection, how many of items are of it; none is zero
}

type sharedItem[T any] struct {
	item T
	conn uint64
}

// add queues item, if there is room for one more of conn, and tells whether it did.
func (q *shared[T]) add(conn uint64, item T) bool {
	if len(q.items) >= q.max && !q.makeRoom(conn) {
		return false
	}
	if q.of == nil {
		q.of = make(map[uint64]int)
	}
	q.items = append(q.items, sharedItem[T]{item, conn})
	q.of[conn]++
	return true
}

// makeRoom has the last one of a connection that has more than its share give way to one
// of conn, unless conn has its share.
func (q *shared[T]) makeRoom(conn uint64) bool {
	asking := len(q.of)
	if q.of[conn] == 0 {
		asking++
	}
	share := q.max / asking
	if q.of[conn] >= share {
		return false
	}
	for i := len(q.items) - 1; i >= 0; i-- {
		if other := q.items[i].conn; q.of[other] > share {
			q.items = slices.Delete(q.items, i, i+1)
			q.of[other]--
			return true
		}
	}
	return false
}

// take takes the oldest, and returns false if there is none.
func (q *shared[T]) take() (item T, ok bool) {
	if len(q.items) == 0 {
		return item, false
	}
	first := q.items[0]
	q.items[0] = sharedItem[T]{}
	q.items = q.items[1:]
	if q.of[first.conn]--; q.of[first.conn] == 0 {
		delete(q.of, first.conn)
	}
	return first.item, true
}

// takeAll takes all that waits.
func (q *shared[T]) takeAll() []T {
	if len(q.items) == 0 {
		return nil
	}
	out := make([]T, 0, len(q.items))
	for _, i := range q.items {
		out = append(out, i.item)
	}
	q.items, q.of = nil, nil
	return out
}
