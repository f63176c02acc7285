package node

import "slices"

// shared is a bounded queue of what connections ask for, the oldest first. Where it is
// full, each connection that asks has an equal share of it: who asks for much keeps
// nobody from asking. It is not safe for concurrent use.
type shared[T any] struct {
	max   int // of the weights of items together
	items []sharedItem[T]
	all   int            // their weights together
	of    map[uint64]int // by connection, of those of it; none is zero
}

type sharedItem[T any] struct {
	item   T
	conn   uint64
	weight int
}

// add queues item, if there is room for one more of conn, and tells whether it did.
func (q *shared[T]) add(conn uint64, item T) bool { return q.addHeavy(conn, item, 1) }

// addHeavy is add for an item that takes as much room as so many.
func (q *shared[T]) addHeavy(conn uint64, item T, weight int) bool {
	for q.all+weight > q.max {
		if !q.makeRoom(conn, weight) {
			return false
		}
	}
	if q.of == nil {
		q.of = make(map[uint64]int)
	}
	q.items = append(q.items, sharedItem[T]{item, conn, weight})
	q.all += weight
	q.of[conn] += weight
	return true
}

// makeRoom has the last one of a connection that has more than its share give way to one
// of conn, unless conn has its share.
func (q *shared[T]) makeRoom(conn uint64, weight int) bool {
	asking := len(q.of)
	if q.of[conn] == 0 {
		asking++
	}
	share := q.max / asking
	if q.of[conn]+weight > share {
		return false
	}
	for i := len(q.items) - 1; i >= 0; i-- {
		if q.of[q.items[i].conn] > share {
			q.forget(&q.items[i])
			q.items = slices.Delete(q.items, i, i+1)
			return true
		}
	}
	return false
}

// forget takes an item off the books.
func (q *shared[T]) forget(i *sharedItem[T]) {
	q.all -= i.weight
	if q.of[i.conn] -= i.weight; q.of[i.conn] == 0 {
		delete(q.of, i.conn)
	}
}

// take takes the oldest, and returns false if there is none.
func (q *shared[T]) take() (item T, ok bool) {
	if len(q.items) == 0 {
		return item, false
	}
	first := q.items[0]
	q.items[0] = sharedItem[T]{}
	q.items = q.items[1:]
	q.forget(&first)
	return first.item, true
}

// first returns the oldest, which stays.
func (q *shared[T]) first() (item T, ok bool) {
	if len(q.items) == 0 {
		return item, false
	}
	return q.items[0].item, true
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
	q.items, q.all, q.of = nil, 0, nil
	return out
}
