package checkpoint

import (
	"bufio"
	"strings"
	"testing"

	logging "github.com/ipfs/go-log/v2"
)

// TestLogSaysNothingOfBadgersCache passes on what Badger warns of, but for what it says
// every minute of a cache that is meant to be small.
func TestLogSaysNothingOfBadgersCache(t *testing.T) {
	log := logging.Logger("checkpoint/badger-test")
	if err := logging.SetLogLevel("checkpoint/badger-test", "warn"); err != nil {
		t.Fatal(err)
	}
	lines := logging.NewPipeReader()
	first := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(lines).ReadString('\n')
		first <- line
	}()
	l := badgerLogger{log}
	l.Warningf("%s might be too small. Metrics: %s\n", "Block cache", "none")
	l.Warningf("Cache life expectancy (in seconds): %+v\n", 1)
	l.Warningf("a table is damaged: %s", "7")
	if line := <-first; !strings.Contains(line, "a table is damaged: 7") {
		t.Errorf("the first line is %q, want the damaged table's", line)
	}
	if err := lines.Close(); err != nil {
		t.Error(err)
	}
}
