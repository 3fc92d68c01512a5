package ledger

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"sync/atomic"

	"leadevents"
)

//go:embed scripts/release.lua
var releaseScript string

// Release removes each key that owners[i] owns, and no other; n is how many there were.
//
// It is for keys of which no row is stored any more that was told inserted. Absent, a key
// says "new" from then on, and that is true: whoever peeks later finds neither the key
// nor its row (doc.go, "What an absent key proves"). Who peeked before the owner had
// sealed may still seal it; package journal, "Races of an undo", has what then holds.
func (l *Ledger) Release(ctx context.Context, keys []leadevents.Key, owners []leadevents.BatchID) (n int, err error) {
	trust, err := l.current(ctx)
	if err != nil {
		return 0, err
	}
	plan := l.layout(trust).plan(keys, l.cfg.ChunkKeys)
	var left atomic.Int64
	err = l.eachChunk(ctx, plan, func(ctx context.Context, chunk []bucket) error {
		names, args := []string{l.epochKey()}, []any{trust.Epoch}
		for _, b := range chunk {
			names = append(names, b.name)
			args = append(args, b.end-b.start)
			for i := b.start; i < b.end; i++ {
				args = append(args, plan.field(i))
			}
			for i := b.start; i < b.end; i++ {
				args = append(args, token(owners[plan.order[i]]))
			}
		}
		answer, err := l.data.Eval(ctx, releaseScript, names, args...).Slice()
		if err != nil {
			return fmt.Errorf("give up keys: %w", err)
		}
		_, gone, err := l.scriptStatus(answer)
		left.Add(gone)
		return err
	})
	if errors.Is(err, errEpoch) {
		l.kick(err.Error())
	}
	if err != nil {
		return int(left.Load()), l.unavailable(err)
	}
	return int(left.Load()), nil
}
