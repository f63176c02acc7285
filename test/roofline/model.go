package roofline

import (
	"errors"
	"fmt"
	"math"
	"math/bits"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/pbft/core"
	"github.com/quorate/quorate/pbft/wire"
)

// Shape is what the limit depends on beside the machine: the cluster, the load,
// and how far work was shared.
type Shape struct {
	Replicas int `json:"replicas"` // n
	Faults   int `json:"faults"`   // f
	// Cores are the processors that replicas and clients share.
	Cores int `json:"cores"`
	// OpBytes is the length of an operation, as the client submits it.
	OpBytes         int     `json:"operation_bytes"`
	ResultBytes     int     `json:"result_bytes"`
	OpsPerBatch     float64 `json:"operations_per_batch"`
	OpsPerSignature float64 `json:"operations_per_signature"`
	ClientsPerBatch float64 `json:"clients_per_batch"`
	// InFlight is how many batches the replicas work on at once. They share flushes
	// and the verification of votes.
	InFlight int `json:"batches_in_flight"`
	// Single has every signature made and verified alone, by the standard
	// library: the ceiling of an implementation that shares nothing.
	Single bool `json:"single"`
}

// Validate reports everything that is wrong with s, at once.
func (s Shape) Validate() error {
	var errs []error
	need := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	need(s.Faults >= 0 && s.Replicas > 3*s.Faults, "%d replicas do not tolerate %d faults", s.Replicas, s.Faults)
	need(s.Cores >= 1, "cores are %d, want at least 1", s.Cores)
	need(s.OpBytes >= 0 && s.ResultBytes >= 0, "lengths are negative")
	need(s.OpsPerSignature >= 1, "operations per signature are %g, want at least 1", s.OpsPerSignature)
	need(s.OpsPerBatch >= s.OpsPerSignature, "operations per batch are %g, less than the %g per signature",
		s.OpsPerBatch, s.OpsPerSignature)
	need(s.ClientsPerBatch >= 1 && s.ClientsPerBatch <= s.OpsPerBatch, "clients per batch are %g, want 1 to %g",
		s.ClientsPerBatch, s.OpsPerBatch)
	need(s.InFlight >= 1, "batches in flight are %d, want at least 1", s.InFlight)
	return errors.Join(errs...)
}

// Costs are what the parts cost on the machine for one Shape, in nanoseconds of
// processor time.
type Costs struct {
	SignRequest   float64 `json:"sign_request_ns"`
	VerifyRequest float64 `json:"verify_request_ns"` // each, verified with all requests of a batch
	SignVote      float64 `json:"sign_vote_ns"`
	VerifyVote    float64 `json:"verify_vote_ns"`  // each, verified with those of a phase of all batches in flight
	VerifyReply   float64 `json:"verify_reply_ns"` // each, verified with those of all batches in flight
	Hash          float64 `json:"hash_ns"`         // of two digests
	HashByte      float64 `json:"hash_byte_ns"`
	Flush         float64 `json:"flush_ns"`
	Frame         float64 `json:"frame_ns"` // sent and received, without its bytes
	FrameByte     float64 `json:"frame_byte_ns"`
}

// Term is one part of what an operation costs.
type Term struct {
	Name  string  `json:"name"`
	PerOp float64 `json:"ns_per_operation"`
}

// Limit is the most that a machine can do for a shape.
type Limit struct {
	Shape     Shape   `json:"shape"`
	Costs     Costs   `json:"costs"`
	Terms     []Term  `json:"terms"`
	PerOp     float64 `json:"ns_per_operation"`
	PerSecond float64 `json:"operations_per_second"`
}

// voteBytes is about the length of a vote's frame, and of what it signs.
const voteBytes = 128

// wideFan is how many nodes of a crypto.WideTree have one parent.
const wideFan = 16

// requests is how many requests a batch has.
func (s Shape) requests() float64 { return s.OpsPerBatch / s.OpsPerSignature }

// quorum is how many votes decide.
func (s Shape) quorum() float64 {
	q, _ := core.NewQuorumWithFaults(s.Replicas, s.Faults) // of a valid shape
	return float64(q.Strong())
}

// requestBytes is the length of a request's frame.
func (s Shape) requestBytes() float64 {
	fixed := len(wire.Encode(&wire.Request{}))
	one := len(wire.Encode(&wire.Request{Ops: [][]byte{nil}})) - fixed
	return float64(fixed) + s.OpsPerSignature*float64(one+s.OpBytes)
}

// repliesBytes is the length of what a replica answers to a batch: a frame with a
// path for each client, with its answers.
func (s Shape) repliesBytes() float64 {
	fixed := len(wire.Encode(&wire.Replies{}))
	one := len(wire.Encode(&wire.Replies{Answers: make([]wire.Answer, 1)})) - fixed
	path := pathLength(s.ClientsPerBatch) * len(core.Execution{}.Digest)
	return s.ClientsPerBatch*float64(fixed+path) + s.OpsPerBatch*float64(one+s.ResultBytes)
}

// pathLength is how many digests lead from one of n leaves to the root.
func pathLength(n float64) int { return bits.Len(uint(max(0, math.Ceil(n)-1))) } //nolint:gosec // not negative

// requestsTogether is how many signatures of requests are verified at once: those
// of a batch. requestKeys is how many keys made them.
func (s Shape) requestsTogether() int { return max(1, int(math.Round(s.requests()))) }

func (s Shape) requestKeys() int {
	return min(s.requestsTogether(), max(1, int(math.Round(s.ClientsPerBatch))))
}

// votesTogether is how many signatures of votes are verified at once: those that
// complete the quorums of one phase of all batches in flight.
func (s Shape) votesTogether() int {
	return max(1, (int(s.quorum())-1)*s.InFlight)
}

// InFlightMax is how many batches a primary has open at once.
func InFlightMax() int { return core.DefaultConfig(0, core.Quorum{}).InFlight }

func (s Shape) voteKeys() int { return max(1, s.Replicas-1) }

// Needs is how many of each part one batch needs at the least, at all replicas and
// clients together: the counts of docs/PERFORMANCE.md.
type Needs struct {
	RequestsSigned, RequestsVerified float64
	VotesSigned, VotesVerified       float64
	RepliesSigned, RepliesVerified   float64
	Hashes, HashedBytes              float64
	Flushes                          float64
	Frames, Bytes                    float64
}

// Needs returns what one batch of a valid shape needs.
func (s Shape) Needs() Needs {
	n, q, weak := float64(s.Replicas), s.quorum(), float64(s.Faults+1)
	b, k, requests := s.OpsPerBatch, s.ClientsPerBatch, s.requests()
	request := s.requestBytes()

	// One pre-prepare and n−1 prepares, then n commits.
	votesMade := 2 * n
	// Each backup needs the pre-prepare and q−2 prepares of others beside its own,
	// the primary q−1; and everyone q−1 commits of others.
	votesNeeded := (n - 1) + (n-1)*max(0, q-2) + (q - 1) + n*(q-1)
	// Requests go to the primary, and with its batch to the others; every replica
	// answers every client.
	frames := requests + (n - 1) + (n-1)*(n-1) + n*(n-1) + n*k
	bytes := n*requests*request + (n-1)*(2*n-1)*voteBytes + n*s.repliesBytes()
	// At each replica one digest an answer, and a node of the wide trees for 15 of them, of
	// 512 bytes; three a group and one less, for the tree of groups; and the batch's bytes
	// once. At each client its own group and that one's path, which f+1 replies share.
	wide := (b - k) / (wideFan - 1)
	hashes := (n+1)*(b+wide) + n*(3*k-1) + k*float64(2+pathLength(k))
	hashed := n*requests*request + (n+1)*wide*(wideFan-2)*crypto.DigestSize

	return Needs{
		RequestsSigned: requests, RequestsVerified: n * requests,
		VotesSigned: votesMade, VotesVerified: votesNeeded,
		RepliesSigned: n, RepliesVerified: k * weak,
		Hashes: hashes, HashedBytes: hashed,
		Flushes: n / float64(s.InFlight), Frames: frames, Bytes: bytes,
	}
}

// limit computes the limit of a valid shape: what one batch needs, times the costs,
// over the operations of a batch.
func limit(s Shape, c Costs) Limit {
	need := s.Needs()
	terms := []Term{
		{"clients sign requests", need.RequestsSigned * c.SignRequest},
		{"replicas verify requests", need.RequestsVerified * c.VerifyRequest},
		{"replicas sign votes", need.VotesSigned * c.SignVote},
		{"replicas verify votes", need.VotesVerified * c.VerifyVote},
		{"replicas sign replies", need.RepliesSigned * c.SignVote},
		{"clients verify replies", need.RepliesVerified * c.VerifyReply},
		{"digests", need.Hashes*c.Hash + need.HashedBytes*c.HashByte},
		{"flushes", need.Flushes * c.Flush},
		{"frames", need.Frames * c.Frame},
		{"bytes sent", need.Bytes * c.FrameByte},
	}
	l := Limit{Shape: s, Costs: c, Terms: terms}
	for i := range terms {
		terms[i].PerOp /= s.OpsPerBatch
		l.PerOp += terms[i].PerOp
	}
	l.PerSecond = float64(s.Cores) * 1e9 / l.PerOp
	return l
}
