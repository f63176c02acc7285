// Package checkpoint keeps the replicated state: an ordered key-value store
// whose content has one root digest, with durable snapshots that cost what
// changed, transfer of only what differs, and proofs of single keys.
//
// The state is a Merkle tree over the key space, in pages small enough to send
// and verify one by one (Merkle, CRYPTO '87; hierarchical state partitions as
// in Castro and Liskov, TOCS 20(4), §6.2). Its shape is a function of the
// content alone: equal contents have equal roots whatever was done to get there.
//
//	writes → active overlay → (Checkpoint) → frozen overlays → pages → manifest
//
// Invariants, cited in the code:
//
//	(I1) A page never changes once it is written: its key holds the generation
//	     that wrote it and its digest.
//	(I2) A manifest is written after all pages that it reaches, and those were
//	     read back and verified.
//	(I3) A page is deleted only when no kept snapshot reaches it.
//	(I4) What is read from storage is verified against its digest before use.
//	(I5) After the first failed write or damaged read the store does nothing
//	     more: it is dead.
//	(I6) A snapshot that a checkpoint wrote reaches only pages that it wrote
//	     itself or that the one before it reaches. One that came by a transfer
//	     may share what others reached when it was fetched.
//
// docs/STORAGE.md has the layout, byte by byte.
package checkpoint

import (
	"errors"
	"fmt"
)

// Limits of the content. They are part of the state's definition: replicas that
// differ in them disagree about roots.
const (
	// KeyBytesMax is the longest key.
	KeyBytesMax = 1 << 10
	// ValueBytesMax is the longest value.
	ValueBytesMax = 256 << 10
	// LeafBytesMax is up to which total size of its entries a subtree is one
	// page. A single larger entry is a page of its own.
	LeafBytesMax = 4 << 10
	// PageBytesMax is the longest digested encoding of a page.
	PageBytesMax = leafHeaderBytes + entryHeaderBytes + KeyBytesMax + ValueBytesMax
)

var (
	// ErrDamaged says that no whole snapshot is left in the directory, or that
	// one turned out damaged while it was read. Nothing on disk can repair it.
	ErrDamaged = errors.New("state on disk is damaged; stop, move its directory away (checkpoint.Quarantine), " +
		"start again and let the state be fetched from the other replicas")
	// ErrFormat says that the directory is of an earlier version, whose format this one
	// does not read. Nothing is changed there.
	ErrFormat = errors.New("state on disk has the format of an earlier version: go on with that version, or, while the " +
		"other replicas have the state, move its directory away (checkpoint.Quarantine) and let it be fetched from them")
	// ErrNoFiles says that the process may open too few files more. Nothing was written.
	ErrNoFiles = errors.New("too few files left to open; raise their limit (ulimit -n, LimitNOFILE) and start again")
	// ErrNoSpace says that the disk is too full to begin a write. Nothing was
	// harmed; free space and start again.
	ErrNoSpace = errors.New("too little free disk space; free some and start again")
	// ErrClosed says that the store was closed.
	ErrClosed = errors.New("checkpoint store is closed")
	// ErrInUse says that another process has the directory open.
	ErrInUse = errors.New("state directory is in use by another process; end that one first")
	// ErrIncomplete says that a transfer lacks pieces; Wanted names them.
	ErrIncomplete = errors.New("state transfer is not complete; add what Wanted names first")
	// ErrTooLarge says that a key or value is over the limit.
	ErrTooLarge = errors.New("over the limit of the state")
)

// damaged returns an ErrDamaged that says what is damaged.
func damaged(format string, args ...any) error {
	return fmt.Errorf("checkpoint: %s: %w", fmt.Sprintf(format, args...), ErrDamaged)
}
