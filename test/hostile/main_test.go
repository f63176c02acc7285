package hostile

import (
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	logging "github.com/ipfs/go-log/v2"
	"go.uber.org/goleak"
)

var seed = flag.Uint64("seed", uint64(time.Now().UnixNano()), "seed of random tests")

// childVariable makes the test binary a replica: its value is the directory.
const childVariable = "QUORATE_TEST_HOSTILE_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childVariable); dir != "" {
		os.Exit(child(dir))
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	flag.Parse()
	if err := logging.SetLogLevel("*", "fatal"); err != nil { // thousands of lines about what is on purpose
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}
