package clickhouse

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"leadevents"
	"leadevents/query/audience"
)

const (
	// firstStretch is how far back a page looks at first: busy organizations have a page
	// of events in it. For quiet ones it costs a look into the index, 5 to 10 ms.
	firstStretch = 10 * time.Minute
	// furtherStretch is how many times as far it looks next, at most: from ten minutes to
	// all time it is seven looks.
	furtherStretch = 16
	// pageBudget is after how long a page is given as it is, with where to go on:
	// conditions on the metadata that nearly nothing meets have everything read.
	pageBudget = 3 * time.Second
	// slowStretch: what follows one that took so long is not longer.
	slowStretch = pageBudget / 4
)

// Events reads events newest first, from a position on (nil for the newest), at most
// limit. next is where to go on from, nil at the end: there may be fewer events than
// limit, even none, and more behind them.
//
// FINAL cannot be read backwards (26.7), and the newest of a type cost 300 ms with it. So
// a page is put together of stretches of time, the latest first, each with FINAL: all rows
// of an event are of one moment, so a stretch has them all. Of 33 million events in 24
// parts the newest 1,000 of all types took 35 ms of processor time, of which most is a
// granule for each type and part.
func (db *DB) Events(ctx context.Context, org leadevents.OrgID, q audience.EventQuery, after *leadevents.EventPosition, limit int) (page []leadevents.StoredEvent, next *leadevents.EventPosition, err error) {
	err = db.question(ctx, func(ctx context.Context) error {
		p := &eventPage{db: db, org: org, query: q, after: after, limit: limit}
		if err := p.read(ctx); err != nil {
			return fmt.Errorf("read events: %w", err)
		}
		page, next = p.events, p.next
		return nil
	})
	return page, next, err
}

// eventPage is a page on its way.
type eventPage struct {
	db    *DB
	org   leadevents.OrgID
	query audience.EventQuery
	after *leadevents.EventPosition
	limit int
	spans []leadSpan // where the events of one lead are; nil: anywhere

	events []leadevents.StoredEvent
	next   *leadevents.EventPosition
}

func (p *eventPage) read(ctx context.Context) error {
	from, to := p.query.From, p.query.To
	if p.after != nil {
		to = min(to, p.after.OccurredAt+1)
	}
	began := time.Now()
	latest := leadevents.MillisOf(began)
	stretch := leadevents.Millis(firstStretch / time.Millisecond)
	if p.query.Phone != 0 {
		span, err := p.ofLead(ctx, &from, &to)
		if err != nil {
			return err
		}
		latest, stretch = to, span
	}
	for from < to {
		// The first reaches into the future, where hardly anything is.
		bottom := max(from, min(to, latest)-stretch)
		looked := time.Now()
		n := len(p.events)
		if err := p.look(ctx, bottom, to); err != nil {
			return err
		}
		if len(p.events) > p.limit {
			p.events = p.events[:p.limit]
			at := p.events[p.limit-1].Position()
			p.next = &at
			return nil
		}
		to = bottom
		if from < to && time.Since(began) > pageBudget {
			at := leadevents.Before(to)
			p.next = &at
			return nil
		}
		if stretch = further(stretch, len(p.events)-n, p.limit+1-len(p.events), time.Since(looked)); p.query.Phone != 0 {
			stretch = to - from // one look more, not several: each asks the index again
		}
	}
	return nil
}

// further is how long the stretch after one of that length should be, in which so
// many events were found, so many are missing, and which took so long.
func further(stretch leadevents.Millis, found, missing int, took time.Duration) leadevents.Millis {
	times := leadevents.Millis(furtherStretch)
	if found > 0 { // half as many again as it takes if they lie evenly
		times = min(times, 1+leadevents.Millis(missing*3/(2*found)))
	}
	if took > slowStretch {
		times = 1
	}
	return min(stretch*times, audience.EveryMoment)
}

// look adds the events of [from, to), as far as they are missing: one more than the
// limit shows that there are more.
func (p *eventPage) look(ctx context.Context, from, to leadevents.Millis) error {
	s := selectEvents(p.org, p.query)
	sql := "SELECT event_type, " + eventColumns + " FROM lead_events FINAL PREWHERE " + s.byKey(from, to)
	if p.spans != nil {
		sql += " AND " + s.within(p.spans)
	}
	var conditions []string
	if a := p.after; a != nil && to > a.OccurredAt {
		conditions = append(conditions, "(occurred_at, event_type, phone) < ("+s.moment(a.OccurredAt)+", "+s.text(a.EventType)+", "+
			s.parameter("UInt64", strconv.FormatUint(uint64(a.Phone), 10))+")")
	}
	if len(p.query.Where) > 0 {
		conditions = append(conditions, s.byMetadata())
	}
	if len(conditions) > 0 {
		sql += " WHERE " + strings.Join(conditions, " AND ")
	}
	sql += " ORDER BY occurred_at DESC, event_type DESC, phone DESC LIMIT " + strconv.Itoa(p.limit+1-len(p.events))
	rows := newEventRows(true)
	return p.db.columns(ctx, columnQuery{
		text: sql, parameters: s.parameters, settings: s.readingEvents(), into: rows.into(),
		block: func() error {
			p.events = rows.appendTo(p.events, "")
			return nil
		},
	})
}
