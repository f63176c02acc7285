// Package cluster runs clusters of real processes on loopback, puts them under
// load, and proves that they kept their promises whatever was done to them.
//
//	c, err := cluster.Start(ctx, cluster.Options{Binary: quorate, Dir: dir})
//	...
//	load, err := c.Load(ctx, cluster.LoadOptions{})
//	err = c.Kill(0)
//	...
//	proof, err := cluster.Prove(ctx, c, load.Stop(ctx))
//
// A Cluster starts one process of the quorate command for every replica, so a
// kill is a kill: nothing of the process survives it but its files. A Load
// records when every operation was called and when it returned what, as its
// client saw it. Prove then compares the replicas' states, and checks that every
// acknowledged operation is there, that none took effect twice, and that the
// whole history is linearizable (Herlihy and Wing, TOPLAS 1990) by porcupine.
//
// Nothing here trusts a replica more than a client does: states come from signed
// reports, results from f+1 signed replies.
package cluster
