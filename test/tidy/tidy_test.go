// Package tidy holds the house rules that no linter checks.
package tidy

import (
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	module   = "github.com/quorate/quorate"
	root     = "../.."
	fileMax  = 500 // lines
	funcMax  = 60  // lines
	paramMax = 5
)

// mayImport is the whole dependency rule: a package may import, of this module,
// only what its line names. A package without a line may not exist.
var mayImport = map[string][]string{
	"crypto":                  {},
	"app":                     {"crypto"},
	"app/kv":                  {"app"},
	"app/counter":             {"app"},
	"app/bank":                {"app"},
	"pbft/wire":               {"crypto"},
	"pbft/core":               {"crypto", "pbft/wire"},
	"pbft/node":               {"crypto", "app", "pbft/wire", "pbft/core"},
	"pbft/forensics":          {"crypto", "pbft/wire", "pbft/core"},
	"pbft/processors":         {},
	"network":                 {"crypto", "pbft/wire", "network/internal/outbox"},
	"network/internal/outbox": {},
	"network/memory":          {"crypto", "pbft/wire", "network/internal/outbox"},
	"network/networktest":     {"pbft/wire"},
	"checkpoint":              {"crypto", "app", "pbft/wire", "pbft/core"},
	"checkpoint/journal":      {"crypto", "pbft/wire", "pbft/core", "checkpoint/journal/disk"},
	"checkpoint/journal/disk": {},
	"pbft": {
		"crypto", "app", "pbft/wire", "pbft/core", "pbft/node", "pbft/forensics", "pbft/processors",
		"network", "network/memory", "checkpoint", "checkpoint/journal",
	},
	"cmd/quorate": {
		"crypto", "app", "app/kv", "app/counter", "app/bank", "network", "pbft", "pbft/core",
		"pbft/forensics", "pbft/wire", "test/bench", "test/cluster", "test/picture", "test/roofline", "test/scenario", "test/sim",
		"pbft/node", "test/adversary", "test/adversary/puppet", "test/faultnet", // with the tag adversary
	},
	"test/adversary/puppet": {
		"crypto", "pbft/wire", "pbft/node", "test/adversary",
	},
	"test/faultnet": {"pbft/wire", "pbft/node"},
	"test/sim": {
		"crypto", "app", "app/kv", "pbft/wire", "pbft/core", "pbft/node", "pbft/forensics",
		"checkpoint", "checkpoint/journal", "checkpoint/journal/disk", "test/adversary", "test/linear",
	},
	"test/golden":    {"crypto", "app", "pbft/wire", "pbft/core", "test/sim"},
	"test/cluster":   {"crypto", "app", "app/kv", "app/counter", "app/bank", "pbft", "pbft/core", "pbft/wire", "test/linear"},
	"test/linear":    {"app/kv"},
	"test/bench":     {"app/kv", "pbft", "pbft/processors", "pbft/wire", "test/roofline"},
	"test/roofline":  {"crypto", "network", "checkpoint/journal", "pbft/wire", "pbft/core"},
	"test/adversary": {"crypto", "pbft/wire"},
	"test/scenario": {
		"crypto", "app", "app/kv", "network", "pbft", "pbft/wire",
		"test/adversary", "test/cluster", "test/faultnet", "test/picture", "test/sim", "test/twins",
	},
	"test/picture":  {"pbft/wire", "test/sim"},
	"test/patch":    {},
	"test/mutants":  {"test/patch"},
	"test/ablation": {"test/bench", "test/patch"},
	"test/twins":    {"crypto", "pbft/wire", "pbft/core", "test/sim"},
	"test/hostile":  {},
	"test/tidy":     {},
}

// pure are the packages that must be deterministic, with all that they may use
// of the standard library.
var pure = map[string][]string{
	"pbft/wire": {"bytes", "encoding/binary", "errors", "fmt", "math", "slices", "cmp", "math/bits"},
	"pbft/core": {"bytes", "cmp", "errors", "fmt", "maps", "math/bits", "slices"},
}

type file struct {
	dir, path string
	ast       *ast.File
	test      bool
}

func parse(t *testing.T) (*token.FileSet, []file) {
	t.Helper()
	fset := token.NewFileSet()
	var files []file
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || d.Name() != ".." && strings.HasPrefix(d.Name(), ".")) && p != root {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(p, ".go") {
			return nil
		}
		f, err := parser.ParseFile(fset, p, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		files = append(files, file{filepath.ToSlash(filepath.Dir(rel)), rel, f, strings.HasSuffix(p, "_test.go")})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return fset, files
}

func TestImports(t *testing.T) {
	_, files := parse(t)
	for _, f := range files {
		allowed, known := mayImport[f.dir]
		if !known {
			t.Errorf("%s: package %s has no line in mayImport", f.path, f.dir)
		}
		if f.test {
			continue
		}
		for _, spec := range f.ast.Imports {
			path := strings.Trim(spec.Path.Value, `"`)
			own, inside := strings.CutPrefix(path, module+"/")
			switch std, isPure := pure[f.dir]; {
			case inside && !slices.Contains(allowed, own):
				t.Errorf("%s: %s may not import %s", f.path, f.dir, own)
			case !inside && isPure && !slices.Contains(std, path):
				t.Errorf("%s: pure package %s may not import %q", f.path, f.dir, path)
			}
		}
	}
}

// TestDeterminism rejects, in pure packages, what could make two runs differ:
// goroutines, channels and ranging over a map.
func TestDeterminism(t *testing.T) {
	fset, files := parse(t)
	for dir := range pure {
		var pkg []*ast.File
		for _, f := range files {
			if f.dir == dir && !f.test {
				pkg = append(pkg, f.ast)
			}
		}
		info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}}
		conf := types.Config{Importer: importer.ForCompiler(fset, "source", nil)}
		if _, err := conf.Check(module+"/"+dir, fset, pkg, info); err != nil {
			t.Fatal(err)
		}
		for _, f := range pkg {
			ast.Inspect(f, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.GoStmt, *ast.SelectStmt, *ast.ChanType:
					t.Errorf("%s: concurrency in pure package %s", fset.Position(n.Pos()), dir)
				case *ast.RangeStmt:
					if _, isMap := info.Types[n.X].Type.Underlying().(*types.Map); isMap {
						t.Errorf("%s: range over a map; range over slices.Sorted(maps.Keys(m))", fset.Position(n.Pos()))
					}
				}
				return true
			})
		}
	}
}

func TestShape(t *testing.T) {
	fset, files := parse(t)
	documented := map[string]bool{}
	for _, f := range files {
		if !f.test {
			documented[f.dir] = documented[f.dir] || f.ast.Doc != nil
		}
		if n := fset.Position(f.ast.FileEnd).Line; n > fileMax && !f.test {
			t.Errorf("%s: %d lines, want at most %d", f.path, n, fileMax)
		}
		for _, d := range f.ast.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			at := fset.Position(fn.Pos())
			if n := fset.Position(fn.End()).Line - at.Line + 1; n > funcMax && !f.test {
				t.Errorf("%s: %s has %d lines, want at most %d", at, fn.Name.Name, n, funcMax)
			}
			if n := fn.Type.Params.NumFields(); n > paramMax {
				t.Errorf("%s: %s has %d parameters, want at most %d", at, fn.Name.Name, n, paramMax)
			}
			if fn.Name.IsExported() && fn.Doc == nil && !f.test {
				t.Errorf("%s: exported %s has no doc comment", at, fn.Name.Name)
			}
		}
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("package %s has no doc comment", dir)
		}
	}
}

var reference = regexp.MustCompile("`([a-z/]+)\\.(?:\\(\\*?([A-Z]\\w*)\\)\\.)?([A-Za-z]\\w*)`")

// TestDocs checks that every `dir.Func` and `dir.(*Type).Method` which the
// architecture document names exists, so that it cannot drift from the code.
func TestDocs(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join(root, "docs/ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, files := parse(t)
	have := map[string]bool{}
	for _, f := range files {
		for _, d := range f.ast.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				have[fmt.Sprintf("%s.%s.%s", f.dir, receiver(d), d.Name.Name)] = true
			case *ast.GenDecl:
				for _, s := range d.Specs {
					if ts, ok := s.(*ast.TypeSpec); ok {
						have[fmt.Sprintf("%s..%s", f.dir, ts.Name.Name)] = true
					}
				}
			}
		}
	}
	for _, m := range reference.FindAllStringSubmatch(string(doc), -1) {
		if _, ours := mayImport[m[1]]; ours && !have[m[1]+"."+m[2]+"."+m[3]] {
			t.Errorf("docs/ARCHITECTURE.md names %s, which does not exist", m[0])
		}
	}
}

func receiver(fn *ast.FuncDecl) string {
	if fn.Recv == nil {
		return ""
	}
	typ := fn.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	if id, ok := typ.(*ast.Ident); ok {
		return id.Name
	}
	return ""
}
