package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/spf13/cobra"

	"leadevents"
	"leadevents/internal/loadgen"
)

type durabilityBench struct {
	binary          string
	rounds, singles int
	connections     int
}

func newDurability(wrap wrapper) *cobra.Command {
	var b durabilityBench
	cmd := &cobra.Command{
		Use:   "durability",
		Short: "what it costs that acknowledged rows and keys survive a power cut",
		Args:  cobra.NoArgs,
		RunE:  wrap(func(ctx context.Context, r *report) error { return b.run(ctx, r) }),
	}
	cmd.Flags().StringVar(&b.binary, "binary", "bin/leadevents", "the server's `file`")
	cmd.Flags().IntVar(&b.rounds, "rounds", 10, "how often each is measured")
	cmd.Flags().IntVar(&b.singles, "singles", 5_000, "single-event requests a round")
	cmd.Flags().IntVar(&b.connections, "connections", 64, "connections that send them")
	return cmd
}

// durable is one setting of both stores.
type durable struct {
	name        string
	fsync       bool   // clickhouse.fsync
	appendFsync string // of Redis
}

var durables = []durable{
	{"default: no fsync, everysec", false, "everysec"},
	{"clickhouse.fsync", true, "everysec"},
	{"Redis appendfsync always", false, "always"},
	{"both", true, "always"},
}

// run keeps two servers, one with clickhouse.fsync, for all the time: what the
// other half of a round does on the disk falls on both alike.
func (b *durabilityBench) run(ctx context.Context, r *report) (err error) {
	servers := map[bool]*server{}
	for _, fsync := range []bool{false, true} {
		s, err := startServer(ctx, b.binary, "log.requests=false", fmt.Sprintf("clickhouse.fsync=%t", fsync))
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, s.stop()) }()
		if err := s.note(ctx, r); err != nil {
			return err
		}
		servers[fsync] = s
	}
	fsyncs, err := timeFsync(servers[false].folder)
	if err != nil {
		return err
	}
	var (
		calls   = map[string]sample{}
		singles = map[string]*manySingles{}
	)
	for round := range b.rounds + 1 {
		for _, i := range rand.Perm(len(durables)) {
			d := durables[i]
			took, many, err := b.measure(ctx, servers[d.fsync], d, round, i)
			if err != nil {
				return fmt.Errorf("%s: %w", d.name, err)
			}
			if round == 0 {
				continue
			}
			calls[d.name] = append(calls[d.name], took)
			if singles[d.name] == nil {
				singles[d.name] = &manySingles{}
			}
			singles[d.name].add(many)
		}
	}
	var rows [][]string
	first := calls[durables[0].name].median()
	for _, d := range durables {
		many := singles[d.name]
		rows = append(rows, []string{
			d.name, calls[d.name].String(), ratio(calls[d.name].median(), first),
			fmt.Sprintf("%.0f", float64(many.requests)/many.took.Seconds()), ms(many.latencies.quantile(0.5)), ms(many.latencies.quantile(0.99)),
		})
	}
	r.linef("\n%d rounds; a call of 50,000 events, and %d calls of one event each from %d connections. An fsync of 4 KiB takes %s ms on this disk.",
		b.rounds, b.singles, b.connections, fsyncs)
	r.table([]string{"", "50,000 events, ms", "× default", "single events/s", "p50 ms", "p99 ms"}, rows)
	return nil
}

// manySingles adds up rounds.
type manySingles struct {
	requests  int
	took      time.Duration
	latencies sample
}

func (m *manySingles) add(s *singles) {
	m.requests += len(s.latencies)
	m.took += s.took
	m.latencies = append(m.latencies, s.latencies...)
}

func (b *durabilityBench) measure(ctx context.Context, s *server, d durable, round, nth int) (time.Duration, *singles, error) {
	redis, err := dialRedis(ctx, s.Redis.Addr, s.Redis.Password)
	if err != nil {
		return 0, nil, err
	}
	defer redis.Close()
	if _, err := redis.ask("CONFIG", "SET", "appendfsync", d.appendFsync); err != nil {
		return 0, nil, err
	}
	seed := uint64(round*len(durables) + nth + 1)
	g, err := loadgen.New(loadgen.Config{
		Seed: seed, Org: s.OrganizationID, Times: loadgen.Live(leadevents.MillisOf(time.Now())),
	})
	if err != nil {
		return 0, nil, err
	}
	body := g.AppendRequest(nil, 0, callRows)
	bodies, err := singleBodies(s.OrganizationID, seed+1<<32, b.singles)
	if err != nil {
		return 0, nil, err
	}
	began := time.Now()
	a, err := s.post(body)
	took := time.Since(began)
	if err == nil && a.Inserted < callRows-callRows/1000 {
		err = fmt.Errorf("%d of %d were inserted", a.Inserted, callRows)
	}
	if err != nil {
		return 0, nil, err
	}
	many := s.postAll(ctx, bodies, b.connections)
	return took, many, many.err(b.singles)
}
