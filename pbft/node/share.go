package node

import "slices"

// shared is a bounded queue of what connections ask for: of each the oldest first, and of
// all in turn. Where it is full, each connection that asks has an equal share of it: who
// asks for much keeps nobody from asking, and who asks later waits for one of each other
// connection at most. It is not safe for concurrent use.
type shared[T any] struct {
	max     int          // of the weights of items together
	all     int          // their weights together
	sharers []*sharer[T] // those in which something waits, who is next first
	of      map[uint64]*sharer[T]
}

// sharer is what one connection asks for.
type sharer[T any] struct {
	conn   uint64
	items  []weighed[T]
	weight int // of items together
}

type weighed[T any] struct {
	item   T
	weight int
}

// add queues item, if there is room for one more of conn, and tells whether it did.
func (q *shared[T]) add(conn uint64, item T) bool { return q.addHeavy(conn, item, 1) }

// addHeavy is add for an item that takes as much room as so many.
func (q *shared[T]) addHeavy(conn uint64, item T, weight int) bool {
	s := q.of[conn]
	if q.all+weight > q.max && !q.makeRoom(s, weight) {
		return false
	}
	s = q.sharer(conn, weight)
	s.items = append(s.items, weighed[T]{item, weight})
	return true
}

// putBack queues an item that was taken as the oldest of conn, which is the last in turn, if
// there is room for what it weighs now, and tells whether there was.
func (q *shared[T]) putBack(conn uint64, item T, weight int) bool {
	s := q.of[conn]
	if q.all+weight > q.max && !q.makeRoom(s, weight) {
		return false
	}
	s = q.sharer(conn, weight)
	s.items = slices.Insert(s.items, 0, weighed[T]{item, weight})
	return true
}

// sharer returns what conn asks for, to which something of a weight is added.
func (q *shared[T]) sharer(conn uint64, weight int) *sharer[T] {
	s := q.of[conn]
	if s == nil {
		if q.of == nil {
			q.of = make(map[uint64]*sharer[T])
		}
		s = &sharer[T]{conn: conn}
		q.of[conn], q.sharers = s, append(q.sharers, s)
	}
	s.weight += weight
	q.all += weight
	return s
}

// makeRoom has the last ones of the connections that have more than their share give way to
// one of s, or of a new connection if s is nil, unless that has its share.
func (q *shared[T]) makeRoom(s *sharer[T], weight int) bool {
	asking, has := len(q.sharers), 0
	if s == nil {
		asking++
	} else {
		has = s.weight
	}
	share := q.max / asking
	if has+weight > share {
		return false
	}
	for i := len(q.sharers) - 1; i >= 0; i-- {
		other := q.sharers[i]
		for other.weight > share && q.all+weight > q.max {
			q.cut(i, len(other.items)-1)
		}
	}
	return true // for now each has its share at most, or there is room
}

// cut removes an item of a sharer, and the sharer if it was the only one.
func (q *shared[T]) cut(at, i int) T {
	s := q.sharers[at]
	gone := s.items[i]
	if i == 0 {
		s.items[0] = weighed[T]{} // it is held on to no longer
		s.items = s.items[1:]
	} else {
		s.items = slices.Delete(s.items, i, i+1)
	}
	s.weight -= gone.weight
	q.all -= gone.weight
	if len(s.items) == 0 {
		q.sharers = slices.Delete(q.sharers, at, at+1)
		delete(q.of, s.conn)
	}
	return gone.item
}

// take takes the oldest of the next connection, and returns false if there is none.
func (q *shared[T]) take() (T, bool) { return q.takeIf(func(*T) bool { return true }) }

// takeIf takes the oldest of the next connection whose oldest is ready.
func (q *shared[T]) takeIf(ready func(*T) bool) (item T, ok bool) {
	for at, s := range q.sharers {
		if !ready(&s.items[0].item) {
			continue
		}
		item = q.cut(at, 0)
		if len(s.items) > 0 {
			q.sharers = append(slices.Delete(q.sharers, at, at+1), s)
		}
		return item, true
	}
	return item, false
}

// takeAll takes all that waits.
func (q *shared[T]) takeAll() (all []T) {
	for item, ok := q.take(); ok; item, ok = q.take() {
		all = append(all, item)
	}
	return all
}

// drop drops what waits of a connection.
func (q *shared[T]) drop(conn uint64) {
	s := q.of[conn]
	if s == nil {
		return
	}
	q.all -= s.weight
	q.sharers = slices.DeleteFunc(q.sharers, func(o *sharer[T]) bool { return o == s })
	delete(q.of, conn)
}
