// Package pbft is the face of the framework: what an embedder of a replicated
// application, and a program that uses one, needs to know.
//
//   - Genesis says who the replicas are and what they must agree on; its hash
//     names the cluster. ParseGenesis, LoadGenesis.
//   - Config and Start run one replica of a cluster on this machine.
//   - StartLocal runs a whole cluster in this process, to try things out.
//   - Dial returns a Client, whose Submit returns what f+1 replicas signed.
//
// Replicas and clients log with github.com/ipfs/go-log/v2, which says nothing below level
// error unless the program, or its environment, tells it to:
//
//	logging.SetLogLevel("pbft/node", "warn") // or GOLOG_LOG_LEVEL=error,pbft/node=warn
//
// From level warn on there is what whoever runs a replica, or writes an application, must
// know, such as where an operation panicked. The subsystems are pbft/node, network,
// checkpoint and forensics; "*" means all, also those of libp2p.
//
// An application implements app.StateMachine. The protocol is Castro and
// Liskov's Practical Byzantine Fault Tolerance (OSDI '99), in package core.
package pbft
