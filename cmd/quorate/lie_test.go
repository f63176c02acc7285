package main

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft"
	"github.com/quorate/quorate/pbft/forensics"
	"github.com/quorate/quorate/pbft/wire"
)

// lie fills the archive of a replica of a cluster with plain keys as if others had
// lied to it: lie CLUSTER REPLICA honest|double|broken. In "double" replica 1 has
// signed two commits for number 7, and in "broken" replicas 0 and 1 have made two
// certificates for it.
func lie(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: lie cluster replica honest|double|broken")
	}
	dir, replica := ts.MkAbs(args[0]), args[1]
	genesis, err := pbft.LoadGenesis(filepath.Join(dir, pbft.GenesisFile))
	ts.Check(err)
	id, err := strconv.ParseUint(replica, 10, 8)
	ts.Check(err)
	a, err := forensics.OpenArchive(pbft.Config{Dir: filepath.Join(dir, "r"+replica)}.ArchivePath(),
		forensics.Identity{Domain: genesis.Domain(), Replica: wire.ReplicaID(id)}, forensics.Options{})
	ts.Check(err)
	commit := func(id wire.ReplicaID, batch string) *wire.Commit {
		key, err := crypto.LoadPlainKey(filepath.Join(dir, "r"+strconv.Itoa(int(id)), pbft.KeyFile))
		ts.Check(err)
		v := wire.Vote{View: 2, Seq: 7, Digest: crypto.Sum([]byte(batch)), Sender: id}
		m, _ := wire.Seal(key, genesis.Domain(), &wire.Commit{Vote: v}).Message().(*wire.Commit)
		return m
	}
	cert := func(batch string, ids ...wire.ReplicaID) *wire.CommitProof {
		c := wire.CommitCert{View: 2, Seq: 7, Digest: crypto.Sum([]byte(batch))}
		for _, id := range ids {
			c.Commits = append(c.Commits, wire.Signed{Sender: id, Signature: commit(id, batch).Signature})
		}
		return &wire.CommitProof{Cert: c}
	}
	err = a.Add(cert("a", 0, 1, 2))
	switch args[2] {
	case "double":
		e, wrong := wire.NewEvidence(wire.EvidenceCommits, 1, commit(1, "a"), commit(1, "b"))
		err = errors.Join(err, wrong, a.Keep(e))
	case "broken":
		err = errors.Join(err, a.Keep(cert("b", 0, 1, 3)))
	}
	ts.Check(errors.Join(err, a.Close()))
}

// forge spoils the last signature in an evidence file, and makes up for it in the
// checksum: forge FILE.
func forge(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: forge file")
	}
	path := ts.MkAbs(args[0])
	data, err := os.ReadFile(path)
	ts.Check(err)
	body := data[:len(data)-crypto.DigestSize]
	body[len(body)-1] ^= 1
	sum := crypto.Sum(body)
	ts.Check(os.WriteFile(path, append(body, sum[:]...), 0o600))
}
