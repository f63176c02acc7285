package pbft

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// TestReplicasCountWhatAnOperationTakes runs operations one at a time in memory, and
// holds the counts of all replicas together to what the protocol prescribes. Nothing
// times out: the request timeout is far longer than the test.
//
// A replica that has q commits of others before it has prepared needs no commit of
// its own, and one that lags flushes two batches at once: of both there are at least
// q. While links come up, votes are signed again for who says that it lacks them.
func TestReplicasCountWhatAnOperationTakes(t *testing.T) {
	const n, q, operations, again = 4, 3, 50, 24
	l := startLocal(t, LocalConfig{Replicas: n, Memory: true, RequestTimeout: RequestTimeoutMax, Dir: t.TempDir()}, echo{})
	client, err := l.Client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer closeClient(t, client)
	for i := range operations {
		if _, err := client.Submit(t.Context(), fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	sum := countsAfter(l, operations)
	if sum.Batches != n*operations || sum.Operations != n*operations {
		t.Errorf("%d batches and %d operations, want %d of each", sum.Batches, sum.Operations, n*operations)
	}
	if got, least, most := sum.Signed.Votes, int64((n+q)*operations), int64(2*n*operations+again); got < least || got > most {
		t.Errorf("%d votes were signed, want %d to %d", got, least, most)
	}
	if got := sum.Signed.Replies; got != n*operations || sum.Signed.Requests != 0 {
		t.Errorf("%d replies and %d requests were signed, want %d and none", got, sum.Signed.Requests, n*operations)
	}
	if got, want := sum.Verified.Requests, int64(n*operations); got < want {
		t.Errorf("%d requests were verified, want at least %d", got, want)
	}
	if got, want := sum.Verified.Votes, int64(operations*(3+3+2+8)); got < want {
		t.Errorf("%d votes were verified, want at least %d", got, want)
	}
	if got, want := sum.ToPeers.Frames, int64(operations*(3+9+3*q)); got < want {
		t.Errorf("%d frames went to peers, want at least %d", got, want)
	}
	if sum.ToClients.Frames < n*operations || sum.FromClients.Frames < operations || sum.ToClients.Bytes < 100*sum.ToClients.Frames {
		t.Errorf("got %+v to and %+v from clients", sum.ToClients, sum.FromClients)
	}
	if sum.Flushes < q*operations || sum.JournalBytes < n*operations || sum.Verifications == 0 {
		t.Errorf("%d flushes of %d bytes, %d verifications", sum.Flushes, sum.JournalBytes, sum.Verifications)
	}
	if diff := sum.Minus(sum); diff != (Counts{}) || sum.Plus(Counts{}) != sum {
		t.Errorf("the difference to itself is %+v", diff)
	}
}

// countsAfter waits until all replicas have executed so many operations, and sums
// their counts.
func countsAfter(l *Local, operations int64) (sum Counts) {
	for _, r := range l.Replicas() {
		for r.Counts().Operations < operations {
			runtime.Gosched()
		}
		sum = sum.Plus(r.Counts())
	}
	return sum
}

// TestSignaturesAreCountedByWhatTheyAreOf also takes bytes that are no message.
// TestReplicasTellHowBusyTheyAre submits until every stage of every replica has worked in a
// whole window of time.
func TestReplicasTellHowBusyTheyAre(t *testing.T) {
	l := startLocal(t, LocalConfig{Replicas: 4, Memory: true, RequestTimeout: RequestTimeoutMax, Dir: t.TempDir()}, echo{})
	client, err := l.Client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer closeClient(t, client)
	for _, r := range l.Replicas() {
		for busy := r.BusyShares(); busy.Step == 0 || busy.Settle == 0 || busy.Apply == 0; busy = r.BusyShares() {
			if _, err := client.Submit(t.Context(), []byte("x")); err != nil {
				t.Fatal(err)
			}
			if max(busy.Step, busy.Settle, busy.Apply) > 1 {
				t.Fatalf("got %+v, want shares of time", busy)
			}
		}
	}
}

func TestSignaturesAreCountedByWhatTheyAreOf(t *testing.T) {
	var c signatureCounters
	d := crypto.Domain{Epoch: 1}
	for _, k := range []wire.Kind{wire.KindRequest, wire.KindPrePrepare, wire.KindPrepare, wire.KindCommit, wire.KindReply, wire.KindStatus} {
		c.of(d.Message(byte(k), nil)).Add(1)
	}
	c.of(nil).Add(1)
	if got, want := c.read(), (Signatures{Requests: 1, Votes: 3, Replies: 1, Others: 2}); got != want || got.All() != 7 {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// TestLocalClusterFarApart has an operation take its five ways: to the primary, three rounds
// of votes, and the answer.
func TestLocalClusterFarApart(t *testing.T) {
	const delay = 20 * time.Millisecond
	l := startLocal(t, LocalConfig{Replicas: 4, Memory: true, Delay: delay, Dir: t.TempDir()}, echo{})
	c, err := l.Client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // it was asked for nothing more
	for range 2 {
		began := time.Now()
		if _, err := c.Submit(t.Context(), []byte("op")); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < 5*delay {
			t.Errorf("an operation took %v, want five times %v at least", took, delay)
		}
	}
}

// TestLocalClustersReportBadSettings starts nothing.
func TestLocalClustersReportBadSettings(t *testing.T) {
	for _, cfg := range []LocalConfig{
		{},
		{Replicas: 4, RequestTimeout: time.Nanosecond},
		{Replicas: 4, Limits: GenesisLimits{Clients: 1}},
		{Replicas: 4, Dir: "/does/not/exist"},
		{Replicas: 1 << 40}, // and takes no memory for their keys
		{Replicas: 4, Delay: time.Millisecond},
		{Replicas: 4, Delay: -1, Memory: true},
		{Replicas: 4, Delay: LocalDelayMax + 1, Memory: true},
	} {
		if l, err := StartLocalWith(t.Context(), cfg, echo{}); err == nil {
			t.Errorf("%+v: got nil, want an error", cfg)
			_ = l.Close()
		}
	}
}
