package main

import (
	"strings"
	"testing"

	"github.com/quorate/quorate/crypto"
)

// initOf returns the flags of init with this host and name.
func initOf(host, name string) initOptions {
	return initOptions{replicas: replicasMin, hosts: []string{host}, basePort: portMax - replicasMin, name: name, app: "kv"}
}

// TestInitTakesHostsThatAGenesisTakes makes a genesis of each, with the longest of ports.
func TestInitTakesHostsThatAGenesisTakes(t *testing.T) {
	label := strings.Repeat("a", labelBytesMax)
	longest := strings.Repeat(label+".", 3) + strings.Repeat("b", hostBytesMax-3*(labelBytesMax+1))
	for _, host := range []string{
		"127.0.0.1", "255.255.255.255", "::1", "2001:db8::7", "::ffff:192.0.2.1", "localhost", "r0", "r0.example.org", "example.org.",
		"R0.Example.ORG", "replica_0.net_work", "_x", "3com.com", "0x", "1.2.3.4a", "4.xn--tda.de", "a-b.c--d", label, longest,
	} {
		o := initOf(host, "quorate")
		save := func(string, crypto.PrivateKey) error { return nil }
		if err := o.validate(); err != nil {
			t.Errorf("%q: got %v", host, err)
		} else if _, err := o.writeCluster(t.Context(), t.TempDir(), save); err != nil {
			t.Errorf("%q: got %v from the genesis", host, err)
		}
	}
	for _, host := range []string{
		"", ".", "..", ".a", "a..b", "a..", "-x", "x-", "a.-x.b", "a.x-.b", "ü.de", "a b", "a/b", "a:1", "[::1]", "fe80::1%eth0", "0.0.0.0",
		"::", "224.0.0.1", "ff02::1", "256.1.1.1", "1.2.3", "1.2.3.", "1", "01.2.3.4", "1.2.3.4.5", "a.1", "a\n", label + "a",
		longest + "b", strings.Repeat("a.", 200) + "a", "127.0.0.1/8", "*.a", "a\x00",
	} {
		o := initOf(host, "quorate")
		if err := o.validate(); err == nil || exitCode(err) != exitUsage || !strings.HasPrefix(err.Error(), "--host has ") {
			t.Errorf("%q: got %v, want --host refused", host, err)
		}
	}
}

// TestInitTakesNamesThatAGenesisTakes holds init to what a genesis says, both ways.
func TestInitTakesNamesThatAGenesisTakes(t *testing.T) {
	long := strings.Repeat("n", clusterNameBytesMax)
	for _, name := range []string{"a", "prod-7", "-", "0", long, "", "A", "A B", "a_b", "ü", "a\n", "a.b", long + "n", "a\xff"} {
		genesis := testGenesis()
		genesis.Name = name
		taken := !strings.Contains(genesis.Validate().Error(), "name is ")
		err := initOf("localhost", name).validate()
		if taken && err != nil || !taken && (err == nil || !strings.HasPrefix(err.Error(), "--name is ")) {
			t.Errorf("%q: got %v, and a genesis takes it: %v", name, err, taken)
		}
	}
}
