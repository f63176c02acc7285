package pbft

import (
	"fmt"
	"testing"
)

// TestASubscriberHearsAllWhileAReplicaIsDown submits operations, ends a replica among
// them, and takes what they emit: everything, once, in the order of the results.
func TestASubscriberHearsAllWhileAReplicaIsDown(t *testing.T) {
	l := startLocal(t, LocalConfig{Replicas: 4, Dir: t.TempDir()}, echo{})
	client, err := l.Client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer closeClient(t, client)
	const operations = 40
	submitted := make(chan error, 1)
	go func() {
		for i := range operations {
			if i == operations/2 {
				if err := l.Replicas()[0].Close(); err != nil { // the primary
					submitted <- err
					return
				}
			}
			if _, err := client.Submit(t.Context(), fmt.Appendf(nil, "op%d", i+1)); err != nil {
				submitted <- err
				return
			}
		}
		submitted <- nil
	}()
	heard := uint64(0)
	for o, err := range client.Outputs(t.Context(), 1) {
		if err != nil {
			t.Fatal(err)
		}
		heard++
		if want := fmt.Sprintf("op%d", o.Number); o.Number != heard || string(o.Payload) != want {
			t.Fatalf("got %q as output %d, want %q as %d", o.Payload, o.Number, want, heard)
		}
		if heard == operations {
			break
		}
	}
	if err := <-submitted; err != nil {
		t.Fatal(err)
	}
	again, err := l.Client(t.Context()) // another subscriber, who asks for the last ones
	if err != nil {
		t.Fatal(err)
	}
	defer closeClient(t, again)
	for o, err := range again.Outputs(t.Context(), operations-1) {
		if err != nil || string(o.Payload) != fmt.Sprintf("op%d", o.Number) {
			t.Fatalf("got %q as output %d, %v", o.Payload, o.Number, err)
		}
		if o.Number == operations {
			break
		}
	}
}
