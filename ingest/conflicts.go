package ingest

import (
	"bytes"
	"context"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/sync/errgroup"

	"leadevents"
)

// conflicts counts the duplicates whose metadata is not what is stored: a key of phone,
// type and time hides a correction, and nobody hears of it. It is told, and changes nothing.
//
// What this group stored is compared here, byte by byte; what is stored already in
// ClickHouse, by a hash that comes with the keys. That reads the metadata of all the
// duplicates, so it is off by default (BenchmarkAllDuplicates, docs/decisions.md). Of a
// key that two batches store until a merge, either row counts as stored.
//
// It comes after the seal, which has decided the counts, and may not harm them: if
// ClickHouse does not say, the calls are answered without it.
func (g *group) conflicts(ctx context.Context, inserted func(k int) bool) {
	if !g.in.cfg.Conflicts {
		return
	}
	defer g.in.metrics.step("conflicts")()
	limit := g.in.cfg.InsertTimeout
	if until, ok := ctx.Deadline(); ok { // the receipts need time too
		limit = min(limit, time.Until(until)/2)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	mine := func(k int, call *Call) bool { return g.tokens[k] == call.id && inserted(k) }

	// Of each key the metadata of its first row goes along.
	asked := map[family][]int32{}
	hashes := make([]uint64, len(g.keys))
	for k := range g.keys {
		if !inserted(k) {
			f := family{g.keys[k].Org, g.keys[k].EventType}
			asked[f] = append(asked[f], int32(k))
			hashes[k] = xxhash.Sum64(g.events[k].Metadata)
		}
	}
	var mu sync.Mutex
	stored := map[int32]uint64{} // hashes of those that differ from their key's first row
	looks, looking := errgroup.WithContext(ctx)
	looks.SetLimit(4)
	for f, keys := range asked {
		looks.Go(func() error {
			differ, err := g.differ(looking, f, keys, hashes)
			mu.Lock()
			defer mu.Unlock()
			for k, hash := range differ {
				stored[k] = hash
			}
			return err
		})
	}
	if err := looks.Wait(); err != nil {
		g.in.log.Warn("conflicts could not be counted", "calls", len(g.calls), "error", err)
		return
	}
	for c, call := range g.calls {
		found := &leadevents.Conflicts{}
		for r, place := range g.rows[c] {
			k, first := int(place), place >= 0
			if !first {
				k = int(^place)
			}
			if first && mine(k, call) {
				continue
			}
			metadata := call.Events[r].Metadata
			if inserted(k) {
				if bytes.Equal(metadata, g.events[k].Metadata) {
					continue
				}
			} else {
				hash, differs := stored[int32(k)]
				if !differs {
					hash = hashes[k]
				}
				if xxhash.Sum64(metadata) == hash {
					continue
				}
			}
			found.Count++
			if len(found.Rows) < leadevents.MaxConflictsShown {
				found.Rows = append(found.Rows, call.Index[r])
			}
		}
		call.result.Conflicts = found
	}
}

// differ asks which keys of a family are stored with other metadata, and with which.
func (g *group) differ(ctx context.Context, f family, keys []int32, hashes []uint64) (map[int32]uint64, error) {
	phones, times, where := g.question(keys)
	sums := make([]uint64, len(keys))
	for i, k := range keys {
		sums[i] = hashes[k]
	}
	found, err := g.in.store.FindDiffering(ctx, f.org, f.eventType, phones, times, sums)
	if err != nil {
		return nil, err
	}
	differ := make(map[int32]uint64, len(found))
	for _, row := range found {
		if k, ok := where(row.Phone, row.OccurredAt); ok {
			differ[k] = row.Hash
		}
	}
	return differ, nil
}
