package ledger

import (
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

// Seen is a view as a peek at that moment would have had.
func (l *Ledger) Seen(at leadevents.Millis) View { return View{Trust: l.trust.Load(), Now: at} }
