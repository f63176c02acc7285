package pbft

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quorate/quorate/crypto"
)

func TestLoadConfigResolvesPathsAgainstItsFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, ConfigFile)
	text := `
genesis = "../genesis.toml"
key = "/etc/keys/r0"
plain_key = true
listen = ["/ip4/127.0.0.1/tcp/7000"]
request_timeout = "250ms"
app = "kv"
log_level = "warn"
clients_max = 1000
clients_per_address_max = 500
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := LoadConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		Dir: dir, Genesis: filepath.Join(filepath.Dir(dir), "genesis.toml"), Key: "/etc/keys/r0", PlainKey: true,
		Listen: []string{"/ip4/127.0.0.1/tcp/7000"}, RequestTimeout: 250 * time.Millisecond, App: "kv", LogLevel: "warn",
		ClientsMax: 1000, ClientsPerAddressMax: 500,
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("config (-got +want):\n%s", diff)
	}
	if got, want := got.TickInterval(), 2500*time.Microsecond; got != want {
		t.Errorf("tick = %v, want %v", got, want)
	}
}

func TestConfigWithOnlyADirectoryWorks(t *testing.T) {
	c := Config{Dir: "/var/lib/x"}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	got := []string{c.GenesisPath(), c.KeyPath(), c.DataPath(), c.TickInterval().String()}
	want := []string{"/var/lib/x/genesis.toml", "/var/lib/x/key", "/var/lib/x/data", "10ms"}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("defaults (-got +want):\n%s", diff)
	}
}

func TestParseConfigReportsAllProblemsAtOnce(t *testing.T) {
	c, err := ParseConfig([]byte(`genesis = "g"
colour = "red"
listen = ["nonsense", "/ip4/127.0.0.1/tcp/7000", "/ip4/x", "/ip4/127.0.0.1/udp/7000", "/ip4/127.0.0.1", ":7000",
  "a:http", "a:99999", "localhost:7000"]
request_timeout = "1ms"
log_level = "loud"
[extra]
deep = 1
`), "/d")
	if !errors.Is(err, ErrConfig) {
		t.Fatalf("error = %v, want ErrConfig", err)
	}
	for _, want := range []string{
		`line 2: unknown key "colour"`, `unknown key "extra`, "listen[0]", "listen[2]", "listen[3]",
		"listen[4]", "listen[5]", "listen[6]", "listen[7]", "request_timeout is 1ms", `"loud"`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "listen[1]") || strings.Contains(err.Error(), "listen[8]") {
		t.Errorf("error blames a good address:\n%v", err)
	}
	if c.Dir != "/d" || c.Genesis != "/d/g" || c.LogLevel != "loud" {
		t.Errorf("got %+v, want what it says, to look for more", c)
	}
}

func TestParseConfigRefusesBadText(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"syntax":    {"genesis = \"a\"\nkey = [", "line 2"},
		"type":      {"plain_key = \"yes\"", "line 1"},
		"duration":  {"request_timeout = \"soon\"", `"soon" is no duration`},
		"duplicate": {"app = \"kv\"\napp = \"bank\"", "line 2"},
		"utf8":      {"app = \"\xff\"", "line 1"},
		"too slow":  {"request_timeout = \"1h\"", "request_timeout is 1h0m0s"},
		"clients":   {"clients_max = 100000", "clients_max is 100000"},
		"address":   {"clients_per_address_max = -1", "clients_per_address_max is -1"},
		"negative":  {"request_timeout = \"-1s\"", "request_timeout is -1s"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseConfig([]byte(c.text), "/d")
			if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error = %v, want ErrConfig with %q", err, c.want)
			}
		})
	}
}

func TestLoadConfigRefusesWhatIsNoSmallFile(t *testing.T) {
	dir := t.TempDir()
	big := filepath.Join(dir, "big")
	if err := os.WriteFile(big, make([]byte, configBytesMax+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, big, filepath.Join(dir, "none")} {
		if _, err := LoadConfig(path); !errors.Is(err, ErrConfig) {
			t.Errorf("LoadConfig(%s) = %v, want ErrConfig", path, err)
		}
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte("genesis = \"g\"\nlisten = [\"/ip4/127.0.0.1/tcp/1\"]\nrequest_timeout = \"1s\"\n"))
	f.Add([]byte("[extra]\nx = 1\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseConfig(data, "/d")
		if err != nil {
			if !errors.Is(err, ErrConfig) {
				t.Errorf("error %v is not ErrConfig", err)
			}
			return
		}
		if err := c.Validate(); err != nil {
			t.Errorf("parsed config is invalid: %v", err)
		}
	})
}

// TestAReplicaThatForgotDoesNotStart is the rule of lost data: fresh once, used
// afterwards, and refused when gone.
func TestAReplicaThatForgotDoesNotStart(t *testing.T) {
	c := Config{Dir: t.TempDir()}
	if _, err := c.checkData(); !errors.Is(err, ErrDataMissing) {
		t.Errorf("no directory: error = %v, want ErrDataMissing", err)
	}
	if err := InitData(c.Dir); err != nil {
		t.Fatal(err)
	}
	if fresh, err := c.checkData(); err != nil || !fresh {
		t.Errorf("after InitData: fresh = %v, %v, want true", fresh, err)
	}
	if err := InitData(c.Dir); err == nil {
		t.Error("InitData touched a directory that was there")
	}
	fresh := filepath.Join(c.DataPath(), FreshFile)
	if err := os.Remove(fresh); err != nil {
		t.Fatal(err)
	}
	if _, err := c.checkData(); !errors.Is(err, ErrDataMissing) {
		t.Errorf("empty directory: error = %v, want ErrDataMissing", err)
	}
	rejoining := c
	rejoining.Rejoin = true
	if fresh, err := rejoining.checkData(); err != nil || fresh {
		t.Errorf("rejoin: fresh = %v, %v, want false", fresh, err)
	}
	if err := os.WriteFile(filepath.Join(c.DataPath(), "journal"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if fresh, err := c.checkData(); err != nil || fresh {
		t.Errorf("used: fresh = %v, %v, want false", fresh, err)
	}
}

// TestKeyFilesOfTheOtherKindSayWhatToSet: the words are those of the configuration, not
// of package crypto alone.
func TestKeyFilesOfTheOtherKindSayWhatToSet(t *testing.T) {
	key, err := crypto.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := Config{Dir: t.TempDir(), Passphrase: []byte("secret")}
	sealed := filepath.Join(c.Dir, "sealed")
	if err := errors.Join(crypto.SavePlainKey(c.KeyPath(), key), crypto.SaveKey(sealed, key, c.Passphrase)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.loadKey(); !errors.Is(err, crypto.ErrKeyPlain) || !strings.Contains(err.Error(), "set plain_key = true") {
		t.Errorf("a plain key with a passphrase: %v", err)
	}
	c.PlainKey, c.Key = true, sealed
	if _, err := c.loadKey(); !errors.Is(err, crypto.ErrKeyEncrypted) || !strings.Contains(err.Error(), "drop plain_key") {
		t.Errorf("an encrypted key without one: %v", err)
	}
}
