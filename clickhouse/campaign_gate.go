package clickhouse

import (
	"context"
	"sync/atomic"

	"leadevents"
)

// waitingPerPlace is how many evaluations may wait for each that is under way.
const waitingPerPlace = 16

// gate lets so many evaluations, or reports, work at once.
type gate struct {
	what    string // "evaluations of filters (filters.at_once)"
	places  chan struct{}
	waiting atomic.Int64
}

func newGate(places int, what string) *gate {
	return &gate{what: what, places: make(chan struct{}, places)}
}

// enter waits for a place; leave gives it back. Where too many wait already it is a
// 503 at once.
func (g *gate) enter(ctx context.Context) (leave func(), err error) {
	leave = func() { <-g.places }
	select {
	case g.places <- struct{}{}:
		return leave, nil
	default:
	}
	defer g.waiting.Add(-1)
	if n := cap(g.places); g.waiting.Add(1) > int64(n*waitingPerPlace) {
		return nil, leadevents.Errorf(leadevents.Unavailable, "%d %s are under way and %d wait; send the same request again later", n, g.what, n*waitingPerPlace)
	}
	select {
	case g.places <- struct{}{}:
		return leave, nil
	case <-ctx.Done():
		return nil, leadevents.Wrap(leadevents.Unavailable, ctx.Err(), "%d %s are under way, and none ended in time; send the same request again later", cap(g.places), g.what)
	}
}
