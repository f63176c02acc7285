// Package journal is the log of what a replica must not forget: its votes,
// certificates and views (core.Record), in order.
//
// A journal is a directory of segments, files that are zeroed ahead of their
// use. Append puts records into the last one; Flush makes everything appended
// durable with one write and one sync, whatever the number of records. Open
// reads all records back. Records are linked by a hash chain, so that none can
// be lost, changed or swapped without notice, except for the newest flush: its
// loss looks like a crash in the middle of it. docs/STORAGE.md has the layout,
// byte by byte, and the reasoning.
//
// The rules that the code cites:
//
//	(J1) No byte of a flush is written before the sync of the flush before it
//	     has returned. So an intact mark of a flush proves that every flush
//	     before it was durable.
//	(J2) A flush begins in a sector of its own. So no write touches durable
//	     bytes.
//	(J3) A segment gets its name only when its header, and for a base segment
//	     every base record, is durable. So a damaged header is never the work
//	     of a crash.
//	(J4) What lies behind the end of the last segment is zero, durably, before
//	     anything is written there. So old bytes are never taken for new ones.
//	(J5) After an error of a write or a sync the journal is dead: the system
//	     may have forgotten what was not written (Rebello et al., "Can
//	     Applications Recover from fsync Failures?", USENIX ATC 2020).
package journal
