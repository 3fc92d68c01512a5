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
		gone, err := l.evalTokens(ctx, "give up keys", releaseScript, trust, plan, chunk, func(i uint32) leadevents.BatchID { return owners[i] })
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

// evalTokens runs a script on a chunk of keys, each with tokens: of gives the batch of a
// key by its index in what was planned, what begins the error. KEYS are the epoch and the buckets; ARGV is the epoch, then of each bucket n, n
// fields, and n tokens for each of of. It gives the second part of the answer.
func (l *Ledger) evalTokens(ctx context.Context, what, script string, trust *Trust, plan *plan, chunk []bucket, of ...func(key uint32) leadevents.BatchID) (int64, error) {
	names, args := []string{l.epochKey()}, []any{trust.Epoch}
	for _, b := range chunk {
		names = append(names, b.name)
		args = append(args, b.end-b.start)
		for i := b.start; i < b.end; i++ {
			args = append(args, plan.field(i))
		}
		for _, batch := range of {
			for i := b.start; i < b.end; i++ {
				args = append(args, token(batch(plan.order[i])))
			}
		}
	}
	answer, err := l.data.Eval(ctx, script, names, args...).Slice()
	if err != nil {
		return 0, fmt.Errorf("%s: %w", what, err)
	}
	_, n, err := l.scriptStatus(answer)
	return n, err
}
