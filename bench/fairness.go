package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/spf13/cobra"

	"leadevents"
	"leadevents/internal/loadgen"
)

// fairnessBench is small calls of very many connections beside giant ones.
type fairnessBench struct {
	binary      string
	settings    []string
	connections int
	few         int
	seconds     int
	giants      int
	senders     int
	seed        uint64 // the next load's
}

func newFairness(wrap wrapper) *cobra.Command {
	var b fairnessBench
	cmd := &cobra.Command{
		Use:   "fairness",
		Short: "single events of 1,000 connections and calls of 50,000 events, alone and beside each other; Idempotency-Keys; parts a second",
		Args:  cobra.NoArgs,
		RunE:  wrap(func(ctx context.Context, r *report) error { return b.run(ctx, r) }),
	}
	cmd.Flags().StringVar(&b.binary, "binary", "bin/leadevents", "the server's `file`")
	cmd.Flags().StringArrayVar(&b.settings, "set", nil, "a setting of the server, KEY=VALUE; may be repeated")
	cmd.Flags().IntVar(&b.connections, "connections", 1000, "connections of single events")
	cmd.Flags().IntVar(&b.few, "few", 64, "connections where fewer are measured beside them")
	cmd.Flags().IntVar(&b.seconds, "seconds", 15, "how long single events are sent alone")
	cmd.Flags().IntVar(&b.giants, "giants", 60, "calls of 50,000 events")
	cmd.Flags().IntVar(&b.senders, "senders", 4, "connections that send them")
	return cmd
}

func (b *fairnessBench) run(ctx context.Context, r *report) (err error) {
	s, err := startServer(ctx, b.binary, append([]string{"log.requests=false"}, b.settings...)...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	if err := s.note(ctx, r); err != nil {
		return err
	}
	conn, err := connectClickHouse(s.ClickHouse.Native, s.ClickHouse.User, s.ClickHouse.Password, s.ClickHouse.Database)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()

	alone := time.Duration(b.seconds) * time.Second
	if _, err := b.stream(ctx, s, b.few, time.Second, false, nil); err != nil { // warm
		return err
	}
	var (
		small, parts, big [][]string
		wrong             []error
	)
	for _, phase := range []struct {
		name        string
		connections int
		keyed       bool
		beside      bool
	}{
		{fmt.Sprintf("%d connections", b.few), b.few, false, false},
		{fmt.Sprintf("%d connections", b.connections), b.connections, false, false},
		{fmt.Sprintf("%d connections, Idempotency-Key", b.few), b.few, true, false},
		{fmt.Sprintf("%d connections, Idempotency-Key", b.connections), b.connections, true, false},
		{"giants alone", 0, false, true},
		{fmt.Sprintf("%d connections beside giants", b.connections), b.connections, false, true},
		{fmt.Sprintf("%d connections, Idempotency-Key, beside giants", b.connections), b.connections, true, true},
	} {
		watch, err := watchParts(ctx, conn)
		if err != nil {
			return err
		}
		began := time.Now()
		var (
			giants *singles
			work   sync.WaitGroup
			ended  chan struct{}
		)
		if phase.beside {
			bodies, err := b.giantBodies(s)
			if err != nil {
				return err
			}
			began = time.Now()
			ended = make(chan struct{})
			work.Go(func() {
				defer close(ended)
				giants = s.postAll(ctx, bodies, b.senders)
			})
		}
		if phase.connections > 0 {
			result, err := b.stream(ctx, s, phase.connections, alone, phase.keyed, ended)
			if err != nil {
				wrong = append(wrong, fmt.Errorf("%s: %w", phase.name, err))
			}
			small = append(small, append(result.row(phase.name), fmt.Sprintf("%.2f", result.evenness())))
		}
		work.Wait()
		took := time.Since(began)
		if giants != nil {
			if giants.failed > 0 {
				wrong = append(wrong, fmt.Errorf("%s: %d giant calls failed: %w", phase.name, giants.failed, giants.first))
			} else if want := b.giants * callRows; giants.inserted > want || giants.inserted < want-want/1000 {
				wrong = append(wrong, fmt.Errorf("%s: %d of %d giants' events were inserted", phase.name, giants.inserted, want))
			}
			big = append(big, append([]string{phase.name, fmt.Sprintf("%.0f", float64(giants.inserted)/giants.took.Seconds())}, giants.row("")[2:]...))
		}
		row, err := watch.row(phase.name, took)
		if err != nil {
			return err
		}
		parts = append(parts, row)
	}
	r.linef("\nSingle events, each connection sends its next when the last is answered, for %s or as long as the giants take. Fairness: the fewest answers of a connection over the most.", alone)
	r.table(append(slices.Clone(singleHead), "fairness"), small)
	r.linef("Giants: %d calls of 50,000 events from %d connections.", b.giants, b.senders)
	r.table([]string{"", "events/s", "p50 ms", "p99 ms", "max ms", "errors"}, big)
	r.linef("Parts that the inserts made a second, and the most that were active at once in one partition (ClickHouse refuses beyond 3,000).")
	r.table(append([]string{""}, partHead...), parts)
	return errors.Join(wrong...)
}

func (b *fairnessBench) nextSeed() uint64 {
	b.seed++
	return 1000 + b.seed
}

// giantBodies are calls of 50,000 live events with keys of their own.
func (b *fairnessBench) giantBodies(s *server) ([][]byte, error) {
	g, err := loadgen.New(loadgen.Config{Seed: b.nextSeed(), Org: s.OrganizationID, Times: loadgen.Live(leadevents.MillisOf(time.Now()))})
	if err != nil {
		return nil, err
	}
	bodies := make([][]byte, b.giants)
	for i := range bodies {
		bodies[i] = g.AppendRequest(nil, uint64(i), uint64(b.giants)*callRows)
	}
	return bodies, nil
}

// streamed is what came of single events and how they spread over connections.
type streamed struct {
	singles
	answers []int // of each connection
}

// evenness is the fewest answers of a connection over the most.
func (s *streamed) evenness() float64 {
	if slices.Max(s.answers) == 0 {
		return 0
	}
	return float64(slices.Min(s.answers)) / float64(slices.Max(s.answers))
}

// stream sends single events from many connections until ended is closed, or for
// a time if it is nil.
func (b *fairnessBench) stream(ctx context.Context, s *server, connections int, d time.Duration, keyed bool, ended <-chan struct{}) (*streamed, error) {
	seed := b.nextSeed()
	g, err := loadgen.New(loadgen.Config{
		Seed: seed, Org: s.OrganizationID, BatchRows: 1, Leads: 1 << 32, Times: loadgen.Live(leadevents.MillisOf(time.Now())),
	})
	if err != nil {
		return nil, err
	}
	if ended == nil {
		over := make(chan struct{})
		time.AfterFunc(d, func() { close(over) })
		ended = over
	}
	var (
		result = &streamed{answers: make([]int, connections)}
		next   atomic.Uint64
		mu     sync.Mutex
		all    sync.WaitGroup
	)
	began := time.Now()
	for n := range connections {
		all.Go(func() {
			var (
				mine     sample
				inserted int
				failed   int
				first    error
				body     []byte
				key      string
			)
			for {
				select {
				case <-ended:
				case <-ctx.Done():
				default:
					i := next.Add(1) - 1
					body = g.AppendRequest(body[:0], i, 1<<40)
					if keyed {
						key = fmt.Sprintf("%d-%d", seed, i)
					}
					sent := time.Now()
					a, err := s.postKeyed(body, key)
					if err != nil {
						failed++
						first = err
						continue
					}
					mine = append(mine, time.Since(sent))
					inserted += a.Inserted
					continue
				}
				break
			}
			mu.Lock()
			defer mu.Unlock()
			result.latencies = append(result.latencies, mine...)
			result.answers[n] = len(mine)
			result.inserted += inserted
			result.failed += failed
			if result.first == nil {
				result.first = first
			}
		})
	}
	all.Wait()
	result.took = time.Since(began)
	return result, errors.Join(ctx.Err(), result.err(len(result.latencies)+result.failed))
}

var partHead = []string{"lead_events", "lead_states", "batches", "idempotency_keys", "most active"}

// partWatch counts parts.
type partWatch struct {
	conn   driver.Conn
	before map[string]uint64
	most   atomic.Uint64
	stop   context.CancelFunc
	done   sync.WaitGroup
	err    error
}

func watchParts(ctx context.Context, conn driver.Conn) (*partWatch, error) {
	w := &partWatch{conn: conn}
	var err error
	if w.before, err = madeParts(ctx, conn); err != nil {
		return nil, err
	}
	ctx, w.stop = context.WithCancel(ctx)
	w.done.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(500 * time.Millisecond):
			}
			var n uint64
			row := conn.QueryRow(context.WithoutCancel(ctx), `SELECT max(n) FROM (SELECT count() AS n FROM system.parts WHERE active AND database = currentDatabase() GROUP BY table, partition)`)
			if w.err = row.Scan(&n); w.err != nil {
				return
			}
			w.most.Store(max(n, w.most.Load()))
		}
	})
	return w, nil
}

// madeParts is the number of inserted parts of each table: their blocks are
// numbered.
func madeParts(ctx context.Context, conn driver.Conn) (map[string]uint64, error) {
	rows, err := conn.Query(ctx, `SELECT table, toUInt64(max(max_block_number)) FROM system.parts WHERE database = currentDatabase() GROUP BY table`)
	if err != nil {
		return nil, fmt.Errorf("count parts: %w", err)
	}
	defer rows.Close()
	made := map[string]uint64{}
	for rows.Next() {
		var (
			table string
			n     uint64
		)
		if err := rows.Scan(&table, &n); err != nil {
			return nil, fmt.Errorf("count parts: %w", err)
		}
		made[table] = n
	}
	return made, rows.Err()
}

func (w *partWatch) row(name string, took time.Duration) ([]string, error) {
	w.stop()
	w.done.Wait()
	after, err := madeParts(context.Background(), w.conn)
	if err := errors.Join(err, w.err); err != nil {
		return nil, err
	}
	row := []string{name}
	for _, table := range partHead[:len(partHead)-1] {
		row = append(row, fmt.Sprintf("%.0f", float64(after[table]-w.before[table])/took.Seconds()))
	}
	return append(row, fmt.Sprint(w.most.Load())), nil
}
