// Package memory is the network in memory: transports and clients with the
// contract of package network's, and links that tests can cut. It has
// no sockets, and no clock but where frames take time (SetDelay); all its goroutines end
// before Run returns, and it works inside testing/synctest bubbles.
//
// A cut link is like a pulled cable between two machines that keep trying:
// frames wait in bounded queues, and of those that do not fit votes lose the
// oldest and other classes the newest, as over real sockets.
package memory
