package crypto

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"
)

const (
	keyFileMagic   = "quorate-key "
	keyFileSealed  = "quorate-key v1 encrypted\n"
	keyFilePlain   = "quorate-key v1 plain\n"
	keySaltBytes   = 16
	keySealedBytes = SeedSize + chacha20poly1305.Overhead
)

// keyFile is what a key file says; SaveKey documents the format.
type keyFile struct {
	encrypted bool
	public    PublicKey
	seed      [SeedSize]byte // of a plain file only; the rest of an encrypted one
	cost      kdfCost
	salt      [keySaltBytes]byte
	nonce     [chacha20poly1305.NonceSizeX]byte
	sealed    [keySealedBytes]byte
}

// encode returns the one text of f.
func (f *keyFile) encode() []byte {
	var b []byte
	if f.encrypted {
		b = fmt.Appendf(f.authenticated(), "sealed %x\n", f.sealed)
	} else {
		b = fmt.Appendf(nil, "%spublic %s\nseed %x\n", keyFilePlain, f.public, f.seed)
	}
	return fmt.Appendf(b, "checksum %s\n", Sum(b))
}

// authenticated returns the lines that the cipher authenticates.
func (f *keyFile) authenticated() []byte {
	return fmt.Appendf(nil, "%spublic %s\ntime %d\nmemory %d\nthreads %d\nsalt %x\nnonce %x\n",
		keyFileSealed, f.public, f.cost.time, f.cost.memoryKiB, f.cost.threads, f.salt, f.nonce)
}

// parseKeyFile returns what text says, if it is exactly what encode makes of
// it, which checks the checksum too. It bounds the cost before anyone pays it.
func parseKeyFile(text []byte) (*keyFile, error) {
	var f keyFile
	var body string
	switch s := string(text); {
	case strings.HasPrefix(s, keyFileSealed):
		f.encrypted, body = true, s[len(keyFileSealed):]
	case strings.HasPrefix(s, keyFilePlain):
		body = s[len(keyFilePlain):]
	case strings.HasPrefix(s, keyFileMagic):
		return nil, errors.New("its first line is none that this version of quorate knows")
	default:
		return nil, fmt.Errorf("it does not begin with %q", keyFileMagic)
	}
	p := keyParser{rest: body}
	p.bytes("public", f.public[:])
	if f.encrypted {
		f.cost.time = p.number("time", 1, kdfTimeMax)
		f.cost.memoryKiB = p.number("memory", 1, kdfMemoryKiBMax)
		f.cost.threads = p.number("threads", 1, kdfThreadsMax)
		p.bytes("salt", f.salt[:])
		p.bytes("nonce", f.nonce[:])
		p.bytes("sealed", f.sealed[:])
	} else {
		p.bytes("seed", f.seed[:])
	}
	if p.err != nil {
		return nil, p.err
	}
	if !bytes.Equal(f.encode(), text) {
		return nil, errors.New("its checksum is wrong: it is damaged, so restore it from a backup")
	}
	return &f, nil
}

// keyParser takes lines off the front of rest until the first error.
type keyParser struct {
	rest string
	err  error
}

// value returns the value of the next line, which must have this name.
func (p *keyParser) value(name string) string {
	if p.err != nil {
		return ""
	}
	line, rest, _ := strings.Cut(p.rest, "\n")
	value, found := strings.CutPrefix(line, name+" ")
	if !found {
		p.err = fmt.Errorf("a line %q is missing", name)
		return ""
	}
	p.rest = rest
	return value
}

// bytes fills dst from the next line's hexadecimal digits.
func (p *keyParser) bytes(name string, dst []byte) {
	value := p.value(name)
	if p.err != nil {
		return
	}
	if len(value) != hex.EncodedLen(len(dst)) {
		p.err = fmt.Errorf("%s has %d digits, want %d", name, len(value), hex.EncodedLen(len(dst)))
		return
	}
	if _, err := hex.Decode(dst, []byte(value)); err != nil {
		p.err = fmt.Errorf("%s: %w", name, err)
	}
}

// number returns the next line's decimal number, at least low and at most high.
func (p *keyParser) number(name string, low, high uint32) uint32 {
	value := p.value(name)
	if p.err != nil {
		return 0
	}
	n, err := strconv.ParseUint(value, 10, 32)
	if err != nil || uint32(n) < low || uint32(n) > high {
		p.err = fmt.Errorf("%s %q is not a number from %d to %d", name, value, low, high)
		return 0
	}
	return uint32(n)
}
