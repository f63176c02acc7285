package cluster

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft"
)

// TestReplicasThatMayNotStartSayWhy starts replicas in ways that would make them
// faulty. Each case gets a cluster's files, of which nothing runs but what it
// starts.
func TestReplicasThatMayNotStartSayWhy(t *testing.T) {
	ctx := bounded(t)
	c := startCluster(ctx, t, Options{})
	other := startCluster(ctx, t, Options{Name: "other"})
	must(t, c.Kill(1), c.Kill(2))
	for name, test := range map[string]struct {
		prepare func(t *testing.T, dir string) []string // returns further arguments
		code    int
		says    []string
	}{
		"the directory is in use": {func(*testing.T, string) []string {
			return []string{"--dir", c.Dir(0)}
		}, 1, []string{"in use"}},
		"the data is another replica's": {func(t *testing.T, dir string) []string {
			t.Helper()
			must(t, os.CopyFS(filepath.Join(dir, pbft.DataDir), os.DirFS(filepath.Join(c.Dir(1), pbft.DataDir))))
			return nil
		}, 1, []string{"replica 1"}},
		"the key is not in the genesis": {func(t *testing.T, dir string) []string {
			t.Helper()
			key, err := crypto.GenerateKey(nil)
			must(t, err, os.Remove(filepath.Join(dir, pbft.KeyFile)))
			must(t, crypto.SavePlainKey(filepath.Join(dir, pbft.KeyFile), key))
			return nil
		}, 2, []string{pbft.ErrNotMember.Error(), "genesis"}},
		"the genesis is another cluster's": {func(*testing.T, string) []string {
			return []string{"--genesis", other.GenesisPath()}
		}, 2, []string{pbft.ErrNotMember.Error()}},
		"the data is another cluster's": {func(t *testing.T, dir string) []string {
			t.Helper()
			return []string{"--genesis", renamed(t, c.GenesisPath(), dir)}
		}, 1, []string{c.Genesis().Hash().Short()}},
		"there is no genesis": {func(_ *testing.T, dir string) []string {
			return []string{"--genesis", filepath.Join(dir, "none.toml")}
		}, 2, []string{"none.toml"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := replicaFiles(t, c, 2, name != "the data is another replica's")
			args := append([]string{"node", "--dir", dir}, test.prepare(t, dir)...)
			code, text, err := Run(ctx, binary, args...)
			must(t, err)
			if code != test.code {
				t.Errorf("exit code %d, want %d", code, test.code)
			}
			for _, want := range test.says {
				if !strings.Contains(text, want) {
					t.Errorf("it does not say %q", want)
				}
			}
			t.Logf("it says: %s", text)
		})
	}
}

// replicaFiles copies the directory of replica i, with its data or without.
func replicaFiles(t *testing.T, c *Cluster, i int, data bool) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{pbft.ConfigFile, pbft.KeyFile} {
		text, err := os.ReadFile(filepath.Join(c.Dir(i), name))
		must(t, err, os.WriteFile(filepath.Join(dir, name), text, 0o600))
	}
	genesis, err := os.ReadFile(c.GenesisPath())
	must(t, err, os.WriteFile(filepath.Join(dir, "..", pbft.GenesisFile), genesis, 0o600))
	if data {
		must(t, os.CopyFS(filepath.Join(dir, pbft.DataDir), os.DirFS(filepath.Join(c.Dir(i), pbft.DataDir))))
	}
	return dir
}

// renamed writes the genesis at path under another name of the cluster into dir.
func renamed(t *testing.T, path, dir string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	changed := bytes.Replace(text, []byte(`name = "test"`), []byte(`name = "tset"`), 1)
	if bytes.Equal(changed, text) {
		t.Fatal("the genesis has no name to change")
	}
	to := filepath.Join(dir, "renamed.toml")
	must(t, os.WriteFile(to, changed, 0o600))
	return to
}

func TestReplicaOfAnotherGenesisNamesBothHashes(t *testing.T) {
	ctx := bounded(t)
	c := startCluster(ctx, t, Options{})
	const odd = 3
	must(t, c.Kill(odd), c.Wipe(odd), pbft.InitData(c.Dir(odd)))
	genesis := renamed(t, c.GenesisPath(), t.TempDir())
	theirs, err := pbft.LoadGenesis(genesis)
	must(t, err, c.Restart(odd, "--genesis", genesis))
	both := func(text string) bool {
		return strings.Contains(text, c.Genesis().Hash().Short()) && strings.Contains(text, theirs.Hash().Short())
	}
	awaitLog(ctx, t, c, odd, both)
	awaitLog(ctx, t, c, 0, both)
}

// awaitLog waits for what a replica prints.
func awaitLog(ctx context.Context, t *testing.T, c *Cluster, i int, says func(string) bool) {
	t.Helper()
	must(t, c.Await(ctx, "a line in the log of "+replicaName(i), func([]pbft.ReplicaStatus) bool { return says(c.Logs(i)) }))
	for _, line := range regexp.MustCompile("(?m)^.*genesis.*$").FindAllString(c.Logs(i), 2) {
		t.Logf("r%d: %s", i, line)
	}
}
