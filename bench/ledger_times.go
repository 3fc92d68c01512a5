package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"time"

	"leadevents"
	"leadevents/clickhouse"
	"leadevents/ingest/ledger"
	"leadevents/internal/loadgen"
)

// timedBits are the bits that give the keys a bucket of one call in one slot
// that are compared; the ledger takes no more than 12.
var timedBits = []uint{6, 7, 8, 9, 10, 12}

// arrangement is one way to keep the keys of a call whose times are measured:
// the real ledger, or (nil) plain keys over one bare connection.
type arrangement struct {
	name   string
	limit  int // hash-max-listpack-entries
	ledger *ledger.Ledger
}

// steps of a call with the ledger, in order.
var timedSteps = []string{"peek, new", "seal", "peek, all duplicates"}

// measureTimes sends the ledger calls of 50,000 keys whose buckets are new, so
// that only their own keys are in them.
func (b *ledgerBench) measureTimes(ctx context.Context, r *report, s *stores, w *wire) (err error) {
	all := []arrangement{{name: "plain keys, one bare connection"}}
	for _, bits := range timedBits {
		// Both limits share a ledger: how a bucket is packed is decided when it is written.
		l, err := b.openLedger(ctx, s, bits)
		if err != nil {
			return fmt.Errorf("open a ledger of 2^%d buckets: %w", bits, err)
		}
		defer func() { err = errors.Join(err, l.Close()) }()
		for _, limit := range listpackLimits {
			all = append(all, arrangement{fmt.Sprintf("%d keys a bucket, listpack up to %d", callRows>>bits, limit), limit, l})
		}
	}
	samples := make(map[string]map[string]sample)
	for round := range b.rounds + 1 {
		for _, i := range rand.Perm(len(all)) {
			a := all[i]
			took, err := b.timeCall(ctx, a, w, fmt.Sprintf("page_view_%d_%d", round, i), uint64(round))
			if err != nil {
				return fmt.Errorf("%s: %w", a.name, err)
			}
			if round == 0 {
				continue
			}
			if samples[a.name] == nil {
				samples[a.name] = map[string]sample{}
			}
			for n, step := range timedSteps {
				samples[a.name][step] = append(samples[a.name][step], took[n])
			}
		}
	}
	var rows [][]string
	for _, a := range all {
		row := []string{a.name}
		for _, step := range timedSteps {
			row = append(row, samples[a.name][step].String())
		}
		rows = append(rows, row)
	}
	r.linef("\nms for a call of 50,000 keys, %d rounds, median (quartiles); buckets with the ledger's own code on 2 connections:", b.rounds)
	r.table(append([]string{""}, timedSteps...), rows)
	return nil
}

// openLedger starts a ledger with a database and a prefix of its own, and waits
// until it is trusted.
func (b *ledgerBench) openLedger(ctx context.Context, s *stores, bits uint) (*ledger.Ledger, error) {
	database := fmt.Sprintf("bench_ledger_%d", bits)
	outside, err := s.connect("default")
	if err != nil {
		return nil, err
	}
	defer outside.Close()
	if err := createDatabase(ctx, outside, database); err != nil {
		return nil, err
	}
	e := s.engine.Endpoint()
	archive, err := clickhouse.Open(clickhouse.Config{Addrs: []string{e.Native}, User: e.User, Password: e.Password, Database: database})
	if err != nil {
		return nil, err
	}
	redis := s.redis.Endpoint()
	l, err := ledger.New(ledger.Config{
		Addr: redis.Addr, Password: redis.Password, Prefix: fmt.Sprintf("le%d", bits), SlotBits: bits,
	}, archive)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		if view, err := l.Peek(ctx, nil, nil, nil); err == nil && view.Trusted() {
			return l, nil
		} else if ctx.Err() != nil {
			return nil, errors.Join(errors.New("the ledger did not become trusted"), err, l.Close())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// timeCall takes one call of one event type through the three steps.
func (b *ledgerBench) timeCall(ctx context.Context, a arrangement, w *wire, eventType string, seed uint64) ([]time.Duration, error) {
	// Five minutes within one slot of the ledger's default width.
	const slot = leadevents.Millis(1 << 26)
	from := (leadevents.MillisOf(time.Now()) - slot) / slot * slot
	g, err := loadgen.New(loadgen.Config{
		Seed: seed, Org: 42, EventTypes: []string{eventType},
		Times: loadgen.Times{From: from, To: from.Add(5 * time.Minute)},
	})
	if err != nil {
		return nil, err
	}
	calls := w.plainCalls(g)
	if a.ledger != nil {
		if _, err := w.ask("CONFIG", "SET", "hash-max-listpack-entries", strconv.Itoa(a.limit)); err != nil {
			return nil, err
		}
		calls = ledgerCalls(ctx, a.ledger, g)
	}
	var took []time.Duration
	for n, call := range calls {
		runtime.GC()
		began := time.Now()
		known, err := call()
		took = append(took, time.Since(began))
		// Two events may have one key by chance.
		if err == nil && (n < 2 && known > callRows/1000 || n == 2 && known != callRows) {
			err = fmt.Errorf("%d of 50,000 keys were known", known)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", timedSteps[n], err)
		}
	}
	return took, nil
}

// ledgerCalls are peek, seal and peek of one call's keys; each returns how many
// it was told are another's.
func ledgerCalls(ctx context.Context, l *ledger.Ledger, g *loadgen.Generator) []func() (int, error) {
	var (
		keys   = make([]leadevents.Key, callRows)
		tokens = make([]leadevents.BatchID, callRows)
		owners = make([]leadevents.BatchID, callRows)
		e      loadgen.Event
		view   ledger.View
	)
	for i := range keys {
		g.Event(uint64(i), &e)
		keys[i], tokens[i] = g.Key(&e), e.Batch
	}
	peek := func() (known int, err error) {
		view, err = l.Peek(ctx, keys, nil, owners)
		for _, owner := range owners {
			if owner != 0 {
				known++
			}
		}
		return known, err
	}
	seal := func() (known int, err error) {
		contests, err := l.Seal(ctx, view, keys, tokens, 0, owners)
		return len(contests), err
	}
	return []func() (int, error){peek, seal, peek}
}

// plainCalls are the same with plain keys: GET, SET NX GET PXAT, GET.
func (w *wire) plainCalls(g *loadgen.Generator) []func() (int, error) {
	var (
		gets, key []byte
		e         loadgen.Event
	)
	for i := range uint64(callRows) {
		g.Event(i, &e)
		key = plainKey(key[:0], g, &e)
		gets = appendCommand(gets, "GET", string(key))
	}
	sets, _ := layout{plain: true}.sealing(g, 0, callRows, leadevents.MillisOf(time.Now()), shortHorizon, horizon)
	send := func(commands []byte) func() (int, error) {
		return func() (int, error) { return w.pipeline(commands, callRows) }
	}
	return []func() (int, error){send(gets), send(sets), send(gets)}
}
