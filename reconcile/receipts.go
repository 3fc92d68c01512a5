package reconcile

import (
	"context"
	"fmt"

	"leadevents"
)

// receipts compares what was told inserted with the keys that are stored.
func (l *run) receipts(ctx context.Context) error {
	look := func() (Days, error) {
		now, err := l.store.Clock(ctx)
		if err != nil {
			return Days{}, err
		}
		return l.store.ReceiptDays(ctx, l.org, l.report.From, l.report.To, now.Add(-l.cfg.Settled), l.cfg.Lines, l.cfg.Memory)
	}
	all, err := look()
	if err != nil {
		return err
	}
	days := all.First
	l.report.Days = days
	if shown := uint64(len(days)); shown < all.Lines {
		l.skip("receipts", fmt.Errorf("they have %d days and types, of which %d seem to differ, and a report has %d, those that differ first: compare fewer days (from, to)", all.Lines, all.Differ, shown))
	}
	differs := false
	for _, d := range days {
		differs = differs || d.Missing+d.Surplus+d.Undone > 0
	}
	if !differs {
		return nil
	}
	if err := l.pause(ctx, 1); err != nil {
		return err
	}
	again, err := look()
	if err != nil {
		return err
	}
	// What was erased or undone in between is missing now, and explained now.
	if l.around, err = l.store.Surroundings(ctx, l.org); err != nil {
		return err
	}
	type line struct{ eventType, day string }
	second := make(map[line]Day, len(again.First))
	for _, d := range again.First {
		second[line{d.EventType, d.Day}] = d
	}
	unanswered := map[string]uint64{}
	for _, d := range days {
		unanswered[d.EventType] += d.Unanswered
	}
	erased := l.around.Erased
	for i := range days {
		d, s := &days[i], second[line{days[i].EventType, days[i].Day}]
		d.Missing, d.Surplus, d.Undone = min(d.Missing, s.Missing), min(d.Surplus, s.Surplus), min(d.Undone, s.Undone)
		missing := d.Missing
		because := func(n uint64, why string) {
			n = min(n, missing)
			missing -= n
			l.found(Difference{Kind: ReceiptsMissing, EventType: d.EventType, Day: d.Day, Count: n, Example: batch(d.MissingBatch), Explained: why})
		}
		if l.around.expires(d.EventType) {
			because(missing, "this type has a retention: its expired events are removed")
		}
		n := min(unanswered[d.EventType], missing)
		unanswered[d.EventType] -= n
		because(n, "calls that were never answered have stored keys of this type, and may hold these")
		n = min(erased, missing)
		erased -= n
		because(n, "so many events, or more, were of leads that have been erased")
		because(missing, "")
		l.found(Difference{Kind: ReceiptsSurplus, EventType: d.EventType, Day: d.Day, Count: d.Surplus, Example: batch(d.SurplusBatch)})
		l.found(Difference{Kind: ReceiptsUndone, EventType: d.EventType, Day: d.Day, Count: d.Undone, Example: batch(d.UndoneBatch)})
	}
	return nil
}

func batch(id leadevents.BatchID) string { return "batch " + id.String() }
