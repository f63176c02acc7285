package bank

import (
	"fmt"
	"strconv"
	"strings"
)

// opBytesMax is the length of the longest operation.
const opBytesMax = len("transfer") + 2*(1+NameBytesMax) + 1 + len("18446744073709551615")

// operation is a decoded operation.
type operation struct {
	verb   string
	names  []string
	amount uint64
}

// shape tells what follows a verb.
func shape(verb string) (names int, amount, ok bool) {
	switch verb {
	case "open", "balance":
		return 1, false, true
	case "mint", "pay":
		return 1, true, true
	case "transfer":
		return 2, true, true
	case "total", "audit":
		return 0, false, true
	default:
		return 0, false, false
	}
}

func parse(op []byte) (operation, error) {
	if len(op) > opBytesMax {
		return operation{}, fmt.Errorf("an operation has %d bytes, at most %d are possible", len(op), opBytesMax)
	}
	words := strings.Split(string(op), " ")
	names, amount, ok := shape(words[0])
	if !ok {
		return operation{}, fmt.Errorf("%+.20q is no operation; there are open, mint, transfer, pay, balance, total and audit",
			words[0])
	}
	want := 1 + names
	if amount {
		want++
	}
	if len(words) != want {
		return operation{}, fmt.Errorf("%s has %d words, want %d", words[0], len(words), want)
	}
	o := operation{verb: words[0], names: words[1 : 1+names]}
	for _, name := range o.names {
		if err := checkName(name); err != nil {
			return operation{}, err
		}
	}
	if !amount {
		return o, nil
	}
	n, err := strconv.ParseUint(words[want-1], 10, 64)
	if err != nil || n == 0 {
		return operation{}, fmt.Errorf("the amount is %+.30q, want a number from 1 to 18446744073709551615", words[want-1])
	}
	o.amount = n
	return o, nil
}

func checkName(name string) error {
	if name == "" || len(name) > NameBytesMax {
		return fmt.Errorf("the name of an account has %d bytes, want 1 to %d", len(name), NameBytesMax)
	}
	if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
		return fmt.Errorf("the name %+q has other characters than a to z, 0 to 9, - and _", name)
	}
	return nil
}
