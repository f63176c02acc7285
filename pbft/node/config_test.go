package node

import (
	"strings"
	"testing"

	"github.com/quorate/quorate/pbft/wire"
)

func TestConfigReportsEverythingThatIsWrong(t *testing.T) {
	err := Config{}.Validate()
	if err == nil {
		t.Fatal("the zero Config is valid")
	}
	for _, want := range []string{
		"quorum is not set", "no signer", "no verifier", "no state machine", "no transport", "no journal", "no state",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %q, want it to say %q", err, want)
		}
	}
	m := newMembers(t, 4)
	for name, c := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"another's key":  {func(c *Config) { c.Signer = m.keys[1] }, "the signer's key is not that of replica 0"},
		"too few keys":   {func(c *Config) { c.Keys = c.Keys[:3] }, "there are 3 keys for 4 replicas"},
		"narrow limits":  {func(c *Config) { c.Limits.Window = 1 }, "limits allow a window of 1"},
		"others' limits": {func(c *Config) { c.Limits = wire.DefaultLimits(7) }, "limits are for 7 replicas, not 4"},
		"negative tick":  {func(c *Config) { c.Tick = -1 }, "tick is -1ns"},
	} {
		config := m.configs[0]
		c.change(&config)
		if _, err := New(config); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error that says %q", name, err, c.want)
		}
	}
}

func TestNodeRunsOnce(t *testing.T) {
	m := newMembers(t, 1)
	m.start(0)
	if err := m.stop[0](); err != nil {
		t.Errorf("the first Run ended with %v, want nil", err)
	}
	if err := m.nodes[0].Run(t.Context()); err == nil {
		t.Error("a second Run is possible")
	}
}
