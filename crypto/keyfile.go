package crypto

import (
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/chacha20poly1305"
)

// Why a key file is refused, for errors.Is. A missing file is fs.ErrNotExist,
// and one that is in the way fs.ErrExist.
var (
	// ErrKeyFile says that the file is no key file, or a damaged one.
	ErrKeyFile = errors.New("crypto: not an intact key file")
	// ErrKeyFileUnsafe says that others could read or replace the file: it has
	// the wrong mode, is a symbolic link, or is not a regular file.
	ErrKeyFileUnsafe = errors.New("crypto: unsafe key file")
	// ErrKeyPlain says that the file is not encrypted.
	ErrKeyPlain = errors.New("crypto: key file is not encrypted")
	// ErrKeyEncrypted says that the file needs a passphrase.
	ErrKeyEncrypted = errors.New("crypto: key file is encrypted")
	// ErrPassphrase says that the passphrase is not that of the file, or empty.
	ErrPassphrase = errors.New("crypto: wrong passphrase")
)

// kdfCost is what argon2id (RFC 9106) spends to turn a passphrase into a key.
type kdfCost struct {
	time      uint32 // passes
	memoryKiB uint32
	threads   uint32
}

// The bounds of kdfCost when a file is read, so that a file from elsewhere
// cannot exhaust the machine before its passphrase is even known to be wrong.
const (
	kdfTimeMax      = 16
	kdfMemoryKiBMax = 256 << 10
	kdfThreadsMax   = 16
)

// defaultKDFCost is what SaveKey spends: about a tenth of a second.
func defaultKDFCost() kdfCost { return kdfCost{time: 3, memoryKiB: 64 << 10, threads: 1} }

// SaveKey writes k to a new file at path, encrypted under the passphrase, which
// may not be empty. The file has mode 0600, appears whole and durable or not at
// all, and never replaces another: then the error is fs.ErrExist. A crash can
// leave an unfinished ".quorate-key-*" beside it, just as private, to delete.
//
// The file is text, one field a line, each a name, a space and a value, in
// this order and nothing else; byte strings are in lower-case hexadecimal:
//
//	quorate-key v1 encrypted
//	public <32 bytes>       the public key
//	time <decimal>          argon2id: passes,
//	memory <decimal>        KiB
//	threads <decimal>       and lanes
//	salt <16 bytes>
//	nonce <24 bytes>        XChaCha20-Poly1305
//	sealed <48 bytes>       the encrypted seed; all lines before are authenticated
//	checksum <32 bytes>     SHA-256 of all lines before
//
// The checksum tells damage, which a backup mends, from a wrong passphrase.
func SaveKey(path string, k PrivateKey, passphrase []byte) error {
	return saveKey(path, k, passphrase, defaultKDFCost())
}

func saveKey(path string, k PrivateKey, passphrase []byte, cost kdfCost) error {
	if err := k.savable(); err != nil {
		return err
	}
	if len(passphrase) == 0 {
		return fmt.Errorf("%w: it is empty; SavePlainKey writes a key without one", ErrPassphrase)
	}
	f := keyFile{encrypted: true, public: k.Public(), cost: cost}
	for _, b := range [][]byte{f.salt[:], f.nonce[:]} {
		if _, err := rand.Read(b); err != nil {
			return fmt.Errorf("crypto: read randomness for a key file: %w", err)
		}
	}
	aead, err := f.cipher(passphrase)
	if err != nil {
		return err
	}
	seed := k.Seed()
	copy(f.sealed[:], aead.Seal(nil, f.nonce[:], seed[:], f.authenticated()))
	return writeKeyFile(path, f.encode())
}

// LoadKey returns the key in a file that SaveKey wrote. The file must be
// regular, not a symbolic link, and closed to group and others. The error tells
// a wrong passphrase (ErrPassphrase) from a damaged file (ErrKeyFile), an unsafe
// one (ErrKeyFileUnsafe) and one that is not encrypted (ErrKeyPlain).
func LoadKey(path string, passphrase []byte) (PrivateKey, error) {
	f, err := loadKeyFile(path)
	if err != nil {
		return PrivateKey{}, err
	}
	if !f.encrypted {
		return PrivateKey{}, fmt.Errorf("%w: %s; LoadPlainKey reads it", ErrKeyPlain, path)
	}
	aead, err := f.cipher(passphrase)
	if err != nil {
		return PrivateKey{}, err
	}
	seed, err := aead.Open(nil, f.nonce[:], f.sealed[:], f.authenticated())
	if err != nil {
		return PrivateKey{}, fmt.Errorf("%w for %s", ErrPassphrase, path)
	}
	return f.key(path, seed)
}

// SavePlainKey is SaveKey without encryption: whoever reads the file has the
// key. The file has these lines:
//
//	quorate-key v1 plain
//	public <32 bytes>
//	seed <32 bytes>
//	checksum <32 bytes>     SHA-256 of all lines before
func SavePlainKey(path string, k PrivateKey) error {
	if err := k.savable(); err != nil {
		return err
	}
	f := keyFile{public: k.Public(), seed: k.Seed()}
	return writeKeyFile(path, f.encode())
}

// LoadPlainKey returns the key in a file that SavePlainKey wrote; see LoadKey.
// For an encrypted file the error is ErrKeyEncrypted.
func LoadPlainKey(path string) (PrivateKey, error) {
	f, err := loadKeyFile(path)
	if err != nil {
		return PrivateKey{}, err
	}
	if f.encrypted {
		return PrivateKey{}, fmt.Errorf("%w: %s; LoadKey reads it, with its passphrase", ErrKeyEncrypted, path)
	}
	return f.key(path, f.seed[:])
}

// CheckKeyFile returns the public key that a file names which SaveKey or SavePlainKey
// wrote, and whether it is encrypted, so that LoadKey reads it and LoadPlainKey does not. It
// checks, and refuses, all that both do, but for what takes the passphrase.
func CheckKeyFile(path string) (public PublicKey, encrypted bool, err error) {
	text, err := readKeyFile(path)
	if err != nil {
		return PublicKey{}, false, err
	}
	return CheckKeyText(path, text)
}

// CheckKeyText is CheckKeyFile of a text that was read from path, whoever else may read that
// file, or replace it.
func CheckKeyText(path string, text []byte) (public PublicKey, encrypted bool, err error) {
	f, err := parseKeyText(path, text)
	if err != nil {
		return PublicKey{}, false, err
	}
	if !f.encrypted {
		if _, err := f.key(path, f.seed[:]); err != nil {
			return PublicKey{}, false, err
		}
	}
	return f.public, f.encrypted, nil
}

func (k PrivateKey) savable() error {
	if k.secret == nil {
		return fmt.Errorf("%w: the zero PrivateKey is no key to save", ErrKeyLength)
	}
	return nil
}

func loadKeyFile(path string) (*keyFile, error) {
	text, err := readKeyFile(path)
	if err != nil {
		return nil, err
	}
	return parseKeyText(path, text)
}

func parseKeyText(path string, text []byte) (*keyFile, error) {
	f, err := parseKeyFile(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrKeyFile, path, err)
	}
	return f, nil
}

// cipher returns the cipher under the key that the passphrase gives.
func (f *keyFile) cipher(passphrase []byte) (cipher.AEAD, error) {
	c := f.cost
	key := argon2.IDKey(passphrase, f.salt[:], c.time, c.memoryKiB, uint8(c.threads), chacha20poly1305.KeySize)
	a, err := chacha20poly1305.NewX(key)
	if err != nil {
		return nil, fmt.Errorf("crypto: key file cipher: %w", err)
	}
	return a, nil
}

// key returns the key of the seed, if it is the one the file is said to hold.
func (f *keyFile) key(path string, seed []byte) (PrivateKey, error) {
	k, err := NewPrivateKey(seed)
	if err != nil {
		return PrivateKey{}, err
	}
	if k.Public() != f.public {
		return PrivateKey{}, fmt.Errorf("%w: %s names public key %s and holds the private key of %s",
			ErrKeyFile, path, f.public.Short(), k.Public().Short())
	}
	return k, nil
}
