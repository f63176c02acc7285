package app_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/quorate/quorate/app"
)

// TestSoloBoundsResultsAsReplicasDo has results as long as replicas keep, and longer ones.
func TestSoloBoundsResultsAsReplicasDo(t *testing.T) {
	solo := app.NewSolo(function(func(tx *app.Tx) []byte {
		if tx.Seq() == 1 {
			return make([]byte, app.ResultBytesMax)
		}
		tx.Put("k", nil)
		tx.Emit(nil)
		return make([]byte, app.ResultBytesMax+1)
	}))
	if got, err := solo.Execute(nil); err != nil || !bytes.Equal(got, make([]byte, app.ResultBytesMax)) {
		t.Errorf("the longest result: got %d bytes, %v", len(got), err)
	}
	if got, err := solo.Execute(nil); !errors.Is(err, app.ErrRolledBack) {
		t.Errorf("a longer one: got %d bytes, %v, want %v", len(got), err, app.ErrRolledBack)
	}
	if solo.Store().Len() > 0 || len(solo.Outputs()) > 0 {
		t.Error("what was rolled back has changed something")
	}
	query := app.NewSolo(function(func(*app.Tx) []byte { return make([]byte, app.ResultBytesMax+1) }))
	if got, err := query.Query(nil); !errors.Is(err, app.ErrRolledBack) {
		t.Errorf("a query with a longer one: got %d bytes, %v, want %v", len(got), err, app.ErrRolledBack)
	}
}
