package backfill

import (
	"context"
	"time"
)

// Ask asks one server after the other until one answers, as a run's calls are asked: what may pass, a
// server that is being started or a 503, is said to people once in a while and waited out for the patience
// (0: for ever). The error is that of the last attempt, or ErrStopped when stop ends.
//
// It is for what must be known before a run: a backfill that is started a moment before its server
// has as much time as one whose server ends in the middle.
func Ask(stop context.Context, servers []Server, patience time.Duration, say func(format string, args ...any), ask func(context.Context, Server) error) error {
	c := &caller{servers: servers, pace: newPace(1), patience: patience, timing: standardTiming, say: say}
	return c.insist(stop, 0, ask)
}
