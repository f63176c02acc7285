package sim

import (
	"slices"

	"github.com/quorate/quorate/app"
	"github.com/quorate/quorate/crypto"
)

// modelPieceBytes is how much of a state the model puts into one piece: with its mark, no
// more than wire.Limits let a piece have.
const modelPieceBytes = 512<<10 - len(listMark)

// What is not a whole content begins with a mark, which is a length that no key has.
const (
	listMark = "\xff\xff\xff\xffL" // + digests of the pieces of a content
	partMark = "\xff\xff\xff\xffP" // + a part of it
)

// modelRoot is a keyed hash of the content, as good as the stub signatures: of a long one,
// that of the list of its pieces.
func modelRoot(content *app.Memory) crypto.Digest {
	root, _ := cutModel(content)
	return root
}

// cutModel returns the root of content and, if one piece cannot hold it, its pieces.
func cutModel(content *app.Memory) (root crypto.Digest, pieces map[crypto.Digest][]byte) {
	var h hasher
	bytes := 0
	_ = content.Scan(nil, nil, func(key, value []byte) bool { // what is in memory does not fail
		h.write(key)
		h.write(value)
		bytes += 2*4 + len(key) + len(value)
		return true
	})
	if bytes <= modelPieceBytes {
		h.sum(root[:])
		return root, nil
	}
	pieces = map[crypto.Digest][]byte{}
	list := []byte(listMark)
	for rest := flatten(content); len(rest) > 0; {
		n := min(modelPieceBytes, len(rest))
		part := append([]byte(partMark), rest[:n]...)
		digest := markedDigest(part)
		pieces[digest] = part
		list, rest = append(list, digest[:]...), rest[n:]
	}
	root = markedDigest(list)
	pieces[root] = list
	return root, pieces
}

// hasMark tells whether a piece is one of several.
func hasMark(piece []byte, mark string) bool {
	return len(piece) >= len(mark) && string(piece[:len(mark)]) == mark
}

// markedDigest is the digest of a piece with a mark.
func markedDigest(piece []byte) (digest crypto.Digest) {
	var h hasher
	h.write(piece)
	h.sum(digest[:])
	return digest
}

// incoming is a long content that is being fetched: nil before its list is there.
type incoming struct {
	list  []crypto.Digest
	parts map[crypto.Digest][]byte
}

func newIncoming(list []byte) *incoming {
	in := &incoming{parts: map[crypto.Digest][]byte{}}
	for rest := list[len(listMark):]; len(rest) > 0; {
		var d crypto.Digest
		rest = rest[copy(d[:], rest):]
		in.list = append(in.list, d)
	}
	return in
}

// missing returns up to n digests of parts that lack.
func (in *incoming) missing(n int) []crypto.Digest {
	var lack []crypto.Digest
	for _, d := range in.list {
		if _, has := in.parts[d]; !has && len(lack) < n {
			lack = append(lack, d)
		}
	}
	return lack
}

// add takes a part, and tells whether it lacked.
func (in *incoming) add(part []byte) bool {
	digest := markedDigest(part)
	for _, d := range in.missing(len(in.list)) {
		if d == digest {
			in.parts[d] = slices.Clone(part)
			return true
		}
	}
	return false
}

// content returns what the parts make, and whether none lacks.
func (in *incoming) content() (content *app.Memory, complete bool, err error) {
	if len(in.missing(1)) > 0 {
		return nil, false, nil
	}
	var data []byte
	for _, d := range in.list {
		data = append(data, in.parts[d][len(partMark):]...)
	}
	return unflatten(data)
}
