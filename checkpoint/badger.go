package checkpoint

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	logging "github.com/ipfs/go-log/v2"
)

// badgerPages is pages in Badger.
type badgerPages struct{ db *badger.DB }

const (
	// memTableBytesMin is the least that Badger gathers in memory before it writes a
	// table, which holds up whatever is flushed at the same time. Replicas write alike,
	// so each adds up to half of that by chance: at the same moment they would all hold
	// up their votes, but a quorum does not wait for one.
	memTableBytesMin = 8 << 20
	// memTableBytesMax is the most that it ever gathered, in format 1.
	memTableBytesMax = 16 << 20

	// Badger puts a table of one level in order with all those of the next that it
	// overlaps. What is collected from a large state lies anywhere in it, so one table may
	// overlap many; votes wait meanwhile. With levels of which each is four times the one
	// above, not ten, there are fewer below a table; and the smaller tables are, the fewer
	// of them are wide.
	levelBytesMin = 32 << 20
	levelRatio    = 4
	tableBytesMin = 1 << 20

	// Each of these moves one table every 50 ms, however little that is. Two of them
	// cannot keep up with what a load of gigabytes leaves in the upper levels, until that
	// has to be put in order all at once, and a write waits for it for seconds.
	compactors = 4
)

// badgerOptions are settings that experiments with v4.9.6 arrived at; its
// defaults lose acknowledged writes in a power cut and take gigabytes.
func badgerOptions(dir string) badger.Options {
	return badger.DefaultOptions(dir).
		WithSyncWrites(true).        // off by default: a power cut then loses what was acknowledged
		WithValueThreshold(1 << 20). // no value goes to the value log, whose failed syncs are only logged
		WithNumMemtables(2).
		WithBlockCacheSize(8 << 20).
		WithValueLogFileSize(64 << 20).
		WithNumCompactors(compactors).
		WithNumLevelZeroTables(2). // five are put in order for half a second, which holds up votes
		WithBaseLevelSize(levelBytesMin).
		WithLevelSizeMultiplier(levelRatio).
		WithBaseTableSize(tableBytesMin).
		WithCompression(options.None).                     // digests and what they cover hardly compress
		WithDetectConflicts(false).                        // one writer
		WithChecksumVerificationMode(options.OnBlockRead). // whole tables are verified by checkTables
		WithMetricsEnabled(false).
		WithLogger(badgerLogger{logging.Logger("checkpoint")})
}

// openBadger opens the database in dir, or makes one. It gathers so many bytes in
// memory, or as many as are drawn.
//
// Of what was gathered before a crash there are logs. Badger takes each into a memory of
// the size that it is opened with now, and ends the process if it finds no room there: so
// what the logs hold is written out first, with room for the longest.
func openBadger(dir string, memTableBytes int64) (p *badgerPages, err error) {
	defer caught(&err)
	left, err := logsIn(dir)
	if err != nil {
		return nil, err
	}
	if len(left) > 0 {
		p, err := openSized(dir, memTableBytesMax)
		if err != nil {
			return nil, err
		}
		if err := p.close(); err != nil {
			return nil, err
		}
	}
	if memTableBytes == 0 {
		memTableBytes = memTableBytesMin + rand.Int64N(memTableBytesMin/2)
	}
	return openSized(dir, memTableBytes)
}

func openSized(dir string, memTableBytes int64) (*badgerPages, error) {
	opts := badgerOptions(dir).WithMemTableSize(memTableBytes)
	if !opts.SyncWrites {
		return nil, errors.New("badger would not sync its writes")
	}
	db, err := badger.Open(opts)
	if err != nil {
		return nil, err
	}
	return &badgerPages{db}, nil
}

// logsIn returns the logs of what was gathered, and is in no table yet.
func logsIn(dir string) (paths []string, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if filepath.Ext(e.Name()) == ".mem" {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	return paths, err
}

// caught turns a panic, which is how Badger meets damaged tables, into an error.
func caught(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("badger panicked: %v", r)
	}
}

func (b *badgerPages) get(key []byte) (value []byte, ok bool, err error) {
	defer caught(&err)
	err = b.db.View(func(txn *badger.Txn) error {
		item, err := txn.Get(key)
		if errors.Is(err, badger.ErrKeyNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		ok = true
		value, err = item.ValueCopy(nil)
		return err
	})
	return value, ok && err == nil, err
}

func (b *badgerPages) apply(changes []change) (err error) {
	defer caught(&err)
	return b.db.Update(func(txn *badger.Txn) error {
		for _, c := range changes {
			var err error
			if c.value == nil {
				err = txn.Delete(c.key)
			} else {
				err = txn.Set(c.key, c.value)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func (b *badgerPages) scan(from []byte, prefix int, yield func(key, value []byte) bool) (err error) {
	defer caught(&err)
	return b.db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{Prefix: bytes.Clone(from[:prefix])})
		defer it.Close()
		for it.Seek(from); it.Valid(); it.Next() {
			value, err := it.Item().ValueCopy(nil)
			if err != nil {
				return err
			}
			if !yield(it.Item().KeyCopy(nil), value) {
				return nil
			}
		}
		return nil
	})
}

func (b *badgerPages) sync() (err error) {
	defer caught(&err)
	return b.db.Sync()
}

func (b *badgerPages) close() (err error) {
	defer caught(&err)
	return b.db.Close()
}

// badgerLogger passes what Badger says on; its information is for debugging.
type badgerLogger struct{ log *logging.ZapEventLogger }

// Errorf is Badger's.
func (l badgerLogger) Errorf(format string, args ...any) { l.log.Errorf("badger: "+format, args...) }

// Warningf is Badger's. That its cache of blocks seldom has what is asked for is no news,
// every minute: pages are kept above it, in decoded form.
func (l badgerLogger) Warningf(format string, args ...any) {
	if strings.HasPrefix(format, "%s might be too small") || strings.HasPrefix(format, "Cache life expectancy") {
		l.Debugf(format, args...)
		return
	}
	l.log.Warnf("badger: "+format, args...)
}

// Infof is Badger's: chatter, for debugging.
func (l badgerLogger) Infof(format string, args ...any) { l.log.Debugf("badger: "+format, args...) }

// Debugf is Badger's.
func (l badgerLogger) Debugf(format string, args ...any) { l.log.Debugf("badger: "+format, args...) }
