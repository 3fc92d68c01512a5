package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"leadevents"
	"leadevents/internal/chaos"
)

// The goal: of the calls that are sent when a store has been dead for a second,
// this share is answered 503 within this time.
const (
	refusedShareGoal = 0.99
	refusedWithin    = 100 * time.Millisecond
	floodWarm        = 2 * time.Second
)

// backpressureBench is what clients are told while a store is dead, or slow.
type backpressureBench struct {
	binary      string
	settings    []string
	connections int
	seconds     int
	only        string
}

func newBackpressure(wrap wrapper) *cobra.Command {
	var b backpressureBench
	cmd := &cobra.Command{
		Use:   "backpressure",
		Short: "what clients are told, and how soon, while a store is dead or slow",
		Args:  cobra.NoArgs,
		RunE:  wrap(func(ctx context.Context, r *report) error { return b.run(ctx, r) }),
	}
	cmd.Flags().StringVar(&b.binary, "binary", "bin/leadevents", "the server's `file`")
	cmd.Flags().StringArrayVar(&b.settings, "set", nil, "a setting of the server, KEY=VALUE; may be repeated")
	cmd.Flags().IntVar(&b.connections, "connections", 64, "connections of single events")
	cmd.Flags().IntVar(&b.seconds, "seconds", 10, "how long each fault lasts; at least 2")
	cmd.Flags().StringVar(&b.only, "only", "", "only the faults whose `NAME` has this in it: 'Redis killed'")
	return cmd
}

func (b *backpressureBench) run(ctx context.Context, r *report) error {
	if b.seconds < 2 {
		return errors.New("--seconds has to be 2 at least: the goal is about what follows the first")
	}
	var (
		dead, slow [][]string
		missed     []string
		refused    int
	)
	for _, f := range faults {
		if !strings.Contains(f.name, b.only) {
			continue
		}
		o, err := b.suffer(ctx, r, f)
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		if f.slow {
			slow = append(slow, o.slowRow(f.name))
			refused += o.all.refused
			continue
		}
		dead = append(dead, o.deadRow(f.name))
		if o.later.share() < refusedShareGoal {
			missed = append(missed, f.name)
		}
	}
	if len(dead)+len(slow) == 0 {
		return fmt.Errorf("no fault has %q in its name", b.only)
	}
	r.linef("\n%d connections of single events, each sends its next as soon as the last is answered, also after a 503; %d s of each fault, on stores and a server of its own. A share counts calls that are answered 503 within %d ms; those in flight when the store dies are of the first second, after which new connections take over from those that still wait.",
		b.connections, b.seconds, refusedWithin.Milliseconds())
	if len(dead) > 0 {
		r.table([]string{"", "first 503 after, ms", "share in the first second", "longest, ms", "share after it", "calls/s", "p50 ms", "p99 ms", "max ms", "store back to first 200, ms", "server's peak MiB"}, dead)
		r.linef("Goal: after the first second at least %.0f %% are answered 503 within %d ms, %s%s.",
			100*refusedShareGoal, refusedWithin.Milliseconds(), verdict(len(missed) == 0), named(missed))
	}
	if len(slow) > 0 {
		r.linef("\nStores that still answer:")
		r.table([]string{"", "calls/s", "p50 ms", "p99 ms", "max ms", "503s", "server's peak MiB"}, slow)
		r.linef("Goal: nobody is refused because a store is slow, %s (%d 503s).", verdict(refused == 0), refused)
	}
	return nil
}

func named(missed []string) string {
	if len(missed) == 0 {
		return ""
	}
	return fmt.Sprintf(" (%q)", missed)
}

// outcome is what came of one fault.
type outcome struct {
	first503     time.Duration // since its begin; zero if there was none
	first, later tally         // of the first second, and of the rest
	all          tally
	back         time.Duration // from the store's return to the first 200
	peakMiB      float64
}

// tally is calls of a stretch of time.
type tally struct {
	calls, refused, inTime int // answered 503; and within the time
	latencies              sample
	took                   time.Duration
}

func (t *tally) add(a attempt) {
	t.calls++
	t.latencies = append(t.latencies, a.ended-a.sent)
	if a.status == http.StatusServiceUnavailable {
		t.refused++
		if a.ended-a.sent <= refusedWithin {
			t.inTime++
		}
	}
}

func (t *tally) share() float64 { return float64(t.inTime) / float64(max(t.calls, 1)) }

// columns are calls a second and their times.
func (t *tally) columns() []string {
	return []string{fmt.Sprintf("%.0f", float64(t.calls)/t.took.Seconds()),
		ms(t.latencies.quantile(0.5)), ms(t.latencies.quantile(0.99)), ms(t.latencies.quantile(1))}
}

func (o *outcome) deadRow(name string) []string {
	first503 := "none"
	if o.first503 > 0 {
		first503 = ms(o.first503)
	}
	row := []string{name, first503, percent(o.first.share()), ms(o.first.latencies.quantile(1)), percent(o.later.share())}
	return append(append(row, o.later.columns()...), ms(o.back), fmt.Sprintf("%.0f", o.peakMiB))
}

func (o *outcome) slowRow(name string) []string {
	return append(append([]string{name}, o.all.columns()...), fmt.Sprint(o.all.refused), fmt.Sprintf("%.0f", o.peakMiB))
}

func percent(share float64) string { return fmt.Sprintf("%.2f %%", 100*share) }

// suffer runs one fault on stores and a server of its own.
func (b *backpressureBench) suffer(ctx context.Context, r *report, f fault) (o *outcome, err error) {
	st, err := startStores(ctx, r, false)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, st.stop()) }()
	clickHouse, redis := st.engine.Endpoint().Native, st.redis.Endpoint().Addr
	var proxy *chaos.Proxy
	if f.proxied {
		target := &clickHouse
		if f.redis {
			target = &redis
		}
		store := *target
		if proxy, err = chaos.NewProxy(func() string { return store }); err != nil {
			return nil, err
		}
		defer proxy.Close()
		*target = proxy.Addr()
	}
	s, err := startServing(ctx, b.binary, st, clickHouse, redis, append([]string{"log.requests=false"}, b.settings...)...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()

	now := leadevents.MillisOf(time.Now())
	most := uint64((4 * time.Hour).Milliseconds()) // new ones that are live: 14 million
	events, err := ordered(s.OrganizationID, 1, 1, most, now.Add(-4*time.Hour), now)
	if err != nil {
		return nil, err
	}
	flood := startFlood(ctx, s, events, most, b.connections)
	began, over, back, err := b.inflict(ctx, f, st.victim(f.redis, proxy), flood)
	if err := errors.Join(err, flood.stop()); err != nil {
		return nil, err
	}
	o = flood.outcome(began, over, back)
	if o.peakMiB, err = s.peakMemory(); err != nil {
		return nil, err
	}
	return o, flood.holds(ctx)
}

// inflict lets the flood flow, begins the fault, ends it, and waits until calls
// are answered again: the moments of the begin, of the order to end, and of the
// store's return.
func (b *backpressureBench) inflict(ctx context.Context, f fault, v victim, flood *flood) (began, over, back time.Duration, err error) {
	if err := flood.awaitAnswer(ctx, 0); err != nil {
		return 0, 0, 0, err
	}
	if err := pause(ctx, floodWarm); err != nil {
		return 0, 0, 0, err
	}
	began = flood.now()
	end, err := f.begin(v)
	if err == nil {
		err = pause(ctx, began+time.Second-flood.now())
	}
	if err == nil {
		// The first may all hold calls whose outcome the server waits for (a seal
		// that was sent, 5 s), and would say nothing of what follows.
		flood.relieve(ctx, b.connections)
		err = pause(ctx, began+time.Duration(b.seconds)*time.Second-flood.now())
	}
	over = flood.now()
	if end != nil { // a store that stands still cannot be stopped either
		starting, cancel := context.WithTimeout(context.WithoutCancel(ctx), startLimit)
		defer cancel()
		err = errors.Join(err, end(starting))
	}
	back = flood.now()
	if err == nil {
		err = flood.awaitAnswer(ctx, over)
	}
	return began, over, back, err
}

// outcome judges the attempts, which are in the order of their ends.
func (f *flood) outcome(began, over, back time.Duration) *outcome {
	o := &outcome{}
	o.first.took, o.later.took, o.all.took = time.Second, over-began-time.Second, over-began
	answered := false
	for _, a := range f.attempts {
		if a.ended > began && a.sent < over {
			o.all.add(a)
			if a.sent < began+time.Second {
				o.first.add(a)
			} else {
				o.later.add(a)
			}
			if o.first503 == 0 && a.status == http.StatusServiceUnavailable {
				o.first503 = a.ended - began
			}
		}
		if !answered && a.sent >= over && a.status == http.StatusOK {
			answered = true
			o.back = max(a.ended-back, 0) // it may have been answered before its supervisor knew
		}
	}
	return o
}
