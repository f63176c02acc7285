package scenario

import (
	"os"
	"testing"

	"github.com/quorate/quorate/test/faultnet"
)

func TestAFaultThatHitNothingFailsItsRow(t *testing.T) {
	for seen, want := range map[string]bool{
		"": false,
		`{"number":1,"counts":[{"heard":false,"peer":"R0","kind":"commit","frames":9}]}`:             false,
		`{"number":1,"counts":[{"heard":true,"peer":"R0","kind":"commit","frames":9,"dropped":2}]}`:  false,
		`{"number":1,"counts":[{"heard":false,"peer":"R2","kind":"commit","frames":9,"dropped":2}]}`: false,
		`{"number":1,"counts":[{"heard":false,"peer":"R0","kind":"commit","frames":9,"dropped":2}]}`: true,
		`{"number":`: false,
	} {
		s := &Stage{options: Options{Dir: t.TempDir()}, report: &Report{}}
		if err := os.MkdirAll(s.options.Dir+"/faults", 0o700); err != nil {
			t.Fatal(err)
		}
		if seen != "" {
			if err := os.WriteFile(s.ordersPath(1)+".seen", []byte(seen), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s.bit(1, "loses what goes to R0", lost(between(false, peers(0))))
		s.report.judge()
		if s.report.Passed != want {
			t.Errorf("%s: passed %v, want %v: %v", seen, s.report.Passed, want, s.report.Failures)
		}
	}
}

func TestRefusedOrdersFailTheirRow(t *testing.T) {
	s := &Stage{options: Options{Dir: t.TempDir()}, report: &Report{}}
	if err := os.MkdirAll(s.options.Dir+"/faults", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.ordersPath(1)+".seen", []byte(`{"number":0,"error":"no such replica","counts":[]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.order(t.Context(), 1, faultnet.Orders{}); err == nil || err.Error() != "no such replica" {
		t.Errorf("%v, want what the network tells", err)
	}
}
