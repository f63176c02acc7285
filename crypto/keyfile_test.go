package crypto

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// testCost makes a key file cheap to open, which only a test may want.
func testCost() kdfCost { return kdfCost{time: 1, memoryKiB: 8, threads: 1} }

// keyOpener saves and loads one of the two sorts of key file.
type keyOpener struct {
	name string
	save func(path string, k PrivateKey) error
	load func(path string) (PrivateKey, error)
}

func keyOpeners() []keyOpener {
	pass := []byte("correct horse")
	return []keyOpener{{
		"encrypted",
		func(path string, k PrivateKey) error { return saveKey(path, k, pass, testCost()) },
		func(path string) (PrivateKey, error) { return LoadKey(path, pass) },
	}, {"plain", SavePlainKey, LoadPlainKey}}
}

// saved returns the path of a new file with a key.
func (o keyOpener) saved(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if err := o.save(path, testKey(t, 1)); err != nil {
		t.Fatal(err)
	}
	return path
}

func readFile(tb testing.TB, path string) []byte {
	tb.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func writeFile(tb testing.TB, path string, b []byte) {
	tb.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		tb.Fatal(err)
	}
}

// requireRefused fails unless load gives an error of one of these sorts and no key.
func requireRefused(t *testing.T, what string, load func() (PrivateKey, error), want ...error) {
	t.Helper()
	k, err := load()
	if k.secret != nil {
		t.Errorf("%s: got a key", what)
	}
	for _, w := range want {
		if errors.Is(err, w) {
			return
		}
	}
	t.Errorf("%s: got %v, want %v", what, err, want)
}

func TestASavedKeyLoads(t *testing.T) {
	t.Parallel()
	for _, o := range keyOpeners() {
		t.Run(o.name, func(t *testing.T) {
			t.Parallel()
			path := o.saved(t)
			k, err := o.load(path)
			if err != nil || !k.Equal(testKey(t, 1)) {
				t.Errorf("got %v and %v, want the key", k, err)
			}
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if got := info.Mode(); got != 0o600 {
				t.Errorf("got mode %v, want 0600", got)
			}
			if info.Size() > keyFileBytesMax/2 {
				t.Errorf("the file has %d bytes, more than half of the bound", info.Size())
			}
			entries, err := os.ReadDir(filepath.Dir(path))
			if err != nil || len(entries) != 1 {
				t.Errorf("got %v and %v, want the key alone", entries, err)
			}
		})
	}
}

func TestAKeySavedAtTheDefaultCostLoads(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key")
	if err := SaveKey(path, testKey(t, 2), []byte("p")); err != nil {
		t.Fatal(err)
	}
	if k, err := LoadKey(path, []byte("p")); err != nil || !k.Equal(testKey(t, 2)) {
		t.Errorf("got %v and %v, want the key", k, err)
	}
}

func TestAnEncryptedFileDoesNotHoldTheSeed(t *testing.T) {
	t.Parallel()
	o := keyOpeners()[0]
	dir := t.TempDir()
	seed := testKey(t, 1).Seed()
	var texts [2][]byte
	for i := range texts {
		path := filepath.Join(dir, fmt.Sprint(i))
		if err := o.save(path, testKey(t, 1)); err != nil {
			t.Fatal(err)
		}
		texts[i] = readFile(t, path)
		if bytes.Contains(texts[i], fmt.Appendf(nil, "%x", seed[:8])) {
			t.Error("the seed is in the file")
		}
	}
	if bytes.Equal(texts[0], texts[1]) {
		t.Error("two files of one key are equal: salt or nonce repeat")
	}
}

func TestAWrongPassphraseIsToldFromDamage(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key")
	if err := saveKey(path, testKey(t, 1), []byte("right"), testCost()); err != nil {
		t.Fatal(err)
	}
	for _, pass := range []string{"", "wrong", "righ", "right ", "Right"} {
		requireRefused(t, pass, func() (PrivateKey, error) { return LoadKey(path, []byte(pass)) }, ErrPassphrase)
		if _, err := LoadKey(path, []byte(pass)); errors.Is(err, ErrKeyFile) {
			t.Errorf("%q: the file is called damaged: %v", pass, err)
		}
	}
}

func TestEachSortOfFileNamesTheOther(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := keyOpeners()
	sealed, plain := filepath.Join(dir, "sealed"), filepath.Join(dir, "plain")
	if err := errors.Join(o[0].save(sealed, testKey(t, 1)), o[1].save(plain, testKey(t, 1))); err != nil {
		t.Fatal(err)
	}
	requireRefused(t, "plain", func() (PrivateKey, error) { return o[0].load(plain) }, ErrKeyPlain)
	requireRefused(t, "encrypted", func() (PrivateKey, error) { return o[1].load(sealed) }, ErrKeyEncrypted)
}

func TestEveryFlippedBitIsNoticed(t *testing.T) {
	t.Parallel()
	for _, o := range keyOpeners() {
		t.Run(o.name, func(t *testing.T) {
			t.Parallel()
			path := o.saved(t)
			text := readFile(t, path)
			for i := range 8 * len(text) {
				text[i/8] ^= 1 << (i % 8)
				if _, err := parseKeyFile(text); err == nil {
					t.Errorf("bit %d: got no error", i)
				}
				if i%101 == 0 { // through the disk, at every place of a byte in turn
					writeFile(t, path, text)
					requireRefused(t, fmt.Sprint("bit ", i), func() (PrivateKey, error) { return o.load(path) }, ErrKeyFile)
				}
				text[i/8] ^= 1 << (i % 8)
			}
		})
	}
}

// Whoever alters a file can also mend its checksum; the cipher and the public
// key must notice then.
func TestEveryFlippedBitIsNoticedWithoutTheChecksum(t *testing.T) {
	t.Parallel()
	for _, o := range keyOpeners() {
		t.Run(o.name, func(t *testing.T) {
			t.Parallel()
			path := o.saved(t)
			text := readFile(t, path)
			body := text[:bytes.LastIndex(text, []byte("checksum "))]
			for i := range 8 * len(body) {
				body[i/8] ^= 1 << (i % 8)
				writeFile(t, path, fmt.Appendf(nil, "%schecksum %s\n", body, Sum(body)))
				requireRefused(t, fmt.Sprint("bit ", i), func() (PrivateKey, error) { return o.load(path) },
					ErrKeyFile, ErrPassphrase)
				body[i/8] ^= 1 << (i % 8)
			}
		})
	}
}

func TestEveryTruncationAndExtensionIsNoticed(t *testing.T) {
	t.Parallel()
	for _, o := range keyOpeners() {
		t.Run(o.name, func(t *testing.T) {
			t.Parallel()
			path := o.saved(t)
			text := readFile(t, path)
			load := func() (PrivateKey, error) { return o.load(path) }
			for n := range text {
				writeFile(t, path, text[:n])
				requireRefused(t, fmt.Sprintf("first %d bytes", n), load, ErrKeyFile)
				writeFile(t, path, text[n+1:])
				requireRefused(t, fmt.Sprintf("without the first %d bytes", n+1), load, ErrKeyFile)
			}
			for _, more := range []string{"\n", " ", "\x00", string(text), strings.Repeat("x", keyFileBytesMax)} {
				writeFile(t, path, append(bytes.Clone(text), more...))
				requireRefused(t, fmt.Sprintf("%d bytes more", len(more)), load, ErrKeyFile)
			}
		})
	}
}

func TestAHostileFileCannotAskForMuch(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key")
	for _, cost := range []kdfCost{
		{1 << 31, 8, 1},
		{kdfTimeMax + 1, 8, 1},
		{0, 8, 1},
		{1, 100 << 20, 1},
		{1, kdfMemoryKiBMax + 1, 1},
		{1, 0, 1},
		{1, 8, 255},
		{1, 8, kdfThreadsMax + 1},
		{1, 8, 256},
		{1, 8, 0},
	} {
		f := keyFile{encrypted: true, public: testKey(t, 1).Public(), cost: cost}
		writeFile(t, path, f.encode())
		requireRefused(t, fmt.Sprint(cost), func() (PrivateKey, error) { return LoadKey(path, []byte("p")) }, ErrKeyFile)
	}
	f := keyFile{encrypted: true, public: testKey(t, 1).Public(), cost: testCost()}
	forged := bytes.Replace(f.encode(), []byte("time 1\n"), []byte("time 99999999999999999999\n"), 1)
	forged = forged[:bytes.LastIndex(forged, []byte("checksum "))]
	writeFile(t, path, fmt.Appendf(nil, "%schecksum %s\n", forged, Sum(forged)))
	requireRefused(t, "overflow", func() (PrivateKey, error) { return LoadKey(path, []byte("p")) }, ErrKeyFile)
}

func TestAFileThatNamesAnotherPublicKeyIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key")
	f := keyFile{public: testKey(t, 2).Public(), seed: testKey(t, 1).Seed()}
	writeFile(t, path, f.encode())
	requireRefused(t, "plain", func() (PrivateKey, error) { return LoadPlainKey(path) }, ErrKeyFile)
}

// TestAKeyFileIsCheckedWithoutItsPassphrase holds the check to what a load refuses.
func TestAKeyFileIsCheckedWithoutItsPassphrase(t *testing.T) {
	t.Parallel()
	for _, o := range keyOpeners() {
		path := o.saved(t)
		k, encrypted, err := CheckKeyFile(path)
		if err != nil || k != testKey(t, 1).Public() || encrypted != (o.name == "encrypted") {
			t.Errorf("%s: got %v, encrypted %v, and %v, want the public key", o.name, k, encrypted, err)
		}
		text := readFile(t, path)
		for name, c := range map[string]struct {
			spoil func() error
			want  error
		}{
			"open to others": {func() error { return os.Chmod(path, 0o640) }, ErrKeyFileUnsafe},
			"cut short":      {func() error { return os.WriteFile(path, text[:len(text)-1], 0o600) }, ErrKeyFile},
			"not there":      {func() error { return os.Remove(path) }, fs.ErrNotExist},
			"a directory":    {func() error { return errors.Join(os.RemoveAll(path), os.Mkdir(path, 0o700)) }, ErrKeyFileUnsafe},
		} {
			if err := errors.Join(os.RemoveAll(path), os.WriteFile(path, text, 0o600), c.spoil()); err != nil {
				t.Fatal(err)
			}
			if _, _, err := CheckKeyFile(path); !errors.Is(err, c.want) {
				t.Errorf("%s, %s: got %v, want %v", o.name, name, err, c.want)
			}
		}
	}
	path := filepath.Join(t.TempDir(), "key")
	f := keyFile{public: testKey(t, 2).Public(), seed: testKey(t, 1).Seed()}
	writeFile(t, path, f.encode())
	if _, _, err := CheckKeyFile(path); !errors.Is(err, ErrKeyFile) {
		t.Errorf("the key of another: got %v, want ErrKeyFile", err)
	}
}

func TestKeyFilesHaveTheirGoldenBytes(t *testing.T) {
	t.Parallel()
	const plain = "quorate-key v1 plain\n" +
		"public fb56dff8a771f3f16a23af44900ceff010e2cc7d13054afc77b7214f904416a2\n" +
		"seed 6140c99dbead15a2061639d94331c5d320e17e49cc4e1f83014ac0130837d13a\n" +
		"checksum 1334128e01e47e9412c6dd4e5b7b55f4efdab4d0488b8daa1d07196a2b8bc4a8\n"
	const encrypted = "quorate-key v1 encrypted\n" +
		"public fb56dff8a771f3f16a23af44900ceff010e2cc7d13054afc77b7214f904416a2\n" +
		"time 2\n" +
		"memory 16\n" +
		"threads 1\n" +
		"salt 63479ad69a090b258277ec8fba6f9941\n" +
		"nonce 78377b525757b494427f89014f97d79928f3938d14eb51e2\n" +
		"sealed 7af033bf7b5f11d9cbb9dbd673365a82b6218ba645d4cf09b01d42de85106febaba46646b1379ec93cef10e4de6cec34\n" +
		"checksum 64dd76b554029be84face269829578415b9614ea73d594aece305d4fe1eb7208\n"
	path := filepath.Join(t.TempDir(), "key")
	writeFile(t, path, []byte(plain))
	if k, err := LoadPlainKey(path); err != nil || !k.Equal(testKey(t, 1)) {
		t.Errorf("plain: got %v and %v, want the key", k, err)
	}
	writeFile(t, path, []byte(encrypted))
	if k, err := LoadKey(path, []byte("correct horse")); err != nil || !k.Equal(testKey(t, 1)) {
		t.Errorf("encrypted: got %v and %v, want the key", k, err)
	}
}

func TestEveryRefusalSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key")
	for text, want := range map[string]string{
		"quorate-key v2 encrypted\n": "this version of quorate",
		"-----BEGIN PRIVATE KEY----": "does not begin with",
		"":                           "does not begin with",

		"quorate-key v1 plain\n" + strings.Repeat("x", keyFileBytesMax): "more than 1024 bytes",
	} {
		writeFile(t, path, []byte(text))
		_, err := LoadPlainKey(path)
		if !errors.Is(err, ErrKeyFile) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want it to say %q", text, err, want)
		}
	}
}

func TestOnlyAPrivateRegularFileIsRead(t *testing.T) {
	t.Parallel()
	for _, o := range keyOpeners() {
		t.Run(o.name, func(t *testing.T) {
			t.Parallel()
			path := o.saved(t)
			for _, mode := range []fs.FileMode{0o640, 0o620, 0o610, 0o604, 0o602, 0o601, 0o644, 0o666, 0o777} {
				if err := os.Chmod(path, mode); err != nil {
					t.Fatal(err)
				}
				requireRefused(t, mode.String(), func() (PrivateKey, error) { return o.load(path) }, ErrKeyFileUnsafe)
			}
			for _, mode := range []fs.FileMode{0o600, 0o700, 0o400} {
				if err := os.Chmod(path, mode); err != nil {
					t.Fatal(err)
				}
				if _, err := o.load(path); err != nil {
					t.Errorf("mode %v: %v", mode, err)
				}
			}
			link := filepath.Join(t.TempDir(), "link")
			if err := os.Symlink(path, link); err != nil {
				t.Fatal(err)
			}
			requireRefused(t, "symbolic link", func() (PrivateKey, error) { return o.load(link) }, ErrKeyFileUnsafe)
			dir := filepath.Dir(path)
			requireRefused(t, "directory", func() (PrivateKey, error) { return o.load(dir) }, ErrKeyFileUnsafe)
			requireRefused(t, "device", func() (PrivateKey, error) { return o.load(os.DevNull) }, ErrKeyFileUnsafe)
			requireRefused(t, "nothing", func() (PrivateKey, error) { return o.load(path + "x") }, fs.ErrNotExist)
		})
	}
}

func TestSavingNeverReplacesAFile(t *testing.T) {
	t.Parallel()
	for _, o := range keyOpeners() {
		t.Run(o.name, func(t *testing.T) {
			t.Parallel()
			path := o.saved(t)
			before := readFile(t, path)
			dangling := filepath.Join(filepath.Dir(path), "dangling")
			if err := os.Symlink("nowhere", dangling); err != nil {
				t.Fatal(err)
			}
			for _, taken := range []string{path, dangling, t.TempDir()} {
				if err := o.save(taken, testKey(t, 2)); !errors.Is(err, fs.ErrExist) {
					t.Errorf("%s: got %v, want %v", taken, err, fs.ErrExist)
				}
			}
			if diff := cmp.Diff(string(before), string(readFile(t, path))); diff != "" {
				t.Errorf("the file changed:\n%s", diff)
			}
			left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".quorate-key-*"))
			if err != nil || len(left) != 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

func TestSavingSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key")
	if err := SaveKey(path, testKey(t, 1), nil); !errors.Is(err, ErrPassphrase) {
		t.Errorf("no passphrase: got %v, want %v", err, ErrPassphrase)
	}
	for _, o := range keyOpeners() {
		if err := o.save(path, PrivateKey{}); !errors.Is(err, ErrKeyLength) {
			t.Errorf("%s: no key: got %v, want %v", o.name, err, ErrKeyLength)
		}
		if err := o.save(filepath.Join(path, "key"), testKey(t, 1)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: no directory: got %v, want %v", o.name, err, fs.ErrNotExist)
		}
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file was made all the same: %v", err)
	}
}

func FuzzParseKeyFile(f *testing.F) {
	k := testKey(f, 1)
	for _, file := range []keyFile{
		{public: k.Public(), seed: k.Seed()},
		{encrypted: true, public: k.Public(), cost: testCost()},
		{encrypted: true, public: k.Public(), cost: defaultKDFCost()},
	} {
		text := file.encode()
		f.Add(text[:bytes.LastIndex(text, []byte("checksum "))])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		text := fmt.Appendf(nil, "%schecksum %s\n", body, Sum(body))
		file, err := parseKeyFile(text)
		if err == nil && !bytes.Equal(file.encode(), text) {
			t.Errorf("%q is read, and written as %q", text, file.encode())
		}
	})
}
