// Package kv is a replicated key-value store: get, put, delete, compare and
// swap, and scans.
//
// Operations and results are bytes in one canonical encoding each. A client
// makes operations with Get, Put and the like, and reads results with
// ParseResult. Get and scan may be submitted read-only.
package kv

import (
	"bytes"

	"github.com/quorate/quorate/app"
)

// Machine is the application. The zero Machine is ready.
type Machine struct{}

// Execute runs one operation. Whatever goes wrong is in the result.
func (Machine) Execute(tx *app.Tx, op []byte) []byte {
	o, err := Parse(op)
	if err != nil {
		return Result{Status: StatusInvalid, Value: []byte(err.Error())}.Encode()
	}
	return run(tx, o).Encode()
}

// Query runs a get or a scan; a write ends a read-only operation.
func (m Machine) Query(tx *app.Tx, op []byte) []byte { return m.Execute(tx, op) }

// Validate refuses what is no operation, and what is out of bounds.
func (Machine) Validate(op []byte) error {
	_, err := Parse(op)
	return err
}

func run(tx *app.Tx, o Op) Result {
	switch o.Kind {
	case KindGet:
		return get(tx, o)
	case KindPut:
		return put(tx, o)
	case KindDelete:
		return remove(tx, o)
	case KindCompareAndSwap:
		return compareAndSwap(tx, o)
	case KindPutIfAbsent:
		return putIfAbsent(tx, o)
	case KindScan:
		return scan(tx, o)
	default:
		return Result{Status: StatusInvalid}
	}
}

func get(tx *app.Tx, o Op) Result {
	value, ok := tx.Get(o.Key)
	if !ok {
		return Result{Status: StatusNotFound}
	}
	return Result{Status: StatusFound, Value: value}
}

func put(tx *app.Tx, o Op) Result {
	tx.Put(o.Key, o.Value)
	return Result{Status: StatusDone}
}

func remove(tx *app.Tx, o Op) Result {
	if !tx.Has(o.Key) {
		return Result{Status: StatusNotFound}
	}
	tx.Delete(o.Key)
	return Result{Status: StatusDone}
}

func compareAndSwap(tx *app.Tx, o Op) Result {
	value, ok := tx.Get(o.Key)
	if !ok {
		return Result{Status: StatusNotFound}
	}
	if !bytes.Equal(value, o.Old) {
		return Result{Status: StatusConflict, Value: value}
	}
	return put(tx, o)
}

func putIfAbsent(tx *app.Tx, o Op) Result {
	if value, ok := tx.Get(o.Key); ok {
		return Result{Status: StatusConflict, Value: value}
	}
	return put(tx, o)
}

func scan(tx *app.Tx, o Op) Result {
	r := Result{Status: StatusEntries}
	size := 0
	for key, value := range tx.Scan(o.From, o.To) {
		size += len(key) + len(value)
		if len(r.Entries) == o.Limit || size > ScanBytesMax {
			r.More = true
			break
		}
		r.Entries = append(r.Entries, Entry{key, value})
	}
	return r
}
