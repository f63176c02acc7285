package app

import (
	"bytes"
	"fmt"
)

// Reload is for tests. Where Keep made sm, it takes a snapshot of the Snapshotter that has
// the state in store, restores a new one from it, which is the one that goes on, and returns
// the snapshot. It returns an error if the snapshot cannot be restored, or if what was
// restored gives another snapshot. Of any other state machine kept is false. Between
// operations that are short, replicas do this seldom: see Keep.
func Reload(sm StateMachine, store Store) (snapshot []byte, kept bool, err error) {
	k, kept := sm.(interface{ reload(tx *Tx) ([]byte, error) })
	if !kept {
		return nil, false, nil
	}
	err = Inspect(store, nil, func(tx *Tx) (err error) {
		snapshot, err = k.reload(tx)
		return err
	})
	if err != nil {
		return nil, true, err
	}
	return snapshot, true, nil
}

// reload replaces tx's instance by one that is restored from its snapshot.
func (k *keeper) reload(tx *Tx) ([]byte, error) {
	_, one := k.stand(tx)
	run, restored := one.app, k.fresh()
	one.app = nil // as in Execute
	snapshot := bytes.Clone(run.Snapshot())
	if err := restored.Restore(bytes.Clone(snapshot)); err != nil {
		return nil, fmt.Errorf("app: the snapshot of the application cannot be restored: %w", err)
	}
	if again := restored.Snapshot(); !bytes.Equal(snapshot, again) {
		return nil, fmt.Errorf("app: what is restored from a snapshot gives another one: first %.200q, then %.200q", snapshot, again)
	}
	one.app = restored
	return snapshot, nil
}
