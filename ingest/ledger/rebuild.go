package ledger

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"leadevents"
)

//go:embed scripts/reassign.lua
var reassignScript string

// progress is how far this process' rebuild has come; for Status and metrics.
type progress struct {
	keys   atomic.Int64
	slice  atomic.Int64
	slices atomic.Int64
}

// rebuildLease is for how long a silent rebuilder keeps others from taking over.
const rebuildLease = 30 * time.Second

// errNotOurs says that another process rebuilds.
var errNotOurs = errors.New("another process rebuilds the ledger")

// rebuildOnce rebuilds the ledger of t's epoch if no other process does. What
// goes wrong is logged and tried again at the next look.
func (l *Ledger) rebuildOnce(t *Trust) {
	defer func() {
		l.watch.mu.Lock()
		l.watch.rebuild.running = false
		l.watch.mu.Unlock()
	}()
	started := time.Now()
	err := l.rebuild(l.life, t)
	switch {
	case err == nil:
		l.cfg.Logger.Info("ledger rebuilt", "keys", l.progress.keys.Load(), "seconds", time.Since(started).Seconds(), "epoch", t.Epoch)
		l.kick("the ledger was rebuilt")
	case errors.Is(err, errNotOurs) || l.life.Err() != nil:
	default:
		l.cfg.Logger.Error("ledger rebuild stopped; it goes on from there", "error", err, "keys", l.progress.keys.Load())
	}
}

// rebuild sets the keys of every row that could be asked for by Redis alone:
// those that occurred within the horizon, and those ingested so recently that
// the cold check would not know whether they were sealed. It goes slice by slice
// of occurred_at, the latest first, a few at once (run), and notes in Redis from which
// moment on all keys are set: whoever goes on after a crash starts there, and of
// what occurred since an absent key is new again, long before the rebuild has ended.
//
// It reads the rows that are there when it begins, told by their stamps: under load
// as many again may come meanwhile, and it would run after them.
//
// A row that comes later, or arrives behind the stream belongs to a request that is still to
// seal it (in this epoch), or that has died unanswered: then whoever is told
// duplicate because of it has sealed it (see "Orphans"). So nothing is missed.
func (l *Ledger) rebuild(ctx context.Context, t *Trust) error {
	lease, err := l.takeLease(ctx)
	if err != nil {
		return err
	}
	defer lease.release()
	if t.State == Suspect {
		next := *t
		next.State, next.Number = Rebuilding, t.Number+1
		if written, err := l.writeTrust(ctx, t.Epoch, t.raw, &next, 0, -1); err != nil || !written {
			return errors.Join(err, errWritten(written))
		}
		t = &next
	}
	latest, err := l.archive.LatestStamp(ctx, t.At)
	if err != nil {
		return err
	}
	slices := l.slices(t, max(t.At, latest)+1)
	set, err := l.resumeFrom(ctx, t)
	if err != nil {
		return err
	}
	done := 0
	for done < len(slices)-1 && slices[done].From >= set {
		done++
	}
	l.progress.slices.Store(int64(len(slices)))
	r := &run{l: l, trust: t, lease: lease, slices: slices, done: done, noted: l.progress.keys.Load(), ended: map[int]int64{}}
	if err := r.all(ctx); err != nil {
		return err
	}
	l.progress.slice.Store(int64(len(slices)))
	now, beat, err := l.timeAndBeat(ctx)
	if err != nil {
		return err
	}
	next := *t
	// Where the clock was ahead for a while, rows were stamped and their keys
	// expired by a later time than now: none of them is younger than trust.
	next.State, next.Number, next.Since = Trusted, t.Number+1, max(now, beat)
	if written, err := l.writeTrust(ctx, t.Epoch, t.raw, &next, now, -1); err != nil || !written {
		return errors.Join(err, errWritten(written))
	}
	return l.purge(ctx, t.Era)
}

// timeAndBeat is Redis' clock and the latest moment that it surely lived through.
func (l *Ledger) timeAndBeat(ctx context.Context) (now, beat leadevents.Millis, err error) {
	pipe := l.control.Pipeline()
	clock, seen := pipe.Time(ctx), pipe.Get(ctx, l.beatKey())
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return 0, 0, fmt.Errorf("read Redis' clock: %w", err)
	}
	if err := clock.Err(); err != nil {
		return 0, 0, fmt.Errorf("read Redis' clock: %w", err)
	}
	return leadevents.MillisOf(clock.Val()), millis(seen.Val()), nil
}

func errWritten(written bool) error {
	if written {
		return nil
	}
	return errEpoch
}

// slices cuts the horizon in 72 (hours, by default), counted from the epoch's
// begin so that they are the same after a crash; the first holds the future, and
// one more at the end the old events that came recently; all of them without what
// bears the stamp until or a later one.
func (l *Ledger) slices(t *Trust, until leadevents.Millis) []Stretch {
	horizon := leadevents.Millis((l.cfg.Horizon + l.cfg.Margin).Milliseconds())
	step := max(horizon/72, 1000)
	start := max(t.At-horizon, 0)
	slices := []Stretch{{From: t.At, To: EveryMoment, IngestedUntil: until}}
	for to := t.At; to > start; to -= step {
		slices = append(slices, Stretch{From: max(to-step, start), To: to, IngestedUntil: until})
	}
	recent := t.At.Add(-l.cfg.ShortHorizon - l.cfg.Deadline - l.cfg.Margin)
	return append(slices, Stretch{From: 0, To: start, IngestedSince: recent, IngestedUntil: until})
}

// resumeFrom is the moment from which on all keys are set in this epoch.
func (l *Ledger) resumeFrom(ctx context.Context, t *Trust) (leadevents.Millis, error) {
	noted, err := l.control.HGetAll(ctx, l.rebuildKey()).Result()
	if err != nil {
		return 0, fmt.Errorf("read the progress of the rebuild: %w", err)
	}
	set, keys := setSince(noted, t.Epoch)
	l.progress.keys.Store(keys)
	return cmp.Or(set, EveryMoment), nil
}

// setSince reads what a rebuild of the epoch has noted: the keys of all that occurred at
// set or later are there (zero: none are for sure), and how many have been set in all.
func setSince(noted map[string]string, epoch string) (set leadevents.Millis, keys int64) {
	from, err := strconv.ParseInt(noted["from"], 10, 64)
	if err != nil || noted["epoch"] != epoch {
		return 0, 0
	}
	keys, _ = strconv.ParseInt(noted["keys"], 10, 64)
	return max(leadevents.Millis(from), 1), keys
}

// load sets keys to the batches that stored them, where nobody has sealed them
// in this epoch. Claims that it overrides stay in the values: a batch whose request is
// about to seal meets them there, and records the contests before its answer.
func (l *Ledger) load(ctx context.Context, t *Trust, keys []leadevents.Key, batches []leadevents.BatchID) error {
	plan := l.layout(t).plan(keys, l.cfg.ChunkKeys)
	owners := make([]leadevents.BatchID, len(keys))
	return l.eachChunk(ctx, plan, func(ctx context.Context, chunk []bucket) error {
		on := terms{epoch: t.Epoch, evicted: t.Evicted, latest: leadevents.MaxOccurredAt, keep: l.cfg.ShortHorizon}
		_, err := l.sealChunk(ctx, on, keys, batches, plan, chunk, owners)
		return err
	})
}

func (l *Ledger) reassign(ctx context.Context, t *Trust, contests []leadevents.Contest) error {
	keys := make([]leadevents.Key, len(contests))
	for i := range contests {
		keys[i] = contests[i].Key
	}
	plan := l.layout(t).plan(keys, l.cfg.ChunkKeys)
	return l.eachChunk(ctx, plan, func(ctx context.Context, chunk []bucket) error {
		_, err := l.evalTokens(ctx, "give contested keys to their winners", reassignScript, t, plan, chunk,
			func(i uint32) leadevents.BatchID { return contests[i].Loser },
			func(i uint32) leadevents.BatchID { return contests[i].Winner })
		return err
	})
}

// purge removes the keys of other eras, which nobody will ask for again; they
// would leave by themselves only when the horizon has passed.
func (l *Ledger) purge(ctx context.Context, era string) error {
	prefix := l.cfg.Prefix + "k"
	keep := prefix + era + ":"
	scan := l.control.Scan(ctx, 0, globEscape(prefix)+"*", 1000).Iterator()
	var old []string
	remove := func() error {
		if len(old) == 0 {
			return nil
		}
		err := l.control.Unlink(ctx, old...).Err()
		old = old[:0]
		return err
	}
	for scan.Next(ctx) {
		if key := scan.Val(); !strings.HasPrefix(key, keep) {
			old = append(old, key)
		}
		if len(old) == 1000 {
			if err := remove(); err != nil {
				return fmt.Errorf("remove keys of earlier eras: %w", err)
			}
		}
	}
	if err := errors.Join(scan.Err(), remove()); err != nil {
		return fmt.Errorf("remove keys of earlier eras: %w", err)
	}
	return nil
}

// globEscape takes the meaning off the characters that SCAN's MATCH would read.
func globEscape(s string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`).Replace(s)
}

// lease is the right to rebuild, held while it is renewed.
type lease struct {
	l     *Ledger
	owner string

	mu    sync.Mutex
	until time.Time
}

func (l *Ledger) takeLease(ctx context.Context) (*lease, error) {
	held := &lease{l: l, owner: leadevents.NewBatchID().String(), until: time.Now().Add(rebuildLease)}
	ok, err := l.control.SetNX(ctx, l.rebuilderKey(), held.owner, rebuildLease).Result()
	if err != nil {
		return nil, fmt.Errorf("take the rebuild's lease: %w", err)
	}
	if !ok {
		return nil, errNotOurs
	}
	return held, nil
}

// renew keeps the lease for as long again; it asks Redis when half has gone.
func (held *lease) renew(ctx context.Context) error {
	held.mu.Lock()
	defer held.mu.Unlock()
	if time.Until(held.until) > rebuildLease/2 {
		return nil
	}
	until := time.Now().Add(rebuildLease)
	owner, err := held.l.control.Get(ctx, held.l.rebuilderKey()).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return fmt.Errorf("keep the rebuild's lease: %w", err)
	}
	if owner != held.owner {
		return errNotOurs // two that rebuild at once do no harm, only the work twice
	}
	if err := held.l.control.PExpire(ctx, held.l.rebuilderKey(), rebuildLease).Err(); err != nil {
		return fmt.Errorf("keep the rebuild's lease: %w", err)
	}
	held.until = until
	return nil
}

// release gives the lease back, also when the ledger is closing.
func (held *lease) release() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(held.l.life), time.Second)
	defer cancel()
	if owner, err := held.l.control.Get(ctx, held.l.rebuilderKey()).Result(); err == nil && owner == held.owner {
		held.l.control.Del(ctx, held.l.rebuilderKey())
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
