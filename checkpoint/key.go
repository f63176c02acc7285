package checkpoint

// A key is a path of labels: each nibble plus one, the high one first, and a
// final 0. Comparing paths label by label is comparing keys byte by byte.

// labels is the number of different labels, and so of children of a page.
const labels = 17

// noLabel is not the label of any child.
const noLabel = 0xff

// label returns the label of key at depth.
func label(key []byte, depth int) byte {
	if depth >= 2*len(key) {
		return 0
	}
	b := key[depth/2]
	if depth%2 == 0 {
		b >>= 4
	}
	return b&0xf + 1
}

// commonDepth returns how many leading nibbles a and b share.
func commonDepth(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] == b[i] {
			continue
		}
		if a[i]>>4 == b[i]>>4 {
			return 2*i + 1
		}
		return 2 * i
	}
	return 2 * n
}

// prefixOf returns the first depth nibbles of key, padded with a zero nibble
// to whole bytes.
func prefixOf(key []byte, depth int) []byte {
	p := append([]byte(nil), key[:(depth+1)/2]...)
	if depth%2 == 1 {
		p[len(p)-1] &= 0xf0
	}
	return p
}

// hasPrefix tells whether key begins with the first depth nibbles of prefix.
func hasPrefix(key, prefix []byte, depth int) bool {
	return 2*len(key) >= depth && commonDepth(key, prefix) >= depth
}

// route is a way down the tree: the labels of the first depth nibbles of key,
// and then last.
type route struct {
	key   []byte
	depth int
	last  byte
}

// routeTo returns the way to key.
func routeTo(key []byte) route { return route{key, 2 * len(key), 0} }

// label returns the label that the route takes at depth.
func (rt route) label(depth int) byte {
	switch {
	case depth < rt.depth:
		return label(rt.key, depth)
	case depth == rt.depth:
		return rt.last
	default:
		return noLabel
	}
}

// under tells whether the route leads to or through an inner page with this
// prefix.
func (rt route) under(prefix []byte, depth int) bool {
	return depth <= rt.depth && commonDepth(rt.key, prefix) >= depth
}
