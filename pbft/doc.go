// Package pbft is the face of the project: it starts replicas of an application
// (Start, StartLocal), and lets clients submit operations to them (Dial,
// Client.Submit). The parts are in the packages below it: pbft/core is the
// protocol, pbft/wire its messages, pbft/node the driver.
package pbft
