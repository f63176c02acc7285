package crypto_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/quorate/quorate/crypto"
)

// A signature is bound to the cluster, the epoch and the kind of message.
func ExampleBatchVerifier() {
	key, err := crypto.GenerateKey(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	home := crypto.Domain{Cluster: crypto.Sum([]byte("genesis")), Epoch: 1}
	away := crypto.Domain{Cluster: crypto.Sum([]byte("another genesis")), Epoch: 1}
	body := []byte("view 3, number 41")
	signature := key.Sign(home.Message(3, body))

	verifier := crypto.NewVerifier(1000) // keys to remember
	checks := []crypto.Check{
		{Key: key.Public(), Message: home.Message(3, body), Signature: signature},
		{Key: key.Public(), Message: away.Message(3, body), Signature: signature},
		{Key: key.Public(), Message: home.Message(4, body), Signature: signature},
	}
	ok := make([]bool, len(checks))
	fmt.Println(verifier.Verify(checks, ok), ok)
	// Output: false [true false false]
}

func ExampleSaveKey() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "replica.key")
	seed := sha256.Sum256([]byte("use GenerateKey instead"))
	key, err := crypto.NewPrivateKey(seed[:])
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("save:", crypto.SaveKey(path, key, []byte("correct horse")))
	loaded, err := crypto.LoadKey(path, []byte("correct horse"))
	fmt.Println("load:", loaded, err)
	_, err = crypto.LoadKey(path, []byte("battery staple"))
	fmt.Println("wrong passphrase:", errors.Is(err, crypto.ErrPassphrase))
	_, err = crypto.LoadPlainKey(path)
	fmt.Println("encrypted:", errors.Is(err, crypto.ErrKeyEncrypted))
	// Output:
	// save: <nil>
	// load: private key of 4cf68a04 <nil>
	// wrong passphrase: true
	// encrypted: true
}

func ExampleParsePublicKeyHex() {
	weak := "01" + strings.Repeat("00", 31) // the neutral element
	_, err := crypto.ParsePublicKeyHex(weak)
	fmt.Println(errors.Is(err, crypto.ErrKeyWeak))
	_, err = crypto.ParsePublicKeyHex(weak[2:])
	fmt.Println(err)
	// Output:
	// true
	// crypto: key has the wrong length: 62 hexadecimal digits, want 64
}

// One signed root proves each reply to its client.
func ExampleMerkleTree() {
	replies := []crypto.Digest{
		crypto.Sum([]byte("to a")), crypto.Sum([]byte("to b")), crypto.Sum([]byte("to c")),
	}
	tree := crypto.NewMerkleTree(replies)
	for i, reply := range replies {
		path := tree.Path(i)
		fmt.Println(len(path), crypto.MerkleVerify(tree.Root(), reply, i, len(replies), path))
	}
	forged := crypto.Sum([]byte("to c, forged"))
	fmt.Println(crypto.MerkleVerify(tree.Root(), forged, 2, len(replies), tree.Path(2)))
	// Output:
	// 2 true
	// 2 true
	// 1 true
	// false
}
