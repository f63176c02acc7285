package sim

import "time"

// happening is something that happens at a time.
type happening struct {
	at    time.Duration
	order uint64 // ties go in the order of scheduling
	do    func()
}

func (h *happening) before(other *happening) bool {
	return h.at < other.at || h.at == other.at && h.order < other.order
}

// agenda is a heap of what is to happen, the next first. It is typed, for
// container/heap would allocate at every push, and each has heapWidth children, for
// that is less to move than two.
type agenda []happening

const heapWidth = 4

func (a *agenda) push(h happening) {
	heap := append(*a, h)
	i := len(heap) - 1
	for i > 0 {
		parent := (i - 1) / heapWidth
		if !heap[i].before(&heap[parent]) {
			break
		}
		heap[i], heap[parent] = heap[parent], heap[i]
		i = parent
	}
	*a = heap
}

// pop takes the next happening out. There must be one.
func (a *agenda) pop() happening {
	heap := *a
	next, last := heap[0], len(heap)-1
	heap[0] = heap[last]
	heap[last] = happening{}
	heap = heap[:last]
	for i := 0; ; {
		least := i
		for child := heapWidth*i + 1; child <= heapWidth*(i+1) && child < last; child++ {
			if heap[child].before(&heap[least]) {
				least = child
			}
		}
		if least == i {
			break
		}
		heap[i], heap[least] = heap[least], heap[i]
		i = least
	}
	*a = heap
	return next
}
