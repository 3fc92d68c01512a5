package ledger

import (
	"context"
	"time"

	"leadevents"
)

// ShiftClock makes Redis' clock look as if it had leapt by d since the last look.
func (l *Ledger) ShiftClock(d time.Duration) {
	l.watch.mu.Lock() // a look under way would take its own reading as right
	defer l.watch.mu.Unlock()
	l.clock.mu.Lock()
	defer l.clock.mu.Unlock()
	l.clock.redis = l.clock.redis.Add(-d)
}

// Load seals keys as a rebuild does that finds these rows.
func (l *Ledger) Load(ctx context.Context, keys []leadevents.Key, batches []leadevents.BatchID) error {
	return l.load(ctx, l.trust.Load(), keys, batches)
}

// Seen is a view as a peek at that moment would have had.
func (l *Ledger) Seen(at leadevents.Millis) View { return View{Trust: l.trust.Load(), Now: at} }
