// Package forensics finds out who lied, after the fact and offline, from what
// replicas keep: it needs nothing but the genesis.
//
// Verify checks evidence, Audit looks for lies in what one replica, or several,
// have archived, and Archive is what a replica writes for that: commit
// certificates, view changes and new views of the past, beyond the protocol's
// garbage collection. EncodeFile and DecodeFile keep evidence as a file.
//
// If more than f replicas lie, and at most 2f, and two correct ones execute
// different batches at one number, the archive of either names at least f+1 of the
// liars, once the two have met while both had the view changes between the two
// batches; later it may take the archives of both (Sheng et al., BFT Protocol
// Forensics, CCS '21). docs/PROTOCOL.md step 11 has the argument, docs/STORAGE.md
// the layouts.
package forensics
