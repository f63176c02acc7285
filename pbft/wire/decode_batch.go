package wire

import "fmt"

// requestBytesMin is the length of a request with one empty operation.
const requestBytesMin = requestFixedBytes + countBytes

// request reads a request into m, signature included.
func (r *reader) request(m *Request) *Request {
	r.from = r.at
	ops := r.requestHead(m)
	if ops > 0 {
		m.Ops = make([][]byte, ops)
	}
	r.ops(m.Ops)
	r.to = r.at
	m.Signature = r.signature()
	return m
}

// requestHead reads what is before the operations, and returns how many follow.
func (r *reader) requestHead(m *Request) int {
	copy(m.Client[:], r.take(len(m.Client)))
	m.Session, m.Number, m.Acked = Session(r.u64()), r.someNumber(), Number(r.u64())
	m.ReadOnly = r.flag()
	n := r.count("operations", r.lim.OpsMax, countBytes)
	r.need(n > 0, "no operation")
	if r.err != nil {
		return 0
	}
	r.need(m.Acked < m.Number, "acknowledges its own number")
	r.need(uint64(m.Number)+uint64(n) <= NumberMax, "request numbers overflow") //nolint:gosec // a length
	return n
}

// ops reads the operations into ops, which has their number.
func (r *reader) ops(ops [][]byte) {
	room := r.lim.OpBytesMax
	for i := range ops {
		ops[i] = r.bytes("bytes of operations", room)
		room -= len(ops[i])
		if r.err != nil {
			return
		}
	}
}

// batch reads a batch. Requests and the lists of their operations come from
// one allocation each, as a batch lives and dies as a whole.
func (r *reader) batch() *Batch {
	from := r.at
	t := r.u64()
	r.need(t <= 1<<63-1, "time is before 1970")
	input := r.bytes("bytes of input", InputBytesMax)
	n := r.count("requests", r.lim.BatchRequestsMax, requestBytesMin)
	r.need(n > 0 || t == 0 && len(input) == 0, "a batch without requests has time 0 and no input")
	if r.err != nil {
		return nil
	}
	m := &Batch{Time: Time(t), Input: input} //nolint:gosec // checked above
	if n > 0 {
		m.Requests = make([]*Request, n)
	}
	room := make([]Request, n)
	ops := make([][]byte, 0, n)
	for i := range m.Requests {
		q := &room[i]
		count := r.requestHead(q)
		if cap(ops)-len(ops) < count {
			ops = make([][]byte, 0, max(n-i, count))
		}
		q.Ops = ops[len(ops) : len(ops)+count : len(ops)+count]
		ops = ops[:len(ops)+count]
		r.ops(q.Ops)
		q.Signature = r.signature()
		if r.err != nil {
			r.err = fmt.Errorf("request %d: %w", i, r.err)
			return nil
		}
		m.Requests[i] = q
	}
	r.from, r.to = from, r.at
	if bytes := r.at - from; bytes > r.lim.batchBytesMax() {
		r.fail("batch of %d bytes, at most %d are allowed", bytes, r.lim.batchBytesMax())
	}
	return m
}
