package main

import (
	"context"
	"fmt"
	"time"

	"leadevents"
	"leadevents/internal/loadgen"
)

// besideCalls is how many calls of 50,000 events are sent in a round, from
// besideSenders connections.
const (
	besideCalls   = 40
	besideSenders = 2
)

// beside measures ingest through HTTP alone, and while the huge audience is
// materialized again and again by the same server.
func (b *campaignBench) beside(ctx context.Context, r *report, s *server, d *campaignData) error {
	var alone, beside, sends sample
	var latencies [2]sample
	rounds := min(b.rounds, 3)
	for round := range 2 * (rounds + 1) {
		bodies, err := b.besideBodies(s, uint64(round))
		if err != nil {
			return err
		}
		busy := round%2 == 1
		var ended chan error
		working, stop := context.WithCancel(ctx)
		if busy {
			ended = make(chan error, 1)
			go func() { ended <- b.sendOn(working, s, round, &sends) }()
		}
		result := s.postAll(ctx, bodies, besideSenders)
		stop()
		if busy {
			if err := <-ended; err != nil {
				return err
			}
		}
		if want := len(bodies) * callRows; result.failed > 0 || result.inserted < want-want/1000 {
			return fmt.Errorf("%d of %d events were inserted, %d calls failed: %w", result.inserted, want, result.failed, result.first)
		}
		switch {
		case round < 2: // warms up
			sends = nil
		case busy:
			beside, latencies[1] = append(beside, result.took), append(latencies[1], result.latencies...)
		default:
			alone, latencies[0] = append(alone, result.took), append(latencies[0], result.latencies...)
		}
	}
	r.linef("\nIngest through HTTP, %d calls of 50,000 events from %d connections, %d rounds; beside it a send to the huge audience (%d leads, %d events) is materialized over and over.", besideCalls, besideSenders, rounds, b.leads, d.events)
	row := func(name string, took, calls sample) []string {
		return []string{name, fmt.Sprintf("%.0f", besideCalls*callRows/took.median().Seconds()), ms(calls.median()), ms(calls.quantile(0.99))}
	}
	r.table([]string{"", "events/s", "p50 ms", "p99 ms"}, [][]string{row("alone", alone, latencies[0]), row("beside the materialization", beside, latencies[1])})
	if len(sends) > 0 {
		r.linef("A materialization beside it takes %s ms.", sends)
	}
	r.atMost("by how much the huge audience slows ingest", 1-float64(alone.median())/float64(beside.median()), goalIngestSlower)
	return nil
}

func (b *campaignBench) besideBodies(s *server, seed uint64) ([][]byte, error) {
	g, err := loadgen.New(loadgen.Config{Seed: 5000 + seed, Org: s.OrganizationID, Times: loadgen.Live(leadevents.MillisOf(time.Now()))})
	if err != nil {
		return nil, err
	}
	bodies := make([][]byte, besideCalls)
	for i := range bodies {
		bodies[i] = g.AppendRequest(nil, uint64(i), besideCalls*callRows)
	}
	return bodies, nil
}

// sendOn materializes the huge audience until the context ends, lets the last one
// end, and notes how long each took that had ingest beside it throughout.
func (b *campaignBench) sendOn(ctx context.Context, s *server, round int, took *sample) error {
	for n := 0; ctx.Err() == nil; n++ {
		began := time.Now()
		if _, err := s.materialize(context.WithoutCancel(ctx), fmt.Sprintf("beside-%d-%d", round, n), "everyone"); err != nil {
			return err
		}
		if ctx.Err() == nil {
			*took = append(*took, time.Since(began))
		}
	}
	return nil
}
