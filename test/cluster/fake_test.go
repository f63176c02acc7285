package cluster

import (
	"context"
	"sync"

	"github.com/quorate/quorate/app"
	"github.com/quorate/quorate/app/kv"
	"github.com/quorate/quorate/pbft"
)

// fake is a cluster of one store in memory. Before and after each operation a
// test may break it.
type fake struct {
	mu   sync.Mutex
	solo *app.Solo
	// instead, if set, executes operation number n in another way.
	instead func(n int, op []byte, execute func([]byte) []byte) []byte
	count   int
}

func newFake() *fake { return &fake{solo: app.NewSolo(kv.Machine{})} }

func (f *fake) dial(context.Context) (Submitter, error) { return f, nil }

func (f *fake) Submit(ctx context.Context, op []byte) (pbft.Result, error) {
	if err := ctx.Err(); err != nil {
		return pbft.Result{}, &pbft.UnfinishedError{Err: err}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count++
	value := f.execute
	if f.instead != nil {
		value = func(op []byte) []byte { return f.instead(f.count, op, f.execute) }
	}
	got := value(op)
	if got == nil { // the replies are lost
		f.mu.Unlock()
		<-ctx.Done()
		f.mu.Lock()
		return pbft.Result{}, &pbft.UnfinishedError{Err: ctx.Err()}
	}
	return pbft.Result{Value: got}, nil
}

func (f *fake) execute(op []byte) []byte {
	got, err := f.solo.Execute(op)
	if err != nil {
		return kv.Result{Status: kv.StatusInvalid, Value: []byte(err.Error())}.Encode()
	}
	return got
}

func (f *fake) Read(ctx context.Context, op []byte) (pbft.Result, error) { return f.Submit(ctx, op) }

func (f *fake) Query(ctx context.Context, op []byte) (pbft.Result, error) { return f.Submit(ctx, op) }

func (f *fake) Close() error { return nil }
