package patch

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// BuildTest compiles the tests of a package of the module at root with the changes,
// in directory work, and returns the binary.
func (p Patch) BuildTest(ctx context.Context, root, work, pkg string) (string, error) {
	return p.build(ctx, root, work, pkg, "test", "-c")
}

// Build is BuildTest for a command.
func (p Patch) Build(ctx context.Context, root, work, pkg string) (string, error) {
	return p.build(ctx, root, work, pkg, "build")
}

// build has the go command see the changed files in place of the real ones.
func (p Patch) build(ctx context.Context, root, work, pkg string, how ...string) (string, error) {
	files, err := p.Apply(root)
	if err != nil {
		return "", err
	}
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	n := 0
	for file, text := range files {
		n++
		changed := filepath.Join(work, fmt.Sprintf("%s-%d.go", p.Name, n))
		if err := os.WriteFile(changed, []byte(text), 0o600); err != nil {
			return "", err
		}
		overlay.Replace[filepath.Join(root, file)] = changed
	}
	data, err := json.Marshal(overlay)
	if err != nil {
		return "", err
	}
	list, binary := filepath.Join(work, p.Name+".json"), filepath.Join(work, p.Name+".exe")
	if err := os.WriteFile(list, data, 0o600); err != nil {
		return "", err
	}
	build := exec.CommandContext(ctx, "go", append(how, "-overlay", list, "-o", binary, pkg)...) //nolint:gosec // our own
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s does not compile: %w\n%s", p.Name, err, out)
	}
	return binary, nil
}
