package checkpoint

import (
	"errors"
	"slices"
	"testing"
)

// TestFormerFormatIsRefusedAndKept opens directories of a format in which pages had
// other keys: they are no damage, and stay as they are.
func TestFormerFormatIsRefusedAndKept(t *testing.T) {
	for name, record := range map[string]func(s *Store) change{
		"a snapshot": func(s *Store) change {
			of2 := s.newest().encode()
			body := of2[len(manifestTag) : len(of2)-checksumBytes]
			return change{manifestKey(s.newest().gen), sealRecord(formerManifestTag, slices.Clone(body))}
		},
		"a transfer": func(*Store) change {
			return change{stagingKey(), sealRecord(formerStagingTag, make([]byte, 48))}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir, Options{})
			fill(t, s, 0, 100, "x")
			checkpointed(t, s, 1)
			if err := s.rd.pages.apply([]change{record(s)}); err != nil {
				t.Fatal(err)
			}
			closed(t, s)
			for range 2 {
				if _, err := Open(dir, Options{}); !errors.Is(err, ErrFormat) {
					t.Fatalf("got %v, want %v", err, ErrFormat)
				}
			}
			if _, err := Quarantine(dir); err != nil {
				t.Fatal(err)
			}
			s = open(t, dir, Options{})
			defer closed(t, s)
			if got := s.Opened(); got.Quarantined != "" || s.newest().seq != 0 {
				t.Errorf("got %+v and a snapshot of %d, want a new store", got, s.newest().seq)
			}
		})
	}
}
