package pbft

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/quorate/quorate/pbft/forensics"
)

// TestAnHonestClusterIsFoundInnocent audits what four replicas archived of real
// traffic: every certificate is there, and convicts nobody. The last two may be
// missing, for what is answered may still be on its way to the archive; and of four
// replicas two may be behind.
func TestAnHonestClusterIsFoundInnocent(t *testing.T) {
	const replicas, upToDate, operations, last = 4, 2, 5, 2
	l := &Local{dir: t.TempDir()}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := l.start(t.Context(), LocalConfig{Replicas: replicas}, echo{}); err != nil {
		t.Fatal(err)
	}
	client, err := l.Client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range operations + last {
		if _, err := client.Submit(t.Context(), []byte("op")); err != nil {
			t.Fatal(err)
		}
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	cluster, err := l.Genesis().Forensics()
	if err != nil {
		t.Fatal(err)
	}
	var logs []*forensics.Log
	messages := 0
	for i, r := range l.Replicas() {
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		dir := Config{Dir: filepath.Join(l.dir, "r"+string('0'+rune(i)))}.ArchivePath()
		log, err := forensics.ReadArchive(dir, &cluster)
		if err != nil {
			t.Fatal(err)
		}
		if log.Damaged+log.Refused > 0 {
			t.Errorf("replica %d: %d damaged, %d refused", i, log.Damaged, log.Refused)
		}
		logs = append(logs, log)
		messages += len(log.Messages)
	}
	found := forensics.Audit(&cluster, logs...)
	if len(found.Convictions)+len(found.Conflicts) > 0 || messages < upToDate*operations || found.Messages != messages {
		t.Errorf("found %+v in %d messages", found, messages)
	}
}

// TestAReplicaRunsWithoutAnArchive starts on a directory where a file is in the
// archive's place.
func TestAReplicaRunsWithoutAnArchive(t *testing.T) {
	genesis := clusterOf4(t)
	c := Config{Dir: t.TempDir()}
	if err := os.Mkdir(c.DataPath(), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{c.ArchivePath(), filepath.Join(c.DataPath(), FreshFile)} {
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d, err := openDisk(t.Context(), c, genesis, 3)
	if err != nil {
		t.Fatal(err)
	}
	if d.archive != nil {
		t.Error("there is an archive where there is a file")
	}
	if err := d.close(); err != nil {
		t.Error(err)
	}
}
