package pbft_test

import (
	"fmt"

	"github.com/quorate/quorate/pbft"
)

func ExampleParseGenesis() {
	g, err := pbft.ParseGenesis([]byte(`
name = "demo"
epoch = 0

[[replica]]
id = 0
key = "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c"
addrs = ["/ip4/192.0.2.1/tcp/4001"]

[[replica]]
id = 1
key = "8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394"
addrs = ["/ip4/192.0.2.2/tcp/4001"]

[[replica]]
id = 2
key = "ed4928c628d1c2c6eae90338905995612959273a5c63f93636c14614ac8737d1"
addrs = ["/dns/r2.example.org/tcp/4001"]

[[replica]]
id = 3
key = "ca93ac1705187071d67b83c7ff0efe8108e8ec4530575d7726879333dbdabe7c"
addrs = ["/ip6/2001:db8::3/tcp/4001", "/ip4/192.0.2.4/tcp/4001"]
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	q, err := g.Quorum()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(g.Replicas(), "replicas, of which", q.Faults(), "may lie; a quorum is", q.Strong())
	// Output: 4 replicas, of which 1 may lie; a quorum is 3
}
