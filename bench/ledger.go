package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"leadevents"
	"leadevents/internal/loadgen"
)

// The horizons of the default settings.
const (
	horizon      = 72 * time.Hour
	shortHorizon = 10 * time.Minute
)

// listpackLimits are the values of hash-max-listpack-entries that are compared:
// 128 is Redis' own default.
var listpackLimits = []int{128, 512}

type ledgerBench struct {
	rounds int
	memory bool
	times  bool
}

func newLedger(wrap wrapper) *cobra.Command {
	var b ledgerBench
	cmd := &cobra.Command{
		Use:   "ledger",
		Short: "layouts of the keys in Redis: bytes a live key, time for 50,000",
		Args:  cobra.NoArgs,
		RunE:  wrap(func(ctx context.Context, r *report) error { return b.run(ctx, r) }),
	}
	cmd.Flags().IntVar(&b.rounds, "rounds", 10, "how often each time is measured")
	cmd.Flags().BoolVar(&b.memory, "memory", true, "measure bytes")
	cmd.Flags().BoolVar(&b.times, "times", true, "measure times")
	return cmd
}

func (b *ledgerBench) run(ctx context.Context, r *report) (err error) {
	s, err := startStores(ctx, r, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	w, err := dialRedis(ctx, s.redis.Endpoint().Addr, s.redis.Endpoint().Password)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	if b.memory {
		if err := b.measureMemory(ctx, r, w); err != nil {
			return err
		}
	}
	if b.times {
		return b.measureTimes(ctx, r, s, w)
	}
	return nil
}

// memoryLoad is keys that live in Redis at one moment.
type memoryLoad struct {
	name string
	keys uint64
	cfg  loadgen.Config
}

func memoryLoads(now leadevents.Millis) []memoryLoad {
	live := func(perSecond uint64, span time.Duration) memoryLoad {
		n := perSecond * uint64(span/time.Second)
		return memoryLoad{fmt.Sprintf("live stream of 12 types, %d/s, %v h", perSecond, span.Hours()), n, loadgen.Config{
			Seed: 1, Org: 42, BatchRows: 1, Times: loadgen.Times{From: now.Add(-span), To: now, InOrder: n},
		}}
	}
	history := func(name string, n, inOrder uint64) memoryLoad {
		return memoryLoad{name, n, loadgen.Config{Seed: 1, Org: 42, Times: loadgen.History(now, 5, inOrder)}}
	}
	return []memoryLoad{
		live(1, 48*time.Hour), live(10, 12*time.Hour), live(100, 3*time.Hour), live(1000, 30*time.Minute),
		{"20 calls of 50,000 of five minutes", 1_000_000, loadgen.Config{Seed: 1, Org: 42, Times: loadgen.Live(now)}},
		history("backfill over five years, 1 call of 50,000", 50_000, 0),
		history("backfill over five years, 20 calls, no order", 1_000_000, 0),
		history("backfill over five years, 40 calls of 12 types, no order", 2_000_000, 0),
		history("backfill over five years, 20 calls, sorted", 1_000_000, 100_000_000),
	}
}

var memoryLayouts = []layout{
	{plain: true},
	{width: 22, bits: 6},
	{width: 24, bits: 3},
	{width: 26, bits: 3}, // the ledger's defaults
	{width: 28, bits: 4},
	{generation: true, bits: 8},
}

func (b *ledgerBench) measureMemory(ctx context.Context, r *report, w *wire) error {
	for _, limit := range listpackLimits {
		if _, err := w.ask("CONFIG", "SET", "hash-max-listpack-entries", strconv.Itoa(limit)); err != nil {
			return err
		}
		r.linef("\nBytes of Redis' memory a live key (keys a bucket), hash-max-listpack-entries %d:", limit)
		head := []string{""}
		for _, l := range memoryLayouts {
			head = append(head, l.String())
		}
		var rows [][]string
		for _, load := range memoryLoads(leadevents.MillisOf(time.Now())) {
			row := []string{load.name}
			for _, l := range memoryLayouts {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				bytes, perBucket, err := memoryOf(w, load, l)
				if err != nil {
					return fmt.Errorf("%s in %s: %w", load.name, l, err)
				}
				row = append(row, fmt.Sprintf("%.0f (%.3g)", bytes, perBucket))
			}
			rows = append(rows, row)
		}
		r.table(head, rows)
	}
	return nil
}

// memoryOf fills an empty Redis with the keys of a load and returns the bytes a
// key, and keys a bucket.
func memoryOf(w *wire, load memoryLoad, l layout) (bytes, perBucket float64, err error) {
	g, err := loadgen.New(load.cfg)
	if err != nil {
		return 0, 0, err
	}
	if _, err := w.ask("FLUSHALL", "SYNC"); err != nil {
		return 0, 0, err
	}
	now := leadevents.MillisOf(time.Now())
	before, err := w.memory()
	if err != nil {
		return 0, 0, err
	}
	for first := uint64(0); first < load.keys; first += callRows {
		commands, replies := l.sealing(g, first, min(callRows, load.keys-first), now, shortHorizon, horizon)
		if _, err := w.pipeline(commands, replies); err != nil {
			return 0, 0, err
		}
	}
	after, err := w.memory()
	if err != nil {
		return 0, 0, err
	}
	buckets, err := w.ask("DBSIZE")
	if err != nil {
		return 0, 0, err
	}
	n, err := strconv.ParseFloat(buckets, 64)
	if err == nil && time.Since(now.Time()) > shortHorizon {
		err = fmt.Errorf("keys have expired before they were measured, after %s", shortHorizon)
	}
	return float64(after-before) / float64(load.keys), float64(load.keys) / n, err
}

// memory is what Redis uses for its data: without the buffers of connections
// and of the append-only file, which come and go.
func (w *wire) memory() (int64, error) {
	var total int64
	for i, name := range []string{"used_memory", "mem_clients_normal", "mem_aof_buffer"} {
		text, err := w.info("memory", name)
		if err != nil {
			return 0, err
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("INFO memory: %w", err)
		}
		if i > 0 {
			n = -n
		}
		total += n
	}
	return total, nil
}
