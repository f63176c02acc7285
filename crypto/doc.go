// Package crypto holds what the cluster believes in: SHA-256 digests, ed25519
// keys, the domain that every signature is bound to, the one rule by which
// signatures are verified, Merkle trees, and the files that keep keys.
//
// All replicas must agree on which signatures are valid, or one crafted
// signature splits them. So there is one predicate, ZIP-215 (cofactored, with
// S reduced, and every encoding of a point that decodes), and a check alone and
// the same check in any batch give the same answer. The standard library
// verifies without the cofactor, which no batch can reproduce; nothing here
// uses it to verify.
package crypto
