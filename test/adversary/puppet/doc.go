// Package puppet plays a strategy of package adversary on a real replica: it comes
// between the replica's node and its transport, opens what goes out and comes in,
// and sends and delivers what the strategy makes of it. It is for tests alone.
package puppet
