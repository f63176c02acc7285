// Package counter is the smallest application that does something: one number
// that clients add to.
//
// Operations are text: "add" adds one, "add N" adds N, and "get" reads. Each
// returns the number after it, in decimal.
package counter

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/quorate/quorate/app"
)

// errorPrefix begins the result of an operation that changed nothing.
const errorPrefix = "error: "

// key is where the number is.
const key = "n"

// Machine is the application. The zero Machine is ready.
type Machine struct{}

// Execute runs one operation. Adding beyond the largest uint64, and what is no
// operation, changes nothing and returns "error: " and why.
func (Machine) Execute(tx *app.Tx, op []byte) []byte {
	n, err := parse(op)
	if err != nil {
		return append([]byte(errorPrefix), err.Error()...)
	}
	old := tx.Uint64(key)
	if n > math.MaxUint64-old {
		return fmt.Appendf(nil, "%s%d + %d is beyond %d", errorPrefix, old, n, uint64(math.MaxUint64))
	}
	if n > 0 {
		tx.PutUint64(key, old+n)
	}
	return strconv.AppendUint(nil, old+n, 10)
}

// Query runs "get"; adding ends a read-only operation.
func (m Machine) Query(tx *app.Tx, op []byte) []byte { return m.Execute(tx, op) }

// Validate refuses what is no operation.
func (Machine) Validate(op []byte) error {
	_, err := parse(op)
	return err
}

// ParseResult returns the number that an operation returned, or its error.
func ParseResult(result []byte) (uint64, error) {
	if why, ok := strings.CutPrefix(string(result), errorPrefix); ok {
		return 0, errors.New(why)
	}
	n, err := strconv.ParseUint(string(result), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("counter: %.40q is no result", result)
	}
	return n, nil
}

// parse returns how much op adds.
func parse(op []byte) (uint64, error) {
	switch string(op) {
	case "get":
		return 0, nil
	case "add":
		return 1, nil
	}
	number, ok := strings.CutPrefix(string(op), "add ")
	n, err := strconv.ParseUint(number, 10, 64)
	if !ok || err != nil || n == 0 {
		return 0, fmt.Errorf(`%+.40q is no operation; there are "add", "add N" with N from 1 to %d, and "get"`,
			op, uint64(math.MaxUint64))
	}
	return n, nil
}
