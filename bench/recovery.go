package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/spf13/cobra"

	"leadevents"
	"leadevents/ingest/ledger"
)

// The goals, and how many times as long a rebuild is waited for.
const (
	recoveryShareGoal = 0.25             // of the normal throughput, while it lasts
	recoveryPer10M    = 60 * time.Second // until trusted, for 10 million keys
	recoveryPatience  = 5
	recoveryWarm      = 5 * time.Second
)

// recoveryBench empties Redis under load.
type recoveryBench struct {
	binary      string
	settings    []string
	rows        uint64
	senders     int
	connections int
	seconds     int
}

func newRecovery(wrap wrapper) *cobra.Command {
	var b recoveryBench
	cmd := &cobra.Command{
		Use:   "recovery",
		Short: "Redis emptied under load: every count, throughput meanwhile, time until the ledger is trusted again",
		Args:  cobra.NoArgs,
		RunE:  wrap(func(ctx context.Context, r *report) error { return b.run(ctx, r) }),
	}
	cmd.Flags().StringVar(&b.binary, "binary", "bin/leadevents", "the server's `file`")
	cmd.Flags().StringArrayVar(&b.settings, "set", nil, "a setting of the server, KEY=VALUE; may be repeated")
	cmd.Flags().Uint64Var(&b.rows, "rows", 10_000_000, "rows that are stored, all within the horizon")
	cmd.Flags().IntVar(&b.senders, "senders", 2, "connections of calls of 50,000 events")
	cmd.Flags().IntVar(&b.connections, "connections", 16, "connections of single events")
	cmd.Flags().IntVar(&b.seconds, "seconds", 30, "how long the load is measured before, and again after")
	return cmd
}

func (b *recoveryBench) run(ctx context.Context, r *report) (err error) {
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
	load, err := newRecoveryLoad(s.OrganizationID, b.rows, leadevents.MillisOf(time.Now()))
	if err != nil {
		return err
	}
	if err := load.fill(ctx, conn); err != nil {
		return err
	}

	// Emptied once without load: then Redis has the keys of all rows.
	atRest, err := s.emptyRedis(ctx, b.patience())
	if err := errors.Join(err, atRest.late); err != nil {
		return err
	}
	if atRest.keys != load.rows {
		return fmt.Errorf("%d keys were rebuilt of %d rows", atRest.keys, load.rows)
	}
	calls, singles := &stream{draw: load.call}, &stream{draw: load.single}
	t, err := b.underLoad(ctx, s, calls, singles)
	if err != nil {
		return err
	}
	b.print(r, t, atRest, calls, singles)

	// Every answer was held to its counts when it came. Now everything is sent again.
	wrong := errors.Join(append(calls.wrong, singles.wrong...)...)
	if wrong == nil {
		wrong = load.proveCounts(ctx, s, conn, calls.next.Load(), singles.next.Load())
	}
	if wrong == nil {
		r.linef("Counts: each of %d big calls and %d single events was answered exactly; sent again, all are duplicates; as many keys are stored as were sent.",
			calls.next.Load(), singles.next.Load())
	}
	if t.loss.late == nil && t.loss.keys < load.rows {
		wrong = errors.Join(wrong, fmt.Errorf("%d keys were rebuilt under load, of %d rows and more", t.loss.keys, load.rows))
	}
	return errors.Join(wrong, t.loss.late)
}

// patience is how long a rebuild is waited for.
func (b *recoveryBench) patience() time.Duration {
	return recoveryPatience * max(recoveryPer10M, time.Duration(float64(recoveryPer10M)*float64(b.rows)/1e7))
}

// proveCounts sends the whole load once more: all of it must be duplicates, and
// each key stored once.
func (l *recoveryLoad) proveCounts(ctx context.Context, s *server, conn driver.Conn, calls, singles uint64) error {
	var body []byte
	for n := range calls {
		call, err := l.call(body, n)
		if err != nil {
			return err
		}
		body = call.body
		a, err := s.post(body)
		if err == nil && a.Duplicates != callRows {
			err = fmt.Errorf("sent again, %d of the %d events of big call %d were duplicates", a.Duplicates, callRows, n)
		}
		if err := errors.Join(err, ctx.Err()); err != nil {
			return err
		}
	}
	fresh := func(n uint64) bool { return !isRepeat(n) }
	a, err := s.again(ctx, l.singles, singles, fresh)
	if err != nil {
		return err
	}
	if a.Duplicates != a.Received {
		return fmt.Errorf("sent again, %d of %d new single events were duplicates", a.Duplicates, a.Received)
	}
	want := l.rows + calls*freshOfCall + uint64(a.Received)
	n, err := storedKeys(ctx, conn)
	if err == nil && n != want {
		err = fmt.Errorf("%d keys are stored, and %d were sent", n, want)
	}
	return err
}

// loss is one loss of all of Redis, and what followed.
type loss struct {
	emptied, trusted time.Time // trusted: or given up
	keys             uint64    // that were rebuilt
	late             error     // it was given up
}

func (l loss) took() time.Duration { return l.trusted.Sub(l.emptied) }

// emptyRedis empties Redis and waits until the ledger is trusted again.
func (s *server) emptyRedis(ctx context.Context, patience time.Duration) (l loss, err error) {
	const rebuilt = "leadevents_ledger_rebuilt_keys_total"
	before, _, err := s.ledger()
	if err != nil {
		return l, err
	}
	metrics, err := s.metrics()
	if err != nil {
		return l, err
	}
	redis, err := dialRedis(ctx, s.Redis.Addr, s.Redis.Password)
	if err != nil {
		return l, err
	}
	defer redis.Close()
	l.emptied = time.Now()
	if _, err := redis.ask("FLUSHALL"); err != nil {
		return l, err
	}
	for l.late == nil {
		now, _, err := s.ledger()
		if err != nil {
			return l, err
		}
		// Until the loss is found out, the old epoch is still shown as trusted.
		if now.State == ledger.Trusted && now.Epoch != before.Epoch {
			break
		}
		if took := time.Since(l.emptied); took > patience {
			l.late = fmt.Errorf("the ledger is %s after %.0f s, at slice %d of %d", now.State, took.Seconds(), now.Slice+1, now.Slices)
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return l, err
		}
	}
	l.trusted = time.Now()
	after, err := s.metrics()
	l.keys = uint64(after[rebuilt] - metrics[rebuilt])
	return l, err
}

// timeline is when the phases of the load began and ended.
type timeline struct {
	warm time.Time
	loss loss
	end  time.Time // zero if it was given up
}

// underLoad sends both streams before, while and after Redis is emptied.
func (b *recoveryBench) underLoad(ctx context.Context, s *server, calls, singles *stream) (t timeline, err error) {
	var work sync.WaitGroup
	sending, stop := context.WithCancel(ctx)
	defer func() {
		stop()
		work.Wait()
	}()
	for range b.senders {
		work.Go(func() { calls.work(sending, s) })
	}
	for range b.connections {
		work.Go(func() { singles.work(sending, s) })
	}
	phase := time.Duration(b.seconds) * time.Second
	if err := pause(ctx, recoveryWarm); err != nil {
		return t, err
	}
	t.warm = time.Now()
	if err := pause(ctx, phase); err != nil {
		return t, err
	}
	if t.loss, err = s.emptyRedis(ctx, b.patience()); err != nil || t.loss.late != nil {
		return t, err
	}
	err = pause(ctx, phase)
	t.end = time.Now()
	return t, err
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
