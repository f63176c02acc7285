// Package bank is an application with an invariant: money moves between
// accounts, and the sum of all balances is what was minted and not paid out. Whatever faults a
// cluster suffers, Check must hold.
//
// Operations are text, and Open, Mint and the like make them:
//
//	open NAME              an account with balance 0
//	mint NAME AMOUNT       new money
//	transfer FROM TO AMOUNT
//	pay NAME AMOUNT        money leaves the bank, and whoever pays it out is told
//	balance NAME
//	total                  the sum of all balances
//	audit                  the same, if the invariant holds
//
// The result is "ok N", where N is the balance of the (first) account after the
// operation, or the sum; or "error: " and why nothing happened. The last three
// may be submitted read-only. A payment is emitted as "pay NAME AMOUNT", for a
// subscriber to the cluster's outputs (pbft.Client.Outputs). It is an example:
// anyone may move anything.
package bank

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/quorate/quorate/app"
)

// The bounds of a bank.
const (
	// NameBytesMax bounds the name of an account: letters a to z, digits, "-"
	// and "_".
	NameBytesMax = 64
	// AccountsMax bounds how many accounts there are, and so what a total costs.
	AccountsMax = 10000
)

// The keys of the state.
const (
	accountPrefix = "account/" // + name → balance
	accountsKey   = "accounts" // → how many accounts there are
	mintedKey     = "minted"   // → how much money there is: minted, and not paid out
)

// The beginnings of results.
const (
	okPrefix    = "ok "
	errorPrefix = "error: "
)

// ErrInvariant says that the books do not balance.
var ErrInvariant = errors.New("bank: the books do not balance")

// Open returns the operation that opens an account.
func Open(name string) []byte { return []byte("open " + name) }

// Mint returns the operation that makes new money in an account.
func Mint(name string, amount uint64) []byte { return fmt.Appendf(nil, "mint %s %d", name, amount) }

// Transfer returns the operation that moves money.
func Transfer(from, to string, amount uint64) []byte {
	return fmt.Appendf(nil, "transfer %s %s %d", from, to, amount)
}

// Pay returns the operation that pays money out. It is also what that emits.
func Pay(name string, amount uint64) []byte { return fmt.Appendf(nil, "pay %s %d", name, amount) }

// Balance returns the operation that reads a balance.
func Balance(name string) []byte { return []byte("balance " + name) }

// Total returns the operation that sums all balances.
func Total() []byte { return []byte("total") }

// Audit returns the operation that checks the invariant.
func Audit() []byte { return []byte("audit") }

// ParseResult returns the number of a result, or its error.
func ParseResult(result []byte) (uint64, error) {
	if why, ok := strings.CutPrefix(string(result), errorPrefix); ok {
		return 0, errors.New(why)
	}
	number, ok := strings.CutPrefix(string(result), okPrefix)
	n, err := strconv.ParseUint(number, 10, 64)
	if !ok || err != nil {
		return 0, fmt.Errorf("bank: %.40q is no result", result)
	}
	return n, nil
}

// Machine is the application. The zero Machine is ready.
type Machine struct{}

// Execute runs one operation. What cannot be done changes nothing, and the
// result says why.
func (Machine) Execute(tx *app.Tx, op []byte) []byte {
	o, err := parse(op)
	if err != nil {
		return append([]byte(errorPrefix), err.Error()...)
	}
	n, err := run(tx, o)
	if err != nil {
		return append([]byte(errorPrefix), err.Error()...)
	}
	return strconv.AppendUint([]byte(okPrefix), n, 10)
}

// Query runs balance, total and audit; the others end a read-only operation.
func (m Machine) Query(tx *app.Tx, op []byte) []byte { return m.Execute(tx, op) }

// Validate refuses what is no operation.
func (Machine) Validate(op []byte) error {
	_, err := parse(op)
	return err
}

// Check returns ErrInvariant, and how, unless the balances sum up to what was
// minted. From outside of an operation call it through app.Inspect.
func Check(tx *app.Tx) error {
	sum, n, err := sumUp(tx)
	if err != nil {
		return err
	}
	if minted := tx.Uint64(mintedKey); sum != minted {
		return fmt.Errorf("%w: %d was minted and not paid out, the balances sum up to %d", ErrInvariant, minted, sum)
	}
	if count := tx.Uint64(accountsKey); n != count {
		return fmt.Errorf("%w: %d accounts were opened, there are %d", ErrInvariant, count, n)
	}
	return nil
}

// sumUp returns the sum of all balances, and of how many.
func sumUp(tx *app.Tx) (sum, n uint64, err error) {
	for key := range tx.Prefix(accountPrefix) {
		balance := tx.Uint64(key)
		if balance > math.MaxUint64-sum {
			return 0, 0, fmt.Errorf("%w: the balances sum up to more than %d", ErrInvariant, uint64(math.MaxUint64))
		}
		sum += balance
		n++
	}
	return sum, n, nil
}

func run(tx *app.Tx, o operation) (uint64, error) {
	switch o.verb {
	case "open":
		return open(tx, o.names[0])
	case "mint":
		return mint(tx, o.names[0], o.amount)
	case "transfer":
		return transfer(tx, o.names[0], o.names[1], o.amount)
	case "pay":
		return pay(tx, o.names[0], o.amount)
	case "balance":
		return balanceOf(tx, o.names[0])
	case "audit":
		if err := Check(tx); err != nil {
			return 0, err
		}
	}
	sum, _, err := sumUp(tx)
	return sum, err
}

func balanceOf(tx *app.Tx, name string) (uint64, error) {
	if !tx.Has(accountPrefix + name) {
		return 0, fmt.Errorf("there is no account %s", name)
	}
	return tx.Uint64(accountPrefix + name), nil
}

func open(tx *app.Tx, name string) (uint64, error) {
	if tx.Has(accountPrefix + name) {
		return 0, fmt.Errorf("account %s exists", name)
	}
	n := tx.Uint64(accountsKey)
	if n >= AccountsMax {
		return 0, fmt.Errorf("there are %d accounts, at most %d are possible", n, AccountsMax)
	}
	tx.PutUint64(accountsKey, n+1)
	tx.PutUint64(accountPrefix+name, 0)
	return 0, nil
}

func mint(tx *app.Tx, name string, amount uint64) (uint64, error) {
	balance, err := balanceOf(tx, name)
	if err != nil {
		return 0, err
	}
	minted := tx.Uint64(mintedKey)
	if amount > math.MaxUint64-minted {
		return 0, fmt.Errorf("%d was minted, %d more are too many", minted, amount)
	}
	tx.PutUint64(mintedKey, minted+amount)
	// No balance exceeds what was minted: the sum cannot overflow.
	tx.PutUint64(accountPrefix+name, balance+amount)
	return balance + amount, nil
}

func transfer(tx *app.Tx, from, to string, amount uint64) (uint64, error) {
	source, err := balanceOf(tx, from)
	if err != nil {
		return 0, err
	}
	target, err := balanceOf(tx, to)
	if err != nil {
		return 0, err
	}
	if from == to {
		return 0, fmt.Errorf("account %s is both ends of the transfer", from)
	}
	if source < amount {
		return 0, fmt.Errorf("insufficient funds: account %s has %d, not %d", from, source, amount)
	}
	tx.PutUint64(accountPrefix+from, source-amount)
	tx.PutUint64(accountPrefix+to, target+amount)
	return source - amount, nil
}

func pay(tx *app.Tx, name string, amount uint64) (uint64, error) {
	balance, err := balanceOf(tx, name)
	if err != nil {
		return 0, err
	}
	if balance < amount {
		return 0, fmt.Errorf("insufficient funds: account %s has %d, not %d", name, balance, amount)
	}
	tx.PutUint64(accountPrefix+name, balance-amount)
	tx.PutUint64(mintedKey, tx.Uint64(mintedKey)-amount)
	tx.Emit(Pay(name, amount))
	return balance - amount, nil
}
