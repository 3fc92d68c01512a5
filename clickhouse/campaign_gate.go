package clickhouse

import (
	"context"
	"sync/atomic"

	"leadevents"
)

// waitingPerPlace is how many evaluations may wait for each that is under way.
const waitingPerPlace = 16

// gate lets so many evaluations work at once, or so many of something else.
type gate struct {
	places        chan struct{}
	what, setting string
	waiting       atomic.Int64
}

func newGate(places int) *gate { return newGateOf(places, "evaluations of filters", "filters.at_once") }

// newGateOf says in refusals of what there are so many, and by which setting.
func newGateOf(places int, what, setting string) *gate {
	return &gate{places: make(chan struct{}, places), what: what, setting: setting}
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
		return nil, leadevents.Errorf(leadevents.Unavailable, "%d %s are under way and %d wait (%s); send the same request again later", n, g.what, n*waitingPerPlace, g.setting)
	}
	select {
	case g.places <- struct{}{}:
		return leave, nil
	case <-ctx.Done():
		return nil, leadevents.Wrap(leadevents.Unavailable, ctx.Err(), "%d %s are under way (%s), and none ended in time; send the same request again later", cap(g.places), g.what, g.setting)
	}
}
