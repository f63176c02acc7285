package pbft

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/wire"
)

// genesisKeys are the public keys of ed25519 seeds of 32 equal bytes, 1 to 5.
func genesisKeys() []string {
	return []string{
		"8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c",
		"8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394",
		"ed4928c628d1c2c6eae90338905995612959273a5c63f93636c14614ac8737d1",
		"ca93ac1705187071d67b83c7ff0efe8108e8ec4530575d7726879333dbdabe7c",
		"6e7a1cdd29b0b78fd13af4c5598feff4ef2a97166e3ca6f2e4fbfccd80505bf1",
	}
}

func genesisOf(n int) *Genesis {
	g := &Genesis{Name: "demo", Limits: DefaultGenesisLimits()}
	for i := range n {
		key, err := crypto.ParsePublicKeyHex(genesisKeys()[i%5])
		if err != nil {
			key = crypto.PublicKey{}
		}
		g.Members = append(g.Members, GenesisReplica{
			ID: wire.ReplicaID(i), Key: key, Addrs: []string{fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", 4001+i)},
		})
	}
	return g
}

// genesisFile is a genesis as a person writes it.
func genesisFile() string {
	var b strings.Builder
	b.WriteString("name = \"demo\"\nepoch = 0\n")
	for i, key := range genesisKeys()[:4] {
		fmt.Fprintf(&b, "[[replica]]\nid = %d\nkey = \"%s\"\naddrs = [\"/ip4/127.0.0.1/tcp/%d\"]\n", i, key, 4001+i)
	}
	return b.String()
}

func TestGenesisIsReadWithDefaults(t *testing.T) {
	g, err := ParseGenesis([]byte(genesisFile()))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(g, genesisOf(4)); diff != "" {
		t.Errorf("genesis (-got +want):\n%s", diff)
	}
	if q, err := g.Quorum(); err != nil || q.Faults() != 1 || q.Strong() != 3 || g.Replicas() != 4 {
		t.Errorf("quorum = %+v of %d", q, g.Replicas())
	}
	for i, key := range g.Keys() {
		if id, ok := g.Find(key); !ok || int(id) != i {
			t.Errorf("replica %d is found as %d, %v", i, id, ok)
		}
	}
	if id, ok := g.Find(crypto.PublicKey{1}); ok {
		t.Errorf("a stranger's key is replica %d's", id)
	}
}

func TestReplicasMayBeInAnyOrderInTheFile(t *testing.T) {
	blocks := strings.SplitAfter(genesisFile(), "[[replica]]\n")
	head := strings.TrimSuffix(blocks[0], "[[replica]]\n")
	var file strings.Builder
	file.WriteString(head)
	for _, i := range []int{3, 1, 4, 2} {
		file.WriteString("[[replica]]\n" + strings.TrimSuffix(blocks[i], "[[replica]]\n"))
	}
	g, err := ParseGenesis([]byte(file.String()))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(g, genesisOf(4)); diff != "" {
		t.Errorf("genesis (-got +want):\n%s", diff)
	}
}

func TestGenesisTellsWhatIsWrong(t *testing.T) {
	file := genesisFile()
	with := func(old, replacement string) string { return strings.Replace(file, old, replacement, 1) }
	limits := func(l string) string { return with("epoch = 0\n", "epoch = 0\n[limits]\n"+l+"\n") }
	keys := genesisKeys()
	for name, c := range map[string]struct{ file, says string }{
		"unknown key":      {with("epoch = 0", "epoch = 0\ncolour = 1"), `line 3: unknown key "colour"`},
		"unknown limit":    {limits("speed = 1"), `line 4: unknown key "limits.speed"`},
		"syntax":           {with("epoch = 0", "epoch ="), "line 2"},
		"wrong type":       {with("epoch = 0", `epoch = "x"`), "line 2"},
		"negative epoch":   {with("epoch = 0", "epoch = -1"), "line 2"},
		"huge epoch":       {with("epoch = 0", "epoch = 9000000000000000000"), "epoch is 9000000000000000000"},
		"no name":          {with(`name = "demo"`, ""), `name is ""`},
		"bad name":         {with("demo", "Demo!"), `name is "Demo!"`},
		"long name":        {with("demo", strings.Repeat("x", 65)), "name is"},
		"no replicas":      {`name = "demo"`, "there are 0 replicas, want at least 4"},
		"three replicas":   {file[:strings.Index(file, "[[replica]]\nid = 3")], "there are 3 replicas, want at least 4"},
		"other purpose":    {with("epoch = 0", `purpose = "fun"`), `purpose is "fun", want "test", or none`},
		"too many faults":  {with("epoch = 0", "faults = 2"), "faults is 2, but 4 replicas tolerate at most 1"},
		"no faults":        {with("epoch = 0", "faults = 0"), "faults is 0, want at least 1"},
		"overflow":         {with("epoch = 0", "faults = 6148914691236517205"), "faults is 6148914691236517205"},
		"duplicate id":     {with("id = 2", "id = 1"), "2 replicas have id 1"},
		"missing id":       {with("id = 2\n", ""), "replica number 3 of the file has no id"},
		"negative id":      {with("id = 2", "id = -2"), "replica number 3 of the file has id -2"},
		"high id":          {with("id = 2", "id = 4"), "replica 4: there are 4 replicas, so ids are 0 to 3"},
		"gap":              {with("id = 2", "id = 4"), "no replica has id 2"},
		"duplicate key":    {with(keys[2], keys[1]), "replicas 1 and 2 have the same key 8139770e"},
		"short key":        {with(keys[2], keys[2][:62]), "replica 2: key"},
		"not a key":        {with(keys[2], strings.Repeat("zz", 32)), "replica 2: key"},
		"weak key":         {with(keys[2], strings.Repeat("00", 32)), "small order"},
		"no key":           {with(`key = "`+keys[2]+`"`, ""), "replica 2: key"},
		"duplicate addr":   {with("tcp/4003", "tcp/4002"), "replicas 1 and 2 have the same address /ip4/127.0.0.1/tcp/4002"},
		"bad addr":         {with("/ip4/127.0.0.1/tcp/4003", "127.0.0.1:4003"), `replica 2: address "127.0.0.1:4003" is no`},
		"udp":              {with("tcp/4003", "udp/4003"), "is not one host and one tcp port"},
		"more than a port": {with("tcp/4003", "tcp/4003/ws"), "is not one host and one tcp port"},
		"port 0":           {with("tcp/4003", "tcp/0"), "has port 0"},
		"anywhere":         {with("/ip4/127.0.0.1/tcp/4003", "/ip4/0.0.0.0/tcp/4003"), "nobody can connect to"},
		"unix":             {with("/ip4/127.0.0.1/tcp/4003", "/dns/a b/tcp/4003"), "has a host that is no name"},
		"no addrs":         {with(`addrs = ["/ip4/127.0.0.1/tcp/4003"]`, ""), "replica 2 has no addrs"},
		"small window":     {limits("window = 255"), "window is 255, want at least twice checkpoint_interval, which is 128"},
		"no interval":      {limits("checkpoint_interval = 0"), "checkpoint_interval is 0"},
		"huge window":      {limits("window = 9000000000000000000"), "window is 9000000000000000000"},
		"much memory":      {limits("window = 4096"), "4096 full batches takes"},
		"no batch":         {limits("batch_requests = 0"), "batch_requests is 0"},
		"large operations": {limits("op_bytes = 10000000"), "op_bytes is 10000000, want 1 to 1048576"},
		"large results":    {limits("result_bytes = 262145"), "result_bytes is 262145, want 1 to 262144"},
		"negative result":  {limits("result_bytes = -1"), "result_bytes is -1"},
		"no clients":       {limits("clients = 0"), "clients is 0"},
		"too large":        {strings.Repeat("#", genesisBytesMax+1), "bytes, want at most 1048576"},
	} {
		_, err := ParseGenesis([]byte(c.file))
		if !errors.Is(err, ErrGenesis) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v\nwant an error that says %q", name, err, c.says)
		}
	}
}

func TestGenesisTellsAllProblemsAtOnce(t *testing.T) {
	file := strings.NewReplacer(
		"demo", "Demo", "id = 2", "id = 1", genesisKeys()[3], "00", "tcp/4002", "tcp/4001",
		"epoch = 0", "epoch = 0\nhue = 1\n[limits]\nclients = -1",
	).Replace(genesisFile())
	_, err := ParseGenesis([]byte(file))
	if err == nil {
		t.Fatal("no error")
	}
	want := []string{
		`unknown key "hue"`, `name is "Demo"`, "clients is -1", "2 replicas have id 1", "no replica has id 2",
		`replica 3: key "00"`, "the same address",
	}
	for _, says := range want {
		if !strings.Contains(err.Error(), says) {
			t.Errorf("%v\ndoes not say %q", err, says)
		}
	}
	if got := strings.Count(err.Error(), "\n") + 1; got != len(want) {
		t.Errorf("%d problems, want %d:\n%v", got, len(want), err)
	}
}

func TestValidateChecksAGenesisThatNoFileHeld(t *testing.T) {
	for name, change := range map[string]func(*Genesis){
		"no keys":    func(g *Genesis) { g.Members[2].Key = crypto.PublicKey{} },
		"weak key":   func(g *Genesis) { g.Members[2].Key = crypto.PublicKey{1} },
		"not a key":  func(g *Genesis) { g.Members[2].Key = crypto.PublicKey{2} },
		"disorder":   func(g *Genesis) { slices.Reverse(g.Members) },
		"no id":      func(g *Genesis) { g.Members[3].ID = noID },
		"no limits":  func(g *Genesis) { g.Limits = GenesisLimits{} },
		"negative f": func(g *Genesis) { g.Faults = -1 },
		"crowd":      func(g *Genesis) { g.Members = slices.Repeat(g.Members, 100) },
		"empty":      func(g *Genesis) { *g = Genesis{} },
	} {
		g := genesisOf(4)
		if err := g.Validate(); err != nil {
			t.Fatal(err)
		}
		change(g)
		if err := g.Validate(); !errors.Is(err, ErrGenesis) {
			t.Errorf("%s: %v, want %v", name, err, ErrGenesis)
		}
	}
}

func TestEncodedGenesisReadsAsItself(t *testing.T) {
	plain, other := genesisOf(4), genesisOf(5)
	other.Faults, other.Epoch, other.Name, other.Purpose = 1, 77, "x-9", PurposeTest
	other.Limits = GenesisLimits{
		CheckpointInterval: 10, Window: 30, BatchRequests: 5, BatchBytes: 2048, OpBytes: 9, ResultBytes: 8, Clients: 7,
	}
	other.Members[1].Addrs = []string{"/dns4/r1.example.org/tcp/1", "/ip6/::1/tcp/65535"}
	for _, want := range []*Genesis{plain, other} {
		file := want.Encode()
		got, err := ParseGenesis(file)
		if err != nil {
			t.Fatalf("%v\n%s", err, file)
		}
		if diff := cmp.Diff(got, want); diff != "" {
			t.Errorf("genesis (-got +want):\n%s", diff)
		}
		path := filepath.Join(t.TempDir(), GenesisFile)
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		loaded, err := LoadGenesis(path)
		if err != nil || loaded.Hash() != want.Hash() {
			t.Errorf("loaded %v, %v, want hash %v", loaded, err, want.Hash())
		}
	}
	if _, err := LoadGenesis(filepath.Join(t.TempDir(), "none")); !errors.Is(err, ErrGenesis) {
		t.Errorf("load of nothing = %v", err)
	}
}

// TestHashCoversAllButTheAddresses changes one thing at a time.
func TestHashCoversAllButTheAddresses(t *testing.T) {
	seen := map[crypto.Digest]string{genesisOf(4).Hash(): "nothing"}
	for name, change := range map[string]func(*Genesis){
		"name":       func(g *Genesis) { g.Name = "demo2" },
		"epoch":      func(g *Genesis) { g.Epoch = 1 },
		"interval":   func(g *Genesis) { g.Limits.CheckpointInterval-- },
		"window":     func(g *Genesis) { g.Limits.Window++ },
		"requests":   func(g *Genesis) { g.Limits.BatchRequests++ },
		"batch":      func(g *Genesis) { g.Limits.BatchBytes++ },
		"operations": func(g *Genesis) { g.Limits.OpBytes++ },
		"results":    func(g *Genesis) { g.Limits.ResultBytes-- },
		"clients":    func(g *Genesis) { g.Limits.Clients++ },
		"key":        func(g *Genesis) { g.Members[0].Key = genesisOf(5).Members[4].Key },
		"order":      func(g *Genesis) { g.Members[0].Key, g.Members[1].Key = g.Members[1].Key, g.Members[0].Key },
		"replica":    func(g *Genesis) { *g = *genesisOf(5) },
		"purpose":    func(g *Genesis) { g.Purpose = PurposeTest },
		"faults":     func(g *Genesis) { *g = *genesisOf(7); g.Faults = 1 },
		"no faults":  func(g *Genesis) { *g = *genesisOf(7) },
	} {
		g := genesisOf(4)
		change(g)
		if other, taken := seen[g.Hash()]; taken {
			t.Errorf("changing the %s gives the hash of changing the %s", name, other)
		}
		seen[g.Hash()] = name
	}
	moved := genesisOf(4)
	moved.Members[0].Addrs = []string{"/dns/elsewhere/tcp/9"}
	moved.Faults = 1 // what it is anyway
	if moved.Hash() != genesisOf(4).Hash() {
		t.Error("the hash covers addresses")
	}
	if got := moved.Domain(); got != (crypto.Domain{Cluster: moved.Hash(), Epoch: 0}) {
		t.Errorf("domain = %v", got)
	}
}

// TestGenesisHashIsFixed holds the layout: another hash is another cluster.
func TestGenesisHashIsFixed(t *testing.T) {
	const want = "13bc724e3c91ec1dcf6a16c46f061168616e268da08666a7aa033eaaa54b18fd"
	if got := genesisOf(4).Hash().String(); got != want {
		t.Errorf("hash = %s, want %s", got, want)
	}
}

func TestConfigurationsFollowFromTheGenesis(t *testing.T) {
	g := genesisOf(4)
	g.Limits.Window, g.Limits.BatchBytes, g.Limits.Clients = 300, 2<<20, 5
	seeds := map[uint64]bool{}
	for i := range 4 {
		c, err := g.CoreConfig(wire.ReplicaID(i))
		if err != nil {
			t.Fatal(err)
		}
		seeds[c.Seed] = true
		if c.Window != 300 || c.Interval != 128 || c.BatchBytesMax != 2<<20 || c.ClientsMax != 5 || int(c.ID) != i {
			t.Errorf("config = %+v", c)
		}
	}
	if len(seeds) != 4 {
		t.Errorf("%d seeds of 4 replicas differ", len(seeds))
	}
	if _, err := g.CoreConfig(4); !errors.Is(err, ErrGenesis) {
		t.Errorf("config of a fifth replica: %v", err)
	}
	want := wire.DefaultLimits(4)
	want.BatchRequestsMax, want.BatchBytesMax, want.Window = 512, 2<<20, 300
	if diff := cmp.Diff(g.WireLimits(), want); diff != "" {
		t.Errorf("limits (-got +want):\n%s", diff)
	}
}

func FuzzGenesis(f *testing.F) {
	f.Add([]byte(genesisFile()))
	f.Add(genesisOf(4).Encode())
	f.Add([]byte("faults = 3\n[[replica]]\nid = 1\naddrs = [\"/ip6/::1/tcp/1\"]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		g, err := ParseGenesis(data)
		if err != nil {
			if !errors.Is(err, ErrGenesis) {
				t.Errorf("%v is no %v", err, ErrGenesis)
			}
			return
		}
		file := g.Encode()
		again, err := ParseGenesis(file)
		if err != nil {
			t.Fatalf("%v\n%s", err, file)
		}
		if diff := cmp.Diff(again, g, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("genesis (-got +want):\n%s", diff)
		}
		if !bytes.Equal(again.Encode(), file) {
			t.Errorf("encoded again:\n%s", again.Encode())
		}
	})
}
