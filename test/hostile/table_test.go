package hostile

import (
	"cmp"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// rowsTotal is how many kinds of hostile input there are.
const rowsTotal = 61

// row is one kind of hostile input.
type row struct {
	number int
	name   string
	input  string // what is thrown at the replica
	answer string // what it does about it
	attack func(*testing.T, *siege)
	// slow says that the attack waits for a timeout of the replica: such rows wait
	// together, at the end.
	slow bool
}

// notYet names a row that there is nothing to attack for.
type notYet struct {
	number int
	input  string
}

// rows returns the table.
func rows() []row {
	return slices.Concat(
		connectionRows(), frameRows(), contentRows(), viewRows(), transferRows(), clientRows(), fileRows(),
		evidenceRows(),
	)
}

// unserved returns the rows that wait for a replica that serves HTTP.
func unserved() []notYet {
	return []notYet{
		{48, "slow headers, a header of 100 MiB, an endless chunked body"},
		{49, "deep JSON, duplicate keys, NaN, invalid UTF-8"},
		{50, "wrong methods, paths that climb out"},
		{51, "foreign Host and Origin headers"},
		{52, "ten thousand open event streams"},
		{53, "control characters in parameters"},
		{54, "profiling endpoints on the public listener"},
	}
}

// tallyOf counts the rows that behaved as stated.
type tallyOf struct {
	sync.Mutex
	passed, failed []int
}

func (c *tallyOf) add(number int, failed bool) {
	c.Lock()
	defer c.Unlock()
	if failed {
		c.failed = append(c.failed, number)
	} else {
		c.passed = append(c.passed, number)
	}
}

func (c *tallyOf) String() string {
	c.Lock()
	defer c.Unlock()
	slices.Sort(c.failed)
	return fmt.Sprintf("%d of %d rows behaved as stated; failed: %v; not applicable yet: %d",
		len(c.passed), rowsTotal, c.failed, len(unserved()))
}

// TestNothingServesHTTP is why some rows are not applicable: nothing in a replica
// listens for HTTP. Once something does, this fails, and they must be played.
func TestNothingServesHTTP(t *testing.T) {
	const root = "../.."
	files := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && d.Name() != ".." && strings.HasPrefix(d.Name(), ".") {
			return cmp.Or(err, fs.SkipDir)
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		files++
		for _, spec := range f.Imports {
			if name := strings.Trim(spec.Path.Value, `"`); serves(name) {
				t.Errorf("%s imports %s: play rows %v, and take them out of unserved", path, name, unserved())
			}
		}
		return nil
	})
	must(t, err)
	if files < 100 {
		t.Errorf("%d files were looked at: the test tests nothing", files)
	}
}

// serves tells whether a package of the standard library answers HTTP.
func serves(name string) bool {
	return slices.Contains([]string{"net/http", "net/http/pprof", "net/http/cgi", "net/http/fcgi", "net/rpc", "expvar"}, name)
}

// TestHostileInput plays the table: go test -run 'TestHostileInput/36' plays row
// 36 alone.
func TestHostileInput(t *testing.T) {
	s := besiege(t)
	before, count := measure(), &tallyOf{}
	var slow []row
	for _, r := range rows() {
		if r.slow {
			slow = append(slow, r)
			continue
		}
		count.play(t, r, s.withstands)
	}
	var waiting sync.WaitGroup
	for _, r := range slow { // t.Parallel would let no more of them wait together than there are processors
		waiting.Go(func() {
			count.play(t, r, func(t *testing.T, r row) {
				t.Helper()
				r.attack(t, s)
				s.serves(t, 2) // while others attack still
			})
		})
	}
	waiting.Wait()
	s.holds(t)
	before.restored(t)
	t.Log(count)
}

// play plays a row as a test of its own, and counts it. Several goroutines may call it.
func (c *tallyOf) play(t *testing.T, r row, attack func(*testing.T, row)) {
	t.Helper()
	t.Run(fmt.Sprintf("%02d-%s", r.number, strings.ReplaceAll(r.name, " ", "-")), func(t *testing.T) {
		t.Cleanup(func() { c.add(r.number, t.Failed()) })
		attack(t, r)
	})
}

// TestEveryRowIsThereOnce holds the table against the list: sixty-one rows, in order,
// each with words of its own; those that nothing serves yet are named, and not
// played.
func TestEveryRowIsThereOnce(t *testing.T) {
	var numbers []int
	names := map[string]bool{}
	for _, r := range rows() {
		numbers = append(numbers, r.number)
		if r.name == "" || r.input == "" || r.answer == "" || r.attack == nil || names[r.name] {
			t.Errorf("row %d: a name of its own, an input, an answer and an attack are needed: %+q", r.number, r.name)
		}
		names[r.name] = true
	}
	for _, r := range unserved() {
		numbers = append(numbers, r.number)
	}
	slices.Sort(numbers)
	for i := range rowsTotal {
		if i >= len(numbers) || numbers[i] != i+1 {
			t.Fatalf("rows are %v, want 1 to %d, each once", numbers, rowsTotal)
		}
	}
	if len(numbers) != rowsTotal {
		t.Errorf("%d rows, want %d", len(numbers), rowsTotal)
	}
}
