package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"leadevents"
	"leadevents/internal/loadgen"
)

// singleBodies are n calls of one event of the last five minutes each, all keys
// distinct from those of another seed.
func singleBodies(org leadevents.OrgID, seed uint64, n int) ([][]byte, error) {
	g, err := loadgen.New(loadgen.Config{
		Seed: seed, Org: org, BatchRows: 1, Times: loadgen.Live(leadevents.MillisOf(time.Now())),
	})
	if err != nil {
		return nil, err
	}
	bodies := make([][]byte, n)
	for i := range bodies {
		bodies[i] = g.AppendRequest(nil, uint64(i), uint64(n))
	}
	return bodies, nil
}

// singles is what came of many small requests.
type singles struct {
	took      time.Duration
	latencies sample
	inserted  int
	failed    int
	first     error
}

// postAll sends each body once, over as many connections as workers.
func (s *server) postAll(ctx context.Context, bodies [][]byte, workers int) *singles {
	var (
		result = &singles{}
		next   atomic.Int64
		mu     sync.Mutex
		all    sync.WaitGroup
	)
	began := time.Now()
	for range workers {
		all.Go(func() {
			var (
				mine     sample
				inserted int
				failed   int
				first    error
			)
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(bodies) {
					break
				}
				sent := time.Now()
				a, err := s.post(bodies[i])
				if err != nil {
					failed++
					first = err
					continue
				}
				mine = append(mine, time.Since(sent))
				inserted += a.Inserted
			}
			mu.Lock()
			defer mu.Unlock()
			result.latencies = append(result.latencies, mine...)
			result.inserted += inserted
			result.failed += failed
			result.first = errors.Join(result.first, first)
		})
	}
	all.Wait()
	result.took = time.Since(began)
	return result
}

var singleHead = []string{"", "requests/s", "p50 ms", "p99 ms", "max ms", "errors"}

func (s *singles) row(name string) []string {
	return []string{
		name, fmt.Sprintf("%.0f", float64(len(s.latencies))/s.took.Seconds()),
		ms(s.latencies.quantile(0.5)), ms(s.latencies.quantile(0.99)), ms(s.latencies.quantile(1)), fmt.Sprint(s.failed),
	}
}

// err is what was wrong: an error, or another count than there were events. Two
// of the generator's events may have one key by chance, at most one in a thousand.
func (s *singles) err(n int) error {
	switch {
	case s.failed > 0:
		return fmt.Errorf("%d of %d requests failed: %w", s.failed, n, s.first)
	case s.inserted > n || s.inserted < n-n/1000-1:
		return fmt.Errorf("%d of %d single events were inserted", s.inserted, n)
	}
	return nil
}
