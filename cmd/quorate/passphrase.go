package main

import (
	"bytes"
	"context"
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

// validate refuses a passphrase for a key that has none.
func (k *keyFlags) validate() error {
	if k.plain && k.file != "" {
		return usagef("plain keys have no passphrase: drop --%s or --passphrase-file", k.plainName)
	}
	return nil
}

// passphrase returns the passphrase from the file, the environment or a prompt.
// A new one is asked for twice.
func (k *keyFlags) passphrase(ctx context.Context, c *console, isNew bool) ([]byte, error) {
	if k.file != "" {
		return readPassphrase(ctx, k.file)
	}
	if p := c.env(passphraseEnv); p != "" {
		return []byte(p), nil
	}
	p, err := c.prompt(ctx, "Passphrase: ")
	if err != nil {
		return nil, err
	}
	if !isNew {
		return p, nil
	}
	again, err := c.prompt(ctx, "The same again: ")
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(p, again) {
		return nil, usagef("the two passphrases differ: try again")
	}
	return p, nil
}

func readPassphrase(ctx context.Context, path string) ([]byte, error) {
	data, err := awaited(ctx, func() ([]byte, error) { return readUpTo(path, passphraseBytesMax+1) })
	switch {
	case errors.Is(err, context.Canceled):
		return nil, fmt.Errorf("passphrase: %w", err)
	case err != nil:
		return nil, usageError{fmt.Errorf("passphrase: %w", err)}
	}
	p := bytes.TrimRight(data, "\r\n")
	if len(p) == 0 || len(p) > passphraseBytesMax {
		return nil, usagef("passphrase: %s is empty or longer than %d bytes", path, passphraseBytesMax)
	}
	return p, nil
}

// readUpTo returns the first bytes of a file.
func readUpTo(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	return io.ReadAll(io.LimitReader(f, most))
}

// awaited returns what read does, unless ctx ends before: a pipe into which nobody
// writes, or a terminal, keeps read waiting, then until the process ends.
func awaited[T any](ctx context.Context, read func() (T, error)) (T, error) {
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		value, err := read()
		done <- outcome{value, err}
	}()
	select {
	case o := <-done:
		return o.value, o.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// prompt asks on the terminal, without showing what is typed.
func (c *console) prompt(ctx context.Context, question string) ([]byte, error) {
	if c.in == nil || !isTerminal(c.in) {
		return nil, usagef("a passphrase is needed, and there is no terminal to ask for it: give --passphrase-file, "+
			"set %s, or use plain keys", passphraseEnv)
	}
	c.tell("%s", question)
	p, err := readHidden(ctx, c.in)
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
			return nil, context.Canceled
		}
		line = append(line, one[:n]...)
		if errors.Is(err, io.EOF) {
			return line, nil
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, usagef("the passphrase is longer than %d bytes", passphraseBytesMax)
}

// load returns the key in the file at path. It asks for no passphrase that would not help.
func (k *keyFlags) load(ctx context.Context, c *console, path string) (crypto.PrivateKey, error) {
	if err := k.validate(); err != nil {
		return crypto.PrivateKey{}, err
	}
	switch _, encrypted, err := crypto.CheckKeyFile(path); {
	case err != nil:
		return crypto.PrivateKey{}, err
	case encrypted && k.plain:
		return crypto.PrivateKey{}, usagef("%s is encrypted: drop --%s, and give its passphrase", path, k.plainName)
	case !encrypted && !k.plain:
		return crypto.PrivateKey{}, usagef("%s is not encrypted: give --%s", path, k.plainName)
	case !encrypted:
		return crypto.LoadPlainKey(path)
	}
	p, err := k.passphrase(ctx, c, false)
	if err != nil {
		return crypto.PrivateKey{}, err
	}
	return crypto.LoadKey(path, p)
}

// saver returns a function that saves keys. It asks for a passphrase once.
func (k *keyFlags) saver(ctx context.Context, c *console) (func(path string, key crypto.PrivateKey) error, error) {
	if err := k.validate(); err != nil {
		return nil, err
	}
	if k.plain {
		return crypto.SavePlainKey, nil
	}
	p, err := k.passphrase(ctx, c, true)
	if err != nil {
		return nil, err
	}
	return func(path string, key crypto.PrivateKey) error { return crypto.SaveKey(path, key, p) }, nil
}
