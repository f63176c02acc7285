package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/pflag"

	"github.com/quorate/quorate/crypto"
)

// passphraseEnv is the environment variable that a passphrase is taken from.
const passphraseEnv = "QUORATE_PASSPHRASE"

// passphraseBytesMax bounds a passphrase, in a file too.
const passphraseBytesMax = 4096

// keyFlags tell how a key file is protected.
type keyFlags struct {
	plain     bool
	plainName string // of that flag
	file      string
}

func (k *keyFlags) add(flags *pflag.FlagSet, plainName string) {
	k.plainName = plainName
	flags.BoolVar(&k.plain, plainName, false, "key files are not encrypted: for trying things out")
	flags.StringVar(&k.file, "passphrase-file", "", "file with the passphrase of the key; otherwise "+passphraseEnv+
		", or a prompt")
}

// passphrase returns the passphrase from the file, the environment or a prompt.
// A new one is asked for twice.
func (k *keyFlags) passphrase(c *console, isNew bool) ([]byte, error) {
	if k.file != "" {
		return readPassphrase(k.file)
	}
	if p := c.env(passphraseEnv); p != "" {
		return []byte(p), nil
	}
	p, err := c.prompt("Passphrase: ")
	if err != nil {
		return nil, err
	}
	if !isNew {
		return p, nil
	}
	again, err := c.prompt("The same again: ")
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(p, again) {
		return nil, usagef("the two passphrases differ: try again")
	}
	return p, nil
}

func readPassphrase(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, usageError{fmt.Errorf("passphrase: %w", err)}
	}
	defer f.Close() //nolint:errcheck // it was only read
	data, err := io.ReadAll(io.LimitReader(f, passphraseBytesMax+1))
	if err != nil {
		return nil, usageError{fmt.Errorf("passphrase: %w", err)}
	}
	p := bytes.TrimRight(data, "\r\n")
	if len(p) == 0 || len(p) > passphraseBytesMax {
		return nil, usagef("passphrase: %s is empty or longer than %d bytes", path, passphraseBytesMax)
	}
	return p, nil
}

// prompt asks on the terminal, without showing what is typed.
func (c *console) prompt(question string) ([]byte, error) {
	if c.in == nil || !isTerminal(c.in) {
		return nil, usagef("a passphrase is needed, and there is no terminal to ask for it: give --passphrase-file, "+
			"set %s, or use plain keys", passphraseEnv)
	}
	c.tell("%s", question)
	p, err := readHidden(c.in)
	c.tell("\n")
	if err != nil {
		return nil, fmt.Errorf("passphrase: %w", err)
	}
	if len(p) == 0 {
		return nil, usagef("the passphrase is empty")
	}
	return p, nil
}

// interruptByte is what a terminal without signals sends for Ctrl-C.
const interruptByte = 3

// readLine reads up to the end of a line, one byte at a time, so that nothing
// after it is taken.
func readLine(r io.Reader) ([]byte, error) {
	var line []byte
	one := make([]byte, 1)
	for len(line) < passphraseBytesMax {
		n, err := r.Read(one)
		if n == 1 && one[0] == '\n' {
			return bytes.TrimRight(line, "\r"), nil
		}
		if n == 1 && one[0] == interruptByte {
			return nil, usagef("interrupted")
		}
		line = append(line, one[:n]...)
		if err != nil {
			return line, ignoreEOF(err, len(line))
		}
	}
	return nil, usagef("the passphrase is longer than %d bytes", passphraseBytesMax)
}

func ignoreEOF(err error, got int) error {
	if err == io.EOF && got > 0 { //nolint:errorlint // io.EOF is never wrapped by a Reader
		return nil
	}
	return err
}

// load returns the key in the file at path.
func (k *keyFlags) load(c *console, path string) (crypto.PrivateKey, error) {
	if k.plain {
		key, err := crypto.LoadPlainKey(path)
		if errors.Is(err, crypto.ErrKeyEncrypted) {
			err = usagef("%s is encrypted: drop --%s, and give its passphrase", path, k.plainName)
		}
		return key, err
	}
	p, err := k.passphrase(c, false)
	if err != nil {
		return crypto.PrivateKey{}, err
	}
	key, err := crypto.LoadKey(path, p)
	if errors.Is(err, crypto.ErrKeyPlain) {
		err = usagef("%s is not encrypted: give --%s", path, k.plainName)
	}
	return key, err
}

// saver returns a function that saves keys. It asks for a passphrase once.
func (k *keyFlags) saver(c *console) (func(path string, key crypto.PrivateKey) error, error) {
	if k.plain {
		if k.file != "" {
			return nil, usagef("plain keys have no passphrase: drop --passphrase-file or the flag for plain keys")
		}
		return crypto.SavePlainKey, nil
	}
	p, err := k.passphrase(c, true)
	if err != nil {
		return nil, err
	}
	return func(path string, key crypto.PrivateKey) error { return crypto.SaveKey(path, key, p) }, nil
}
