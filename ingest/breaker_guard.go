package ingest

import (
	"context"
	"time"

	"leadevents"
	"leadevents/ingest/ledger"
)

// breakers are those of both stores.
type breakers struct {
	store, ledger *breaker
}

// refusal is what a call is told while either is open: before anything is done
// for it.
func (b breakers) refusal() error {
	for _, each := range []*breaker{b.store, b.ledger} {
		if err := each.refuse(); err != nil {
			return err
		}
	}
	return nil
}

// within ends ctx when either opens.
func (b breakers) within(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, first := b.store.within(ctx, 0)
	ctx, second := b.ledger.within(ctx, 0)
	return ctx, func() { second(); first() }
}

// whileUp is a request's context that ends when a store dies as well, from the first wait
// on: what a breaker wakes is a list under one lock, and of a thousand connections with an event each
// that lock was what they waited for most. One goroutine uses it.
type whileUp struct {
	ctx      context.Context
	breakers breakers
	up       context.Context
	cancel   context.CancelFunc
}

func (w *whileUp) context() context.Context {
	if w.up == nil {
		w.up, w.cancel = w.breakers.within(w.ctx)
	}
	return w.up
}

func (w *whileUp) end() {
	if w.cancel != nil {
		w.cancel()
	}
}

// wait stops what the breakers have left running; their ctx has ended.
func (b breakers) wait() {
	b.store.working.Wait()
	b.ledger.working.Wait()
}

// await waits for a queued call's end. One that nobody has begun when a breaker
// opens is taken back: it holds no place in a group any more, and its client
// need not wait for those before it.
func (c *Call) await(b breakers) (Result, error) {
	store, ledger := b.store.state.Load().up, b.ledger.state.Load().up
	dead := store
	select {
	case <-c.done:
		return c.result, c.err
	case <-store.Done():
	case <-ledger.Done():
		dead = ledger
	}
	if c.fate.CompareAndSwap(waiting, withdrawn) {
		return Result{}, context.Cause(dead)
	}
	<-c.done
	return c.result, c.err
}

// The fates of a queued call: its group begins it, or it is taken back.
const (
	waiting int32 = iota
	begun
	withdrawn
)

// begin takes the calls that have not been taken back.
func begin(calls []*Call) []*Call {
	kept := calls[:0]
	for _, call := range calls {
		if call.fate.CompareAndSwap(waiting, begun) {
			kept = append(kept, call)
		}
	}
	return kept
}

// guardedStore is the store behind its breaker. What each method does when it
// opens follows from what a call has at stake:
//
//	nothing yet (reads, keys of calls)   broken off
//	an insert                            broken off: the outcome is unknown, as
//	                                     after any lost connection; nothing is sealed
//	receipts and contests of what is     finished if it can be within a grace: the
//	sealed already                       client would count wrong otherwise
type guardedStore struct {
	Store
	*breaker
}

// read runs what has nothing at stake.
func read[T any](ctx context.Context, b *breaker, f func(context.Context) (T, error)) (T, error) {
	if err := b.refusal(); err != nil {
		var none T
		return none, err
	}
	ctx, cancel := b.within(ctx, 0)
	defer cancel()
	result, err := f(ctx)
	return result, b.instead(err)
}

// finish runs what the answer to a sealed call needs.
func (b *breaker) finish(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := b.within(ctx, afterSealGrace)
	defer cancel()
	if err := b.await(ctx); err != nil {
		return err
	}
	return b.instead(f(ctx))
}

// InsertEvents implements Store. Only a refusal before it began, and what the
// server itself refused, are errors for the client; else the outcome is unknown.
func (g guardedStore) InsertEvents(ctx context.Context, rows *leadevents.Rows, token, queryID string) error {
	if err := g.refusal(); err != nil {
		return err
	}
	ctx, cancel := g.within(ctx, 0)
	defer cancel()
	err := g.Store.InsertEvents(ctx, rows, token, queryID)
	if (err == nil || isFinal(err)) && g.refusal() == nil {
		g.worked(err)
	}
	return err
}

// Kill implements Store. A dead server cannot be told: it is when it is back, in
// case it only stood still and goes on with what it had read.
func (g guardedStore) Kill(ctx context.Context, queryID string) error {
	_, err := read(ctx, g.breaker, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, g.Store.Kill(ctx, queryID)
	})
	if err != nil && g.state.Load().err != nil {
		g.whenBack(func(ctx context.Context) {
			ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
			defer cancel()
			if err := g.Store.Kill(ctx, queryID); err != nil {
				g.log.Warn("insert could not be ended", "query", queryID, "error", err)
			}
		})
		return nil
	}
	return err
}

// FindKeys implements Store.
func (g guardedStore) FindKeys(ctx context.Context, org leadevents.OrgID, eventType string, phones []uint64, occurredAt []int64) ([]leadevents.StoredKey, error) {
	return read(ctx, g.breaker, func(ctx context.Context) ([]leadevents.StoredKey, error) {
		return g.Store.FindKeys(ctx, org, eventType, phones, occurredAt)
	})
}

// FindDiffering implements Store.
func (g guardedStore) FindDiffering(ctx context.Context, org leadevents.OrgID, eventType string, phones []uint64, occurredAt []int64, hashes []uint64) ([]leadevents.StoredMetadata, error) {
	return read(ctx, g.breaker, func(ctx context.Context) ([]leadevents.StoredMetadata, error) {
		return g.Store.FindDiffering(ctx, org, eventType, phones, occurredAt, hashes)
	})
}

// SaveStates implements Store. Broken off, nothing was answered yet.
func (g guardedStore) SaveStates(ctx context.Context, org leadevents.OrgID, eventType string, phones []uint64, occurredAt []int64) error {
	_, err := read(ctx, g.breaker, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, g.Store.SaveStates(ctx, org, eventType, phones, occurredAt)
	})
	return err
}

// RepairStates implements Store.
func (g guardedStore) RepairStates(ctx context.Context, s ledger.Stretch, receipted bool) error {
	_, err := read(ctx, g.breaker, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, g.Store.RepairStates(ctx, s, receipted)
	})
	return err
}

// LackReceipts implements Store.
func (g guardedStore) LackReceipts(ctx context.Context, batches []ledger.Landed) ([]ledger.Landed, error) {
	return read(ctx, g.breaker, func(ctx context.Context) ([]ledger.Landed, error) {
		return g.Store.LackReceipts(ctx, batches)
	})
}

// ContestsOf implements Store.
func (g guardedStore) ContestsOf(ctx context.Context, batches []leadevents.BatchRef) ([]leadevents.Contest, error) {
	return read(ctx, g.breaker, func(ctx context.Context) ([]leadevents.Contest, error) {
		return g.Store.ContestsOf(ctx, batches)
	})
}

// SaveContests implements Store.
func (g guardedStore) SaveContests(ctx context.Context, contests []leadevents.Contest) error {
	return g.finish(ctx, func(ctx context.Context) error { return g.Store.SaveContests(ctx, contests) })
}

// SaveReceipts implements Store.
func (g guardedStore) SaveReceipts(ctx context.Context, receipts []leadevents.Receipt) error {
	return g.finish(ctx, func(ctx context.Context) error { return g.Store.SaveReceipts(ctx, receipts) })
}

// FindIdempotencyKeys implements Store.
func (g guardedStore) FindIdempotencyKeys(ctx context.Context, keys []leadevents.IdempotencyKey, since leadevents.Millis) (map[leadevents.IdempotencyKey]leadevents.IdempotencyRecord, error) {
	return read(ctx, g.breaker, func(ctx context.Context) (map[leadevents.IdempotencyKey]leadevents.IdempotencyRecord, error) {
		return g.Store.FindIdempotencyKeys(ctx, keys, since)
	})
}

// SaveIdempotencyKeys implements Store. Broken off, they may have been saved: then
// the same key finds its record, and goes on under its batch.
func (g guardedStore) SaveIdempotencyKeys(ctx context.Context, keys []leadevents.IdempotencyKey, records []leadevents.IdempotencyRecord) error {
	_, err := read(ctx, g.breaker, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, g.Store.SaveIdempotencyKeys(ctx, keys, records)
	})
	return err
}

// ReceiptsOf implements Store.
func (g guardedStore) ReceiptsOf(ctx context.Context, batches []leadevents.BatchRef, rejects int) (map[leadevents.BatchRef]leadevents.Receipt, error) {
	return read(ctx, g.breaker, func(ctx context.Context) (map[leadevents.BatchRef]leadevents.Receipt, error) {
		return g.Store.ReceiptsOf(ctx, batches, rejects)
	})
}

// guardedLedger is the ledger behind its breaker. go-redis hears of a context's
// end only between two round trips, so what may be broken off is left behind.
type guardedLedger struct {
	Ledger
	*breaker
	archive *breaker // ClickHouse's: where trust is to be examined, it is asked too
}

// Peek implements Ledger. One that is left behind reads keys and writes owners
// that nobody looks at any more: a group that failed.
func (g guardedLedger) Peek(ctx context.Context, keys []leadevents.Key, claims, owners []leadevents.BatchID) (ledger.View, error) {
	view, err := read(ctx, g.breaker, func(ctx context.Context) (ledger.View, error) {
		ctx, cancel := g.archive.within(ctx, 0)
		defer cancel()
		type result struct {
			view ledger.View
			err  error
		}
		done := make(chan result, 1)
		g.working.Go(func() {
			view, err := g.Ledger.Peek(ctx, keys, claims, owners)
			done <- result{view, err}
		})
		select {
		case r := <-done:
			return r.view, r.err
		case <-ctx.Done():
			return ledger.View{}, context.Cause(ctx)
		}
	})
	return view, g.archive.instead(err)
}

// Seal implements Ledger. One that was sent is waited for: Redis may have done
// it, and the client that sends again would be told duplicates.
func (g guardedLedger) Seal(ctx context.Context, v ledger.View, keys []leadevents.Key, tokens []leadevents.BatchID, keep time.Duration, owners []leadevents.BatchID) ([]leadevents.Contest, error) {
	if err := g.refusal(); err != nil {
		return nil, err
	}
	ctx, cancel := g.within(ctx, afterSealGrace)
	defer cancel()
	contests, err := g.Ledger.Seal(ctx, v, keys, tokens, keep, owners)
	return contests, g.instead(err)
}

// Confirm implements Ledger.
func (g guardedLedger) Confirm(ctx context.Context, v ledger.View, org leadevents.OrgID, batch leadevents.BatchID) error {
	return g.finish(ctx, func(ctx context.Context) error { return g.Ledger.Confirm(ctx, v, org, batch) })
}

// Lock implements Ledger. Locks that come when nobody waits for them any more are
// given back, and those whose end meets a dead Redis are when that is back.
func (g guardedLedger) Lock(ctx context.Context, names []string, d time.Duration) (held []bool, unlock func(), err error) {
	type result struct {
		held   []bool
		unlock func()
	}
	locked, err := read(ctx, g.breaker, func(ctx context.Context) (result, error) {
		ctx, cancel := g.archive.within(ctx, 0)
		defer cancel()
		type answer struct {
			result
			err error
		}
		done := make(chan answer)
		g.working.Go(func() {
			held, unlock, err := g.Ledger.Lock(ctx, names, d)
			select {
			case done <- answer{result{held, unlock}, err}:
			case <-ctx.Done():
				if err == nil {
					unlock()
				}
			}
		})
		select {
		case a := <-done:
			return a.result, a.err
		case <-ctx.Done():
			return result{}, context.Cause(ctx)
		}
	})
	if err != nil {
		return nil, nil, err
	}
	return locked.held, func() { g.unlock(locked.unlock) }, nil
}

func (g guardedLedger) unlock(unlock func()) {
	if g.state.Load().err != nil {
		g.whenBack(func(context.Context) { unlock() })
		return
	}
	up, cancel := g.within(context.Background(), 0)
	defer cancel()
	done := make(chan struct{})
	g.working.Go(func() { unlock(); close(done) })
	select {
	case <-done:
	case <-up.Done(): // twice does no harm: it gives back only what is still ours
		g.whenBack(func(context.Context) { unlock() })
	}
}
