package app_test

import (
	"fmt"

	"github.com/quorate/quorate/app"
)

// visits counts how often each guest came.
type visits struct{}

func (visits) Execute(tx *app.Tx, op []byte) []byte {
	guest := string(op)
	tx.PutUint64(guest, tx.Uint64(guest)+1)
	return fmt.Append(nil, tx.Uint64(guest))
}

func (visits) Query(tx *app.Tx, _ []byte) []byte {
	var list []byte
	for guest := range tx.Scan("", "") {
		list = fmt.Appendf(list, "%s:%d ", guest, tx.Uint64(guest))
	}
	return list
}

// A state machine is tested without any replica.
func ExampleNewSolo() {
	solo := app.NewSolo(visits{})
	for _, guest := range []string{"bob", "alice", "bob"} {
		result, err := solo.Execute([]byte(guest))
		fmt.Println(string(result), err)
	}
	list, err := solo.Query(nil)
	fmt.Println(string(list), err)
	// Output:
	// 1 <nil>
	// 1 <nil>
	// 2 <nil>
	// alice:1 bob:2  <nil>
}

// An invariant over the whole content is checked from outside.
func ExampleInspect() {
	solo := app.NewSolo(visits{})
	if _, err := solo.Execute([]byte("bob")); err != nil {
		fmt.Println(err)
	}
	err := app.Inspect(solo.Store(), nil, func(tx *app.Tx) error {
		for guest := range tx.Prefix("b") {
			if tx.Uint64(guest) == 0 {
				return fmt.Errorf("%s never came", guest)
			}
		}
		return nil
	})
	fmt.Println(err)
	// Output: <nil>
}
