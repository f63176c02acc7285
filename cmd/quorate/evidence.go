package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/quorate/quorate/pbft"
	"github.com/quorate/quorate/pbft/forensics"
	"github.com/quorate/quorate/pbft/wire"
)

// errBroken says that an audit found a violation, which it has printed.
var errBroken = errors.New("the agreement is broken: correct replicas have certificates for different things at one " +
	"number, so more replicas lie than the cluster tolerates; stop writing and keep the directories")

func newEvidence(c *console) *cobra.Command {
	return group("evidence", "Find out who lied, and prove it to others", `  quorate evidence export --dir cluster/r2 --to evidence.quorate
  quorate evidence verify evidence.quorate --genesis cluster/genesis.toml
  quorate evidence audit --dir cluster/r2 --genesis cluster/genesis.toml`,
		newEvidenceExport(c), newEvidenceVerify(c), newEvidenceAudit(c))
}

// convictionInfo is one replica that lied, as printed.
type convictionInfo struct {
	Culprit uint32 `json:"culprit"`
	Kind    string `json:"kind"`
	View    uint64 `json:"view"`
	Seq     uint64 `json:"seq"`
	Signed  string `json:"signed"`
	Why     string `json:"why_no_correct_replica_does"`
}

type conflictInfo struct {
	Seq    uint64   `json:"seq"`
	What   string   `json:"what"`
	First  string   `json:"first"`
	Second string   `json:"second"`
	Views  []uint64 `json:"views,omitempty"`
}

// evidenceInfo is what the evidence commands print.
type evidenceInfo struct {
	Cluster     string           `json:"cluster"`
	Tolerates   int              `json:"tolerated_faults"`
	Messages    int              `json:"messages,omitempty"`
	Damaged     int              `json:"damaged_segments,omitempty"`
	Refused     int              `json:"refused_records,omitempty"`
	Culprits    []uint32         `json:"culprits"`
	Convictions []convictionInfo `json:"convictions"`
	Conflicts   []conflictInfo   `json:"conflicts,omitempty"`
	File        string           `json:"file,omitempty"`
}

func newEvidenceInfo(g *pbft.Genesis, c *forensics.Cluster, found *forensics.Findings) *evidenceInfo {
	info := &evidenceInfo{
		Cluster: g.Name, Tolerates: c.Quorum.Faults(), Messages: found.Messages,
		Culprits: []uint32{}, Convictions: []convictionInfo{},
	}
	for _, id := range found.Culprits() {
		info.Culprits = append(info.Culprits, uint32(id))
	}
	for i := range found.Convictions {
		v := &found.Convictions[i]
		info.Convictions = append(info.Convictions, convictionInfo{
			Culprit: uint32(v.Culprit), Kind: v.Proof.String(), View: uint64(v.View), Seq: uint64(v.Seq),
			Signed: v.Said(), Why: v.Why(),
		})
	}
	for _, k := range found.Conflicts {
		one := conflictInfo{Seq: uint64(k.Seq), What: "states", First: k.First.String(), Second: k.Second.String()}
		if !k.Stable {
			one.What, one.Views = "batches", []uint64{uint64(k.FirstView), uint64(k.SecondView)}
		}
		info.Conflicts = append(info.Conflicts, one)
	}
	return info
}

// show prints what was found, one lie after the other.
func (i *evidenceInfo) show(c *console, headline string) error {
	t := table{above: []string{headline}}
	for _, k := range i.Conflicts {
		t.above = append(t.above, fmt.Sprintf("AGREEMENT BROKEN at number %d: two %s, %.12s and %.12s", k.Seq, k.What, k.First, k.Second))
	}
	for _, v := range i.Convictions {
		t.above = append(t.above, fmt.Sprintf("replica %d %s", v.Culprit, v.Signed), "  no correct replica does: "+v.Why)
	}
	return c.show(t, i)
}

// replicas names replicas in words.
func replicas(ids []uint32) string {
	words := make([]string, 0, len(ids))
	for _, id := range ids {
		words = append(words, strconv.FormatUint(uint64(id), 10))
	}
	return strings.Join(words, ", ")
}

// clusterOf reads a genesis.
func clusterOf(path string) (*pbft.Genesis, *forensics.Cluster, error) {
	genesis, err := loadGenesis(path)
	if err != nil {
		return nil, nil, err
	}
	cluster, err := genesis.Forensics()
	if err != nil {
		return nil, nil, usageError{err}
	}
	return genesis, &cluster, nil
}

func newEvidenceVerify(c *console) *cobra.Command {
	var genesis string
	cmd := &cobra.Command{
		Use:   "verify FILE",
		Short: "Verify the proofs in an evidence file",
		Long: `Verify checks every signature and every contradiction in FILE with nothing but the
genesis: no replica is asked, and it does not matter who made the file. For each
proof it prints who signed what, and why no correct replica does.

It ends with exit code 0 if every proof holds, with 1 if one does not, and with 2
if FILE is damaged or of another cluster.`,
		Example: "  quorate evidence verify evidence.quorate --genesis cluster/genesis.toml",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			g, cluster, err := clusterOf(genesis)
			if err != nil {
				return err
			}
			found, err := verifyFile(cmd.Context(), cluster, args[0])
			if err != nil {
				return err
			}
			info := newEvidenceInfo(g, cluster, &forensics.Findings{Convictions: found})
			headline := fmt.Sprintf("every proof holds, %d in all: convicted is replica %s", len(found), replicas(info.Culprits))
			if len(found) == 0 {
				headline = "there is no proof in the file"
			}
			return info.show(c, headline)
		},
	}
	cmd.Flags().StringVar(&genesis, "genesis", pbft.GenesisFile, "genesis file of the cluster")
	return cmd
}

// verifyFile reads and verifies an evidence file.
func verifyFile(ctx context.Context, cluster *forensics.Cluster, path string) ([]forensics.Conviction, error) {
	data, err := awaited(ctx, func() ([]byte, error) { return readUpTo(path, forensics.FileBytesMax+1) })
	if errors.Is(err, context.Canceled) {
		return nil, err
	}
	if err != nil {
		return nil, usageError{err}
	}
	found, err := forensics.VerifyFile(cluster, data)
	if err == nil {
		return found, nil
	}
	err = fmt.Errorf("%s: %w", path, err)
	if errors.Is(err, forensics.ErrProof) {
		return nil, err
	}
	return nil, usageError{err}
}

func newEvidenceAudit(c *console) *cobra.Command {
	var genesis string
	var dirs []string
	cmd := &cobra.Command{
		Use:   "audit --dir DIR [FILE...]",
		Short: "Search what replicas have archived for lies",
		Long: `Audit reads the archive of a replica, running or not, and holds every certificate,
view change and new view in it against every other. It prints who provably lied,
and where the agreement is broken. DIR is a replica's directory, or an archive
that was copied from one; give --dir several times, and evidence files, to audit
them together.

If more replicas lied than the cluster tolerates and the agreement broke, the
archive of one correct replica convicts more than that many, once it has been in
touch with one that was told otherwise.

It ends with exit code 1 if the agreement is broken, with 0 if not, also if somebody
lied, and with 2 if DIR has no archive, or a FILE is damaged or has a proof that does
not hold.`,
		Example: `  quorate evidence audit --dir cluster/r2 --genesis cluster/genesis.toml
  quorate evidence audit --dir r1/data/archive --dir r2/data/archive evidence.quorate -o json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(dirs)+len(args) == 0 {
				return usagef("nothing to audit: give the directory of a replica with --dir")
			}
			for _, dir := range dirs {
				if err := noFile("--dir", dir); err != nil {
					return fmt.Errorf("%w; an evidence file goes without --dir", err)
				}
			}
			g, cluster, err := clusterOf(genesis)
			if err != nil {
				return err
			}
			info, _, err := audit(cmd.Context(), g, cluster, dirs, args)
			if err != nil {
				return err
			}
			if err := info.show(c, info.verdict()); err != nil {
				return err
			}
			if len(info.Conflicts) > 0 {
				return errBroken
			}
			return nil
		},
	}
	cmd.Flags().StringArrayVar(&dirs, "dir", nil, "directory of a replica, or an archive; may be given more than once")
	cmd.Flags().StringVar(&genesis, "genesis", pbft.GenesisFile, "genesis file of the cluster")
	return cmd
}

// audit reads archives and evidence files, and judges them together.
func audit(
	ctx context.Context, g *pbft.Genesis, cluster *forensics.Cluster, dirs, files []string,
) (*evidenceInfo, *forensics.Findings, error) {
	var logs []*forensics.Log
	damaged, refused := 0, 0
	for _, dir := range dirs {
		path, err := archiveOf(dir)
		if err != nil {
			return nil, nil, usageError{err}
		}
		log, err := forensics.ReadArchive(path, cluster)
		if err != nil {
			return nil, nil, usageError{err}
		}
		logs = append(logs, log)
		damaged, refused = damaged+log.Damaged, refused+log.Refused
	}
	for _, file := range files {
		convictions, err := verifyFile(ctx, cluster, file)
		if errors.Is(err, forensics.ErrProof) {
			err = usageError{err} // no agreement is broken
		}
		if err != nil {
			return nil, nil, err
		}
		log := &forensics.Log{}
		for i := range convictions {
			log.Messages = append(log.Messages, wire.Message(convictions[i].Evidence))
		}
		logs = append(logs, log)
	}
	found := forensics.Audit(cluster, logs...)
	info := newEvidenceInfo(g, cluster, found)
	info.Damaged, info.Refused = damaged, refused
	return info, found, nil
}

// archiveOf returns where the archive is in a replica's directory; any other
// directory is taken for an archive, but not one into which nobody lets us look.
func archiveOf(dir string) (string, error) {
	path := pbft.Config{Dir: dir}.ArchivePath()
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return path, nil
	case err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR):
		return dir, nil
	default:
		return "", err
	}
}

// verdict says in one line what an audit found.
func (i *evidenceInfo) verdict() string {
	text := fmt.Sprintf("%d messages: ", i.Messages)
	if i.Damaged+i.Refused > 0 {
		text = fmt.Sprintf("%d messages, %d damaged segments, %d refused records: ", i.Messages, i.Damaged, i.Refused)
	}
	switch {
	case len(i.Culprits) == 0 && len(i.Conflicts) == 0 && i.Damaged > 0:
		return text + "no lie is found in what is whole: audit another replica's archive too"
	case len(i.Culprits) == 0 && len(i.Conflicts) == 0:
		return text + "no lie is found"
	case len(i.Conflicts) > 0 && len(i.Culprits) <= i.Tolerates:
		return text + "the agreement is broken, and they do not show by whom: audit another replica's archive with them"
	default:
		return text + "convicted is replica " + replicas(i.Culprits)
	}
}

func newEvidenceExport(c *console) *cobra.Command {
	var dir, genesis, to string
	cmd := &cobra.Command{
		Use:   "export --dir DIR",
		Short: "Write all that a replica can prove into a file for others",
		Long: `Export audits the archive of a replica, running or not, and writes every proof that
it finds into a file. Whoever has the genesis can verify that file with 'quorate
evidence verify'. It never overwrites a file, and writes none if there is nothing
to prove.`,
		Example: "  quorate evidence export --dir cluster/r2\n  quorate evidence export --dir cluster/r2 --to r2.quorate",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := noFile("--dir", dir); err != nil {
				return err
			}
			if genesis == "" {
				cfg, err := loadConfig(dir)
				if err != nil {
					return usageError{err}
				}
				genesis = cfg.GenesisPath()
			}
			g, cluster, err := clusterOf(genesis)
			if err != nil {
				return err
			}
			info, found, err := audit(cmd.Context(), g, cluster, []string{dir}, nil)
			if err != nil {
				return err
			}
			if len(found.Proofs()) == 0 {
				return info.show(c, "there is nothing to export: "+info.verdict())
			}
			if err := writeEvidence(to, cluster, found.Proofs()); err != nil {
				return err
			}
			info.File = to
			return info.show(c, fmt.Sprintf("%s has the proof against replica %s", to, replicas(info.Culprits)))
		},
	}
	cmd.Flags().StringVar(&dir, "dir", ".", "directory of the replica")
	cmd.Flags().StringVar(&genesis, "genesis", "", "genesis file, if not the one that node.toml names")
	cmd.Flags().StringVar(&to, "to", "evidence.quorate", "file to write")
	return cmd
}

// writeEvidence makes a new evidence file.
func writeEvidence(path string, cluster *forensics.Cluster, proofs []*wire.Evidence) error {
	data, err := forensics.EncodeFile(cluster.Domain, proofs)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return usageError{err}
	}
	_, err = file.Write(data)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return errors.Join(err, os.Remove(path)) // a part of it proves nothing, and would be in the way
	}
	return nil
}
