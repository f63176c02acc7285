package checkpoint

import (
	"bytes"
	"testing"

	"github.com/quorate/quorate/crypto"
)

// TestNewPagesComeAfterOlderOnesAndBeforeAllElse is what keeps Badger from rewriting
// all older pages with each table.
func TestNewPagesComeAfterOlderOnesAndBeforeAllElse(t *testing.T) {
	first, last := crypto.Digest{}, crypto.Digest(bytes.Repeat([]byte{0xff}, crypto.DigestSize))
	ascending := [][]byte{pageKey(ref{birth: 255, digest: last}), pageKey(ref{birth: 256, digest: first})}
	if bytes.Compare(ascending[0], ascending[1]) >= 0 {
		t.Errorf("a page of generation 256 comes before one of 255")
	}
	newest := pageKey(ref{birth: 1<<64 - 1, digest: last})
	for name, key := range map[string][]byte{
		"a manifest": manifestKey(0), "an index": indexKey(ref{digest: first}),
		"a dead list": deadKey(0, 0), "the transfer": stagingKey(),
	} {
		if bytes.Compare(newest, key) >= 0 {
			t.Errorf("%s comes before a page", name)
		}
	}
}
