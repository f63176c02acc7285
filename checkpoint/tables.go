package checkpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/table"
)

// checkTables reads all tables of the database in dir and says which is damaged.
// Badger verifies them as well when it opens, but in goroutines of its own, where
// it meets damage with panics that end the process and tell nobody what to do.
// Here a panic is caught. What the manifest does not name is what a crash left
// unfinished, and Badger removes it; a manifest that cannot be read is Badger's to
// report, which it does without a panic.
func checkTables(dir string) error {
	file, err := os.Open(filepath.Join(dir, badger.ManifestFilename))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	manifest, _, err := badger.ReplayManifestFile(file, 0, badgerOptions(dir))
	if err := file.Close(); err != nil {
		return err
	}
	if err != nil {
		return nil //nolint:nilerr // see above
	}
	for _, id := range slices.Sorted(maps.Keys(manifest.Tables)) {
		if err := checkTable(table.NewFilename(id, dir), id, manifest.Tables[id].Compression); err != nil {
			return err
		}
	}
	return nil
}

// checkTable verifies the index and every block of one table, which it reads into
// memory: the largest are some tens of MiB.
func checkTable(path string, id uint64, compression options.CompressionType) (err error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: the table %s is missing", errUnopenable, path)
	}
	if err != nil {
		return err
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: the table %s is damaged", errUnopenable, path)
		}
	}()
	opts := badgerOptions("")
	t, err := table.OpenInMemoryTable(data, id, &table.Options{
		BlockSize: opts.BlockSize, Compression: compression, ChkMode: options.OnBlockRead,
	})
	if err == nil {
		err = t.VerifyChecksum()
	}
	if err != nil {
		return fmt.Errorf("%w: the table %s is damaged: %w", errUnopenable, path, err)
	}
	return nil
}
