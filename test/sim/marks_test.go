package sim

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// marksAfter is how many seeds must reach every mark: some are reached once in
// thousands.
const marksAfter = 20_000

// unreached are reasons of the core that no simulated run gives, and why that is
// right.
func unreached() map[string]string {
	return map[string]string{
		"a prepared certificate is of a later view":                  "the decoder refuses it",
		"the primary's pre-prepare is its vote; it sends no prepare": "the decoder refuses it",
		"its batch is larger than # bytes":                           "needs large operations and a liar that packs too many of them",
		"the new view's checkpoint covers its number":                "needs a liar that proposes below the checkpoint it has just announced",
	}
}

// checkMarks tells which reasons that the core's source can give were not given;
// after enough seeds each must have been.
func checkMarks(t *testing.T, marks Marks, enough bool) {
	t.Helper()
	given := map[string]bool{}
	for mark := range marks {
		_, why, _ := strings.Cut(mark, ": ")
		given[why] = true
	}
	allowed := unreached()
	for _, why := range reasons(t) {
		switch _, known := allowed[why]; {
		case given[why] || known:
		case enough:
			t.Errorf("no run reached this: %q", why)
		default:
			t.Logf("no run reached this: %q", why)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(marks)) {
		t.Logf("%9d × %s", marks[name], name)
	}
}

// reasons returns every reason in the core's source: what it says when it leaves
// a view, or refuses a message.
func reasons(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob("../../pbft/core/*.go")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no core: %v", err)
	}
	var found []string
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok {
				found = append(found, reasonsOf(fn)...)
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

func reasonsOf(fn *ast.FuncDecl) []string {
	if name := fn.Name.Name; strings.HasPrefix(name, "refuse") || name == "oldest" {
		return sentences(fn.Body)
	}
	var found []string
	ast.Inspect(fn, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			if sel, ok := n.Fun.(*ast.SelectorExpr); ok && sel.Sel.Name == "leave" {
				found = append(found, sentences(n)...)
			}
		case *ast.CompositeLit:
			if id, ok := n.Type.(*ast.Ident); ok && id.Name == "Refused" {
				found = append(found, sentences(n)...)
			}
		}
		return true
	})
	return found
}

// sentences returns the texts of more than one word below n, as marks.
func sentences(n ast.Node) []string {
	var found []string
	verbs := regexp.MustCompile(`%[a-z]`)
	ast.Inspect(n, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if text, err := strconv.Unquote(lit.Value); err == nil && strings.Contains(text, " ") {
				found = append(found, MarkOf(verbs.ReplaceAllString(text, "0")))
			}
		}
		return true
	})
	return found
}

func TestMarksAreReasonsWithoutNumbers(t *testing.T) {
	if got := MarkOf("number 17 waited 3 ms, -5"); got != "number # waited # ms, -#" {
		t.Error(got)
	}
	all := reasons(t)
	for _, want := range []string{"no new view came", "its batch has # requests, more than #", "number # waited too long"} {
		if !slices.Contains(all, want) {
			t.Errorf("the core has no %q, or it was not found: %q", want, all)
		}
	}
}
