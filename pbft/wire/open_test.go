package wire_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// countingVerifier counts, and finds check number bad of a call bad.
type countingVerifier struct {
	crypto.Verifier
	bad    int
	calls  int
	checks int
}

func (v *countingVerifier) Verify(checks []crypto.Check, ok []bool) bool {
	v.calls++
	v.checks += len(checks)
	all := v.Verifier.Verify(checks, ok)
	if v.bad >= 0 && v.bad < len(ok) {
		ok[v.bad], all = false, false
	}
	return all
}

// signatures is how many signatures the sample of each kind holds.
func signatures() map[wire.Kind]int {
	return map[wire.Kind]int{
		wire.KindRequest: 1, wire.KindPrePrepare: 3, wire.KindPrepare: 1, wire.KindCommit: 1, wire.KindCheckpoint: 1,
		wire.KindViewChange: 1 + 3 + 2*3, wire.KindNewView: 3, wire.KindReply: 1, wire.KindStatus: 1,
		wire.KindFetchBatches: 1, wire.KindBatchBody: 2, wire.KindFetchCommitted: 1, wire.KindCommitted: 5,
		wire.KindFetchViewChange: 1, wire.KindStableProof: 3, wire.KindFetchPieces: 1, wire.KindPiece: 0,
		wire.KindEvidence: 2, wire.KindAsk: 0, wire.KindReport: 1, wire.KindRefusal: 1, wire.KindPrepared: 3,
		wire.KindCommitProof: 3, wire.KindReplies: 1, wire.KindAskOutputs: 0, wire.KindOutputs: 1,
		wire.KindQuery: 1, wire.KindResults: 1,
	}
}

func TestSamplesOpenWithRealSignatures(t *testing.T) {
	w := newWorld(t)
	var frames [][]byte
	all := w.samples(t)
	for _, k := range kinds() {
		frames = append(frames, all[k].Frame())
	}
	for i, got := range w.opener().Open(frames) {
		if got.Err != nil {
			t.Errorf("%s: %v", kinds()[i], got.Err)
			continue
		}
		if diff := cmp.Diff(all[kinds()[i]].Message(), got.Sealed.Message()); diff != "" {
			t.Errorf("opened (-want +got):\n%s", diff)
		}
	}
}

// TestEverySignatureIsVerified makes each signature of each sample, nested ones
// too, the only bad one.
func TestEverySignatureIsVerified(t *testing.T) {
	w := newStubWorld(t)
	for k, s := range w.samples(t) {
		want := signatures()[k]
		v := &countingVerifier{Verifier: w.verifier, bad: -1}
		o := wire.NewOpener(w.domain, w.keys, w.lim, v)
		if _, err := o.OpenOne(s.Frame()); err != nil || v.checks != want {
			t.Errorf("%s: verified %d signatures, %v, want %d", k, v.checks, err, want)
		}
		for v.bad = range want {
			if got, err := o.OpenOne(s.Frame()); !errors.Is(err, wire.ErrSignature) || got != nil {
				t.Errorf("%s with bad signature %d: got %v, want ErrSignature", k, v.bad, err)
			}
		}
	}
}

func TestOpenVerifiesManyFramesInOneCall(t *testing.T) {
	w := newStubWorld(t)
	all := w.samples(t)
	prepare, request := all[wire.KindPrepare].Frame(), all[wire.KindRequest].Frame()
	forged := bytes.Clone(prepare)
	forged[len(forged)-1]++
	v := &countingVerifier{Verifier: w.verifier, bad: -1}
	o := wire.NewOpener(w.domain, w.keys, w.lim, v)
	got := o.Open([][]byte{prepare, forged, nil, request, {wire.Version, 99}, forged})
	for i, want := range []error{nil, wire.ErrSignature, wire.ErrMalformed, nil, wire.ErrMalformed, wire.ErrSignature} {
		if !errors.Is(got[i].Err, want) || (got[i].Err == nil) != (got[i].Sealed != nil) {
			t.Errorf("frame %d: got %v, %v, want %v", i, got[i].Sealed, got[i].Err, want)
		}
	}
	if v.calls != 1 {
		t.Errorf("got %d calls of the verifier, want 1", v.calls)
	}
	if why := got[1].Err.Error(); !strings.Contains(why, "prepare of replica 3") {
		t.Errorf("got %q, want it to name the signer", why)
	}
	if len(o.Open(nil)) != 0 || v.calls != 1 {
		t.Error("no frames called the verifier")
	}
}

// TestMemoryIsUsedAgain opens, with one memory, frames in any number and order, with
// bad ones among them, and finds what a call without a past finds.
func TestMemoryIsUsedAgain(t *testing.T) {
	w := newWorld(t)
	samples := w.samples(t)
	rapid.Check(t, func(rt *rapid.T) {
		var memory wire.Memory
		o := w.opener()
		for range rapid.IntRange(2, 4).Draw(rt, "calls") {
			frames := make([][]byte, rapid.IntRange(0, 40).Draw(rt, "frames"))
			for i := range frames {
				frames[i] = bytes.Clone(samples[rapid.SampledFrom(kinds()).Draw(rt, "kind")].Frame())
				if rapid.IntRange(0, 9).Draw(rt, "bad") == 0 {
					frames[i][rapid.IntRange(0, len(frames[i])-1).Draw(rt, "byte")]++
				}
			}
			got, want := o.OpenIn(&memory, frames), o.Open(frames)
			for i := range want {
				if why := fmt.Sprint(want[i].Err); fmt.Sprint(got[i].Err) != why {
					rt.Fatalf("frame %d: got %v, want %s", i, got[i].Err, why)
				}
				if want[i].Err == nil && !cmp.Equal(want[i].Sealed.Message(), got[i].Sealed.Message()) {
					rt.Fatalf("frame %d: %s", i, cmp.Diff(want[i].Sealed.Message(), got[i].Sealed.Message()))
				}
			}
		}
	})
}

// TestProposalsOfThePastAreNotOpened opens a proposal for who stands in different places,
// as it is and with every byte changed in turn: of the past, its own signature alone
// counts, and it is never a message.
func TestProposalsOfThePastAreNotOpened(t *testing.T) {
	w := newStubWorld(t)
	sealed := w.samples(t)[wire.KindPrePrepare]
	pp := message[*wire.PrePrepare](sealed)
	own := len(wire.Encode(&wire.Prepare{Vote: pp.Vote})) // a vote and nothing else
	checks := len(pp.Batch.Requests) + 1
	for _, at := range []struct {
		view wire.View
		low  wire.Seq
		past bool
	}{
		{0, 0, false},
		{pp.View, pp.Seq - 1, false},
		{pp.View + 1, pp.Seq - 1, true},
		{pp.View, pp.Seq, true},
		{wire.NumberMax, wire.NumberMax, true},
	} {
		o := w.opener().WithoutPast(at.view, at.low)
		got := o.Open([][]byte{sealed.Frame(), w.samples(t)[wire.KindPrepare].Frame()})
		if got[1].Sealed == nil {
			t.Errorf("in view %d above %d a prepare is refused: %v", at.view, at.low, got[1].Err)
		}
		want := wire.Opened{Past: true, Checks: 1}
		if !at.past {
			want = wire.Opened{Sealed: got[0].Sealed, Checks: checks}
		}
		if got[0] != want || got[0].Past == (got[0].Sealed != nil) {
			t.Errorf("in view %d above %d: got %+v, want %+v", at.view, at.low, got[0], want)
		}
		for i := range sealed.Frame() {
			bad := bytes.Clone(sealed.Frame())
			bad[i] ^= 1
			got := o.Open([][]byte{bad})[0]
			if ignored := at.past && i >= own; got.Past != ignored || (got.Err == nil) != ignored || got.Sealed != nil {
				t.Errorf("in view %d above %d, byte %d: got %+v", at.view, at.low, i, got)
			}
			if at.past && got.Unsigned != nil {
				t.Errorf("in view %d above %d, byte %d: a proposal that its primary did not sign is exposed", at.view, at.low, i)
			}
		}
	}
}

// TestSignaturesOfABatchAllocateNothing opens pre-prepares of one request and of a
// hundred: what each signature needs is there already, and the requests are one piece.
func TestSignaturesOfABatchAllocateNothing(t *testing.T) {
	w := newWorld(t)
	allocations := func(requests int) float64 {
		pp := message[*wire.PrePrepare](w.samples(t)[wire.KindPrePrepare])
		batch := &wire.Batch{Time: pp.Batch.Time}
		for i := range requests {
			signed := wire.Seal(w.clients[i%2], w.domain, w.sampleRequest(i%2, fmt.Sprintf("operation %d", i)))
			batch.Requests = append(batch.Requests, message[*wire.Request](signed))
		}
		frame := wire.Seal(w.replicas[pp.Sender], w.domain, &wire.PrePrepare{
			Vote: wire.Vote{View: pp.View, Seq: pp.Seq, Digest: batch.Digest(), Sender: pp.Sender}, Batch: batch,
		}).Frame()
		var memory wire.Memory
		o := w.opener()
		return testing.AllocsPerRun(20, func() {
			if err := o.OpenIn(&memory, [][]byte{frame})[0].Err; err != nil {
				t.Fatal(err)
			}
		})
	}
	if one, hundred := allocations(1), allocations(100); hundred > one+12 {
		t.Errorf("one request takes %.0f allocations, a hundred take %.0f", one, hundred)
	}
}

// TestSignaturesOfAnotherClusterOrEpochAreRefused also opens with the keys of
// the replicas in another order.
func TestSignaturesOfAnotherClusterOrEpochAreRefused(t *testing.T) {
	w := newWorld(t)
	cluster, epoch := w.domain, w.domain
	cluster.Cluster[31]++
	epoch.Epoch++
	turned := append(w.keys[1:len(w.keys):len(w.keys)], w.keys[0])
	for name, o := range map[string]*wire.Opener{
		"another cluster": wire.NewOpener(cluster, w.keys, w.lim, w.verifier),
		"another epoch":   wire.NewOpener(epoch, w.keys, w.lim, w.verifier),
		"other keys":      wire.NewOpener(w.domain, turned, w.lim, w.verifier),
	} {
		for k, s := range w.samples(t) {
			_, err := o.OpenOne(s.Frame())
			byClients := k == wire.KindRequest || k == wire.KindBatchBody || k == wire.KindQuery
			if signatures()[k] == 0 || byClients && name == "other keys" {
				if err != nil {
					t.Errorf("%s, %s: %v", k, name, err)
				}
				continue
			}
			if !errors.Is(err, wire.ErrSignature) {
				t.Errorf("%s, %s: got %v, want ErrSignature", k, name, err)
			}
		}
	}
}

// TestSignaturesOfOneKindServeNoOther gives every frame every other kind.
func TestSignaturesOfOneKindServeNoOther(t *testing.T) {
	w := newStubWorld(t)
	o := w.opener()
	for k, s := range w.samples(t) {
		for _, other := range kinds() {
			frame := bytes.Clone(s.Frame())
			frame[1] = byte(other)
			unsigned := other == wire.KindAsk || other == wire.KindAskOutputs || other == wire.KindPiece
			if _, err := o.OpenOne(frame); err == nil && other != k && !unsigned {
				t.Errorf("a %s was opened as a %s", k, other)
			}
		}
	}
}

func TestWeakClientKeysAreRefused(t *testing.T) {
	w := newWorld(t)
	identity, zero, huge := wire.ClientID{1}, wire.ClientID{}, wire.ClientID{}
	for i := range huge {
		huge[i] = 0xff
	}
	for _, key := range []wire.ClientID{identity, zero, huge} {
		q := w.sampleRequest(0, "add")
		q.Client = key
		request := wire.Encode(q)
		b := &wire.Batch{Time: 1, Requests: []*wire.Request{w.sampleRequest(0, "add"), q}}
		w.signBatch(&wire.Batch{Requests: b.Requests[:1]})
		good := w.samples(t)[wire.KindPrepare].Frame()
		got := w.opener().Open([][]byte{good, request, wire.Encode(&wire.BatchBody{Batch: b}), good})
		for i, want := range []error{nil, wire.ErrSignature, wire.ErrSignature, nil} {
			if !errors.Is(got[i].Err, want) {
				t.Errorf("client %x, frame %d: got %v, want %v", key[:2], i, got[i].Err, want)
			}
		}
	}
}

// seenAll is a SeenCache that forgets nothing.
type seenAll struct {
	mu struct {
		sync.Mutex
		known map[crypto.Digest]bool
	}
}

func (s *seenAll) Seen(d crypto.Digest) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.known[d]
}

func (s *seenAll) Add(d crypto.Digest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.known == nil {
		s.mu.known = make(map[crypto.Digest]bool)
	}
	s.mu.known[d] = true
}

func TestWhatWasVerifiedIsNotVerifiedAgain(t *testing.T) {
	w := newStubWorld(t)
	v := &countingVerifier{Verifier: w.verifier, bad: -1}
	o := wire.NewOpener(w.domain, w.keys, w.lim, v).WithSeen(&seenAll{})
	open := func(m wire.Message) {
		t.Helper()
		if _, err := o.OpenOne(w.seal(m).Frame()); err != nil {
			t.Fatal(err)
		}
	}
	b := w.sampleBatch()
	for _, q := range b.Requests {
		open(q)
	}
	vote := wire.Vote{View: 6, Seq: 300, Digest: digest("batch"), Sender: 3}
	open(&wire.Commit{Vote: vote})
	before := v.checks
	open(&wire.BatchBody{Batch: b})
	if v.checks != before {
		t.Errorf("a batch of verified requests: verified %d signatures, want 0", v.checks-before)
	}
	open(&wire.CommitProof{Cert: wire.CommitCert{View: 6, Seq: 300, Digest: digest("batch"), Commits: signers(0, 1, 3)}})
	if v.checks != before+2 {
		t.Errorf("a certificate with one verified commit of three: verified %d signatures, want 2", v.checks-before)
	}
}

func TestTheCacheLearnsNothingFromBadSignatures(t *testing.T) {
	w := newStubWorld(t)
	seen := &seenAll{}
	v := &countingVerifier{Verifier: w.verifier, bad: 0}
	o := wire.NewOpener(w.domain, w.keys, w.lim, v).WithSeen(seen)
	for _, k := range []wire.Kind{wire.KindRequest, wire.KindPrepare} {
		frame := w.samples(t)[k].Frame()
		for range 2 {
			if _, err := o.OpenOne(frame); !errors.Is(err, wire.ErrSignature) {
				t.Errorf("%s: got %v, want ErrSignature", k, err)
			}
		}
	}
	if len(seen.mu.known) != 0 {
		t.Errorf("the cache learned %d digests, want none", len(seen.mu.known))
	}
}

// TestTheCacheServesOneDomainEach holds that an Opener of another epoch does
// not take what was verified in this one.
func TestTheCacheServesOneDomainEach(t *testing.T) {
	w := newStubWorld(t)
	seen := &seenAll{}
	next := w.domain
	next.Epoch++
	here := w.opener().WithSeen(seen)
	there := wire.NewOpener(next, w.keys, w.lim, w.verifier).WithSeen(seen)
	for k, s := range w.samples(t) {
		if _, err := here.OpenOne(s.Frame()); err != nil {
			t.Fatal(err)
		}
		if _, err := there.OpenOne(s.Frame()); signatures()[k] > 0 && !errors.Is(err, wire.ErrSignature) {
			t.Errorf("%s: got %v, want ErrSignature", k, err)
		}
	}
}

func TestOpenMayBeCalledByManyGoroutines(t *testing.T) {
	w := newStubWorld(t)
	o := w.opener().WithSeen(&seenAll{})
	var frames [][]byte
	for _, s := range w.samples(t) {
		frames = append(frames, s.Frame())
	}
	errs := make(chan error, 8)
	for range cap(errs) {
		go func() {
			var err error
			for range 10 {
				for _, got := range o.Open(frames) {
					err = errors.Join(err, got.Err)
				}
			}
			errs <- err
		}()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func TestOpenNeverPanics(t *testing.T) {
	w := newStubWorld(t)
	o := w.opener()
	rapid.Check(t, func(rt *rapid.T) {
		d := draw{rt, w}
		frame := bytes.Clone(d.sealed(rapid.SampledFrom(kinds()).Draw(rt, "kind")).Frame())
		for range d.n("changes", 1, 4) {
			at := d.n("at", 0, uint64(len(frame)-1))
			frame[at] = byte(d.n("byte", 0, 255))
		}
		got, err := o.OpenOne(frame)
		if (got == nil) == (err == nil) {
			rt.Fatalf("got %v and %v, want one of the two", got, err)
		}
		if got != nil && !bytes.Equal(wire.Encode(got.Message()), frame) {
			rt.Fatal("an opened message has another encoding")
		}
	})
}

func TestAnOpenerOfNoReplicasOpensNothingSigned(t *testing.T) {
	w := newStubWorld(t)
	o := wire.NewOpener(w.domain, nil, w.lim, w.verifier)
	for k, s := range w.samples(t) {
		if _, found := wire.SenderOf(s.Message()); !found {
			continue
		}
		if _, err := o.OpenOne(s.Frame()); !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("%s: got %v, want ErrMalformed", k, err)
		}
	}
}

func ExampleOpener_Open() {
	opener := wire.NewOpener(crypto.Domain{}, nil, wire.DefaultLimits(4), crypto.NewVerifier(16))
	for _, got := range opener.Open([][]byte{wire.Encode(&wire.Ask{Nonce: 7}), {9, 9}}) {
		if got.Err != nil {
			fmt.Println(got.Err)
			continue
		}
		fmt.Println(got.Sealed.Message().Kind())
	}
	// Output:
	// ask
	// malformed frame: version 9, this is version 1
}

// TestKnownClientsAreNotParsed holds for their keys alone: a signature is checked
// whoever made it.
func TestKnownClientsAreNotParsed(t *testing.T) {
	w := newStubWorld(t)
	var odd crypto.PublicKey
	odd[0] = 2 // no point of the curve
	sealed := func(key crypto.PublicKey) *wire.Sealed {
		return wire.Seal(stubSigner(key), w.domain, &wire.Request{Client: key, Session: 1, Number: 1, Ops: [][]byte{{1}}})
	}
	plain := w.opener()
	knowing := plain.WithClients(map[wire.ClientID]bool{odd: true})
	if _, err := plain.OpenOne(sealed(odd).Frame()); !errors.Is(err, wire.ErrSignature) {
		t.Errorf("who does not know the key: got %v, want %v", err, wire.ErrSignature)
	}
	if _, err := knowing.OpenOne(sealed(odd).Frame()); err != nil {
		t.Errorf("who knows the key: %v", err)
	}
	forged := bytes.Clone(sealed(odd).Frame())
	forged[len(forged)-1] ^= 1
	if _, err := knowing.OpenOne(forged); !errors.Is(err, wire.ErrSignature) {
		t.Errorf("a forged signature: got %v, want %v", err, wire.ErrSignature)
	}
}

// TestDigestOfAChangedRequestIsItsOwn changes a copy of a verified request: the digest
// that was computed of the one is not the other's.
func TestDigestOfAChangedRequestIsItsOwn(t *testing.T) {
	w := newWorld(t)
	one, err := w.opener().OpenOne(w.seal(&wire.Request{
		Client: w.clients[0].Public(), Session: 1, Number: 2, Ops: [][]byte{[]byte("op")},
	}).Frame())
	if err != nil {
		t.Fatal(err)
	}
	verified := one.Message().(*wire.Request) //nolint:errcheck,forcetypeassert // made above
	changed := *verified
	changed.Number++
	fresh := changed
	if got, want := changed.Digest(), wire.Reseal(&fresh).Digest(); got != want {
		t.Errorf("digest of the changed copy: %s, want %s", got.Short(), want.Short())
	}
	if got := verified.Digest(); got != one.Digest() || got == changed.Digest() {
		t.Errorf("digest of the verified one: %s, want %s, and not that of the copy", got.Short(), one.Digest().Short())
	}
	if changed.Equal(verified) || !verified.Equal(verified) {
		t.Error("the changed copy is equal, or the verified one is not equal to itself")
	}
}
