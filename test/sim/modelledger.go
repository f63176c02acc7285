package sim

import (
	"math/rand/v2"

	"github.com/quorate/quorate/pbft/core"
)

// modelLedger is a fast model of a journal: any prefix of what was not flushed
// survives. On a disk that lies, any prefix of everything does, and a crash may
// leave something that is noticed.
type modelLedger struct {
	durable, open []core.Record
	kept, cut     int // by the last crash
	full          bool
	lies          *rand.Rand
	torn, forgot  bool // damage that is noticed, or not
}

// Append keeps records, not durably.
func (l *modelLedger) Append(records []core.Record) error {
	l.open = append(l.open, records...)
	return nil
}

// Flush makes them durable.
func (l *modelLedger) Flush() error {
	if l.full {
		return errFull
	}
	l.durable = append(l.durable, l.open...)
	l.open = l.open[:0]
	return nil
}

// Rebase begins anew.
func (l *modelLedger) Rebase(base []core.Record, _ int) error {
	if l.full {
		return errFull
	}
	l.durable, l.open = base, nil
	return nil
}

func (l *modelLedger) crash(rng *rand.Rand) {
	l.kept, l.cut = rng.IntN(len(l.open)+1), len(l.open)
	l.durable = append(l.durable, l.open[:l.kept]...)
	l.open = nil
	if l.lies != nil && rng.IntN(2) == 0 {
		kept := rng.IntN(len(l.durable) + 1)
		l.forgot, l.torn = kept < len(l.durable), rng.IntN(2) == 0
		l.durable = l.durable[:kept]
	}
}

func (l *modelLedger) kill(rng *rand.Rand) { l.crash(rng) }

func (l *modelLedger) fail(rng *rand.Rand) error {
	l.crash(rng)
	return nil
}

func (l *modelLedger) fill(full bool) { l.full = full }

func (l *modelLedger) spoil(rng *rand.Rand) { l.lies = rng }

func (l *modelLedger) copy() ledger {
	return &modelLedger{durable: append(l.durable[:len(l.durable):len(l.durable)], l.open...)}
}

func (l *modelLedger) reopen() (survival, error) {
	switch {
	case l.full:
		return survival{}, errFull
	case l.torn:
		return survival{}, errTorn
	}
	return survival{l.durable, l.kept, l.cut, 0 < l.kept && l.kept < l.cut, l.forgot}, nil
}
