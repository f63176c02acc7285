package tidy

import (
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

var (
	testName = regexp.MustCompile(`\bTest[A-Z]\w*`)
	heading  = regexp.MustCompile(`(?m)^#+ (.*)$`)
	link     = regexp.MustCompile(`\]\(([^)#\s]*)(?:#([^)\s]*))?\)`)
	goFile   = regexp.MustCompile(`\b[a-z]+\.go\b`)

	requirement = regexp.MustCompile(`(?m)^\t(\S+) v\S+$`) // a direct one: it ends with its version
	moduleRow   = regexp.MustCompile(`(?m)^\| (\S+\.\S+) \|`)
)

// documents returns the texts for people, by their paths.
func documents(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for _, path := range append(paths, filepath.Join(root, "README.md"), filepath.Join(root, "CHANGELOG.md")) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		texts[path] = string(text)
	}
	return texts
}

func TestDocumentsNameTestsThatExist(t *testing.T) {
	_, files := parse(t)
	have := map[string]bool{}
	for _, f := range files {
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && f.test {
				have[fn.Name.Name] = true
			}
		}
	}
	for path, text := range documents(t) {
		for _, name := range testName.FindAllString(text, -1) {
			if !have[name] {
				t.Errorf("%s names %s, which does not exist", path, name)
			}
		}
	}
}

// TestLinksLeadSomewhere follows every link to a file, and to a heading in it.
func TestLinksLeadSomewhere(t *testing.T) {
	for path, text := range documents(t) {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			target := filepath.Join(filepath.Dir(path), m[1])
			if m[1] == "" {
				target = path
			}
			there, err := os.ReadFile(target)
			if err != nil {
				t.Errorf("%s: %v", path, err)
			}
			if m[2] != "" && !hasHeading(string(there), m[2]) {
				t.Errorf("%s links to %s#%s, and there is no such heading", path, m[1], m[2])
			}
		}
	}
}

// hasHeading tells whether a document has the heading that an anchor stands for: in small
// letters, with hyphens for spaces and without other signs.
func hasHeading(text, anchor string) bool {
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		slug := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case unicode.IsLetter(r) || unicode.IsDigit(r) || r == '-' || r == '_':
				return unicode.ToLower(r)
			default:
				return -1
			}
		}, m[1])
		if slug == anchor {
			return true
		}
	}
	return false
}

// architecture returns docs/ARCHITECTURE.md.
func architecture(t *testing.T) string {
	t.Helper()
	return documents(t)[filepath.Join(root, "docs", "ARCHITECTURE.md")]
}

func TestArchitectureNamesEveryPackage(t *testing.T) {
	text := architecture(t)
	for dir := range mayImport {
		if !strings.Contains(dir, "internal") && !strings.Contains(text, "`"+dir+"`") {
			t.Errorf("docs/ARCHITECTURE.md does not name package %s", dir)
		}
	}
}

func TestArchitectureNamesEveryFileOfTheCore(t *testing.T) {
	named := map[string]bool{"doc.go": true}
	for _, name := range goFile.FindAllString(architecture(t), -1) {
		named[name] = true
	}
	paths, err := filepath.Glob(filepath.Join(root, "pbft/core", "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for _, path := range paths {
		name := filepath.Base(path)
		if there[name] = true; !named[name] && !strings.HasSuffix(name, "_test.go") {
			t.Errorf("docs/ARCHITECTURE.md does not say what is in %s of the core", name)
		}
	}
	for name := range named {
		if !there[name] {
			t.Errorf("docs/ARCHITECTURE.md names %s of the core, which does not exist", name)
		}
	}
}

// TestDependenciesAreDocumented holds docs/dependencies.md to what go.mod requires directly.
func TestDependenciesAreDocumented(t *testing.T) {
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	required := map[string]bool{}
	for _, m := range requirement.FindAllStringSubmatch(string(mod), -1) {
		required[m[1]] = true
	}
	text := documents(t)[filepath.Join(root, "docs", "dependencies.md")]
	for _, m := range moduleRow.FindAllStringSubmatch(text, -1) {
		if !required[m[1]] {
			t.Errorf("docs/dependencies.md has %s, which go.mod does not require", m[1])
		}
		delete(required, m[1])
	}
	for path := range required {
		t.Errorf("docs/dependencies.md does not have %s", path)
	}
}
