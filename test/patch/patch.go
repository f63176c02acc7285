package patch

import (
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Patch is a change of the source.
type Patch struct {
	Name string
	// Says is what it changes, in a sentence.
	Says string
	// Settings are what its text says beside, by name.
	Settings map[string]string
	Hunks    []Hunk
}

// Hunk replaces a text that a file holds exactly once.
type Hunk struct {
	File     string // from the root of the module
	Old, New string
}

// Load reads the patches of a directory whose files end with suffix, in the order of
// their names. They may have the given settings.
func Load(dir, suffix string, settings ...string) ([]Patch, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
	if err != nil {
		return nil, err
	}
	slices.Sort(paths)
	var all []Patch
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		p, err := Parse(strings.TrimSuffix(filepath.Base(path), suffix), string(text), settings...)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		all = append(all, p)
	}
	return all, nil
}

// Parse reads a patch. Its text says what it changes, has lines "setting: value", and
// then hunks as in a patch: "--- file", lines to find with a space or a minus before
// them, and those to put there with a space or a plus.
func Parse(name, text string, settings ...string) (Patch, error) {
	p := Patch{Name: name, Settings: map[string]string{}}
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		file, begins := strings.CutPrefix(line, "--- ")
		setting, value, _ := strings.Cut(line, ": ")
		switch {
		case begins:
			p.Hunks = append(p.Hunks, Hunk{File: file})
		case len(p.Hunks) > 0:
			if err := p.Hunks[len(p.Hunks)-1].add(line); err != nil {
				return p, fmt.Errorf("line %d: %w", i+1, err)
			}
		case slices.Contains(settings, setting):
			p.Settings[setting] = value
		default:
			p.Says = strings.TrimSpace(p.Says + " " + line)
		}
	}
	if p.Says == "" || len(p.Hunks) == 0 {
		return p, errors.New("want a sentence on what it changes, and a hunk")
	}
	return p, nil
}

func (h *Hunk) add(line string) error {
	if line == "" {
		line = " "
	}
	switch text := line[1:] + "\n"; line[0] {
	case ' ':
		h.Old, h.New = h.Old+text, h.New+text
	case '-':
		h.Old += text
	case '+':
		h.New += text
	default:
		return fmt.Errorf("%q begins with none of space, minus and plus", line)
	}
	return nil
}

// Apply returns the files that p changes, by path, with the changes. root is the
// root of the module.
func (p Patch) Apply(root string) (map[string]string, error) {
	files := map[string]string{}
	for _, h := range p.Hunks {
		text, ok := files[h.File]
		if !ok {
			data, err := os.ReadFile(filepath.Join(root, h.File))
			if err != nil {
				return nil, err
			}
			text = string(data)
		}
		if n := strings.Count(text, h.Old); n != 1 || h.Old == "" {
			return nil, fmt.Errorf("%s: %s holds this %d times, want once: follow the code that has changed\n%s",
				p.Name, h.File, n, h.Old)
		}
		files[h.File] = strings.Replace(text, h.Old, h.New, 1)
	}
	return files, nil
}

// Check tells what is wrong with p, of the module at root, as far as that can be told
// without a build: that the code which it changes has changed, that what it makes of it
// is no Go, or that it does not say in a sentence what it changes.
func (p Patch) Check(root string) error {
	files, err := p.Apply(root)
	errs := []error{err}
	for path, text := range files {
		if _, err := parser.ParseFile(token.NewFileSet(), path, text, 0); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", p.Name, err))
		}
	}
	if !strings.HasSuffix(p.Says, ".") {
		errs = append(errs, fmt.Errorf("%s: %q is no sentence", p.Name, p.Says))
	}
	return errors.Join(errs...)
}
