package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"leadevents"
	"leadevents/internal/loadgen"
)

// callRows is the most events of one call (API.md 1).
const callRows = 50_000

// ingestBench is flags and parts of the benchmark ingest.
type ingestBench struct {
	binary      string
	rounds      int
	singles     int
	connections int
}

func newIngest(wrap wrapper) *cobra.Command {
	var b ingestBench
	cmd := &cobra.Command{
		Use:   "ingest",
		Short: "50,000 events through HTTP beside their floor; the same again; single events from many connections",
		Args:  cobra.NoArgs,
		RunE:  wrap(func(ctx context.Context, r *report) error { return b.run(ctx, r) }),
	}
	cmd.Flags().StringVar(&b.binary, "binary", "bin/leadevents", "the server's `file`")
	cmd.Flags().IntVar(&b.rounds, "rounds", 25, "how often each is measured")
	cmd.Flags().IntVar(&b.singles, "singles", 50_000, "single-event requests; 0 for none")
	cmd.Flags().IntVar(&b.connections, "connections", 64, "connections that send them")
	return cmd
}

func (b *ingestBench) run(ctx context.Context, r *report) (err error) {
	s, err := startServer(ctx, b.binary, "log.requests=false")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	if err := s.note(ctx, r); err != nil {
		return err
	}
	if err := b.bodies(ctx, r, s); err != nil {
		return err
	}
	if b.singles == 0 {
		return nil
	}
	return b.single(ctx, r, s)
}

const (
	oursNew       = "HTTP, 50,000 new events"
	oursAgain     = "HTTP, the same body again"
	floorRedis    = "floor: SET NX GET EX, pipelined, 1 connection"
	floorInsert   = "floor: columnar insert with the view"
	floorBoth     = "floor, the two in turn"
	floorSumGoal  = 3.0
	floorSumAim   = 1.5
	floorDatabase = "bench_floor"
)

// bodies measures calls of 50,000 events of the last five minutes, each with
// keys of its own, beside the floor on the same stores with as many other keys.
func (b *ingestBench) bodies(ctx context.Context, r *report, s *server) (err error) {
	now := leadevents.MillisOf(time.Now())
	ours, err := loadgen.New(loadgen.Config{Seed: 1, Org: s.OrganizationID, Times: loadgen.Live(now)})
	if err != nil {
		return err
	}
	others, err := loadgen.New(loadgen.Config{Seed: 2, Org: s.OrganizationID, Times: loadgen.Live(now)})
	if err != nil {
		return err
	}
	f, err := openFloor(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.close()) }()

	var (
		body  []byte // of the round
		bytes int
		steps = map[string]sample{}
		redis = map[int]time.Duration{}
		both  sample
	)
	contestants := []contestant{
		{oursNew, func(round int) (trial, error) {
			body = ours.AppendRequest(nil, uint64(round), uint64(round+1)*callRows)
			bytes = len(body)
			want, _, _ := ours.Counts(uint64(round)*callRows, callRows)
			before, err := s.steps()
			var a answer
			run := func(context.Context) (err error) {
				a, err = s.post(body)
				return err
			}
			check := func() error {
				if err := a.allNew(want); err != nil {
					return err
				}
				after, err := s.steps()
				for name := range after {
					if round > 0 {
						steps[name] = append(steps[name], time.Duration((after[name]-before[name])*float64(time.Second)))
					}
				}
				return err
			}
			return trial{run, check}, err
		}},
		{floorRedis, func(round int) (trial, error) {
			return trial{run: f.sets(others, uint64(round))}, nil
		}},
		{floorInsert, func(round int) (trial, error) {
			return trial{run: f.insert(others, uint64(round))}, nil
		}},
	}
	samples, err := compete(ctx, b.rounds, contestants, func(name string, round int, took time.Duration) {
		// The floor of a round is its two parts, in whichever order they ran.
		if name != oursNew {
			if other, ok := redis[round]; ok {
				both = append(both, other+took)
			}
			redis[round] = took
		}
	})
	if err != nil {
		return err
	}
	again, err := compete(ctx, b.rounds, []contestant{{oursAgain, func(int) (trial, error) {
		return trial{run: func(context.Context) error {
			a, err := s.post(body)
			if err == nil && a.Duplicates != callRows {
				err = fmt.Errorf("%d of %d were duplicates", a.Duplicates, callRows)
			}
			return err
		}}, nil
	}}}, nil)
	if err != nil {
		return err
	}
	floor := both.median()
	r.linef("\nA call of 50,000 events of the last five minutes (%.1f MB of JSON), %d rounds, ms: median (quartiles).", float64(bytes)/1e6, b.rounds)
	var rows [][]string
	add := func(name string, s sample) {
		rows = append(rows, []string{name, s.String(), ratio(s.median(), floor), fmt.Sprintf("%.0f", callRows/s.median().Seconds())})
	}
	add(oursNew, samples[oursNew])
	add(oursAgain, again[oursAgain])
	add(floorRedis, samples[floorRedis])
	add(floorInsert, samples[floorInsert])
	add(floorBoth, both)
	r.table([]string{"", "ms", "× floor", "events/s"}, rows)
	rows = nil
	for _, name := range []string{"decode", "peek", "cold_check", "insert", "seal", "receipt"} {
		rows = append(rows, []string{name, steps[name].String()})
	}
	r.linef("Where the time of a call goes, by the server's own metrics (the rest is HTTP, collapsing repeats and the client):")
	r.table([]string{"step", "ms"}, rows)
	reached := float64(samples[oursNew].median()) / float64(floor)
	r.linef("Goal: at most %.0f × the floor, %s (%.2f; the aim is %.1f).", floorSumGoal, verdict(reached <= floorSumGoal), reached, floorSumAim)
	return nil
}

// single measures requests of one event each.
func (b *ingestBench) single(ctx context.Context, r *report, s *server) error {
	bodies, err := singleBodies(s.OrganizationID, 3, b.singles)
	if err != nil {
		return err
	}
	result := s.postAll(ctx, bodies, b.connections)
	r.linef("\n%d requests of one event each from %d connections:", b.singles, b.connections)
	r.table(singleHead, [][]string{result.row("single events")})
	return result.err(b.singles)
}
