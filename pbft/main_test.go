package pbft

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/quorate/quorate/app"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// startLocal starts a cluster that ends with the test.
func startLocal(t *testing.T, cfg LocalConfig, sm app.StateMachine) *Local {
	t.Helper()
	l, err := StartLocalWith(t.Context(), cfg, sm)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}
