package clickhouse

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"golang.org/x/sync/errgroup"

	"leadevents"
	"leadevents/query/audience"
)

// readTypes is how many types of a year are read side by side, each in its own order and
// with a connection of its own: at the server 16 MB each where a year has eight parts.
// Those that come behind are read together, a stretch of time after another.
const readTypes = 16

// EachEvent hands on all events, newest first, in pieces that f must not keep; while f
// takes its time the server waits. Neither side's memory grows with their number.
//
// A part holds its events by type, and only within a type by time. To sort all of them
// is four times the work of reading them, and holds them in memory. So a year at a time,
// which is a partition, each type is read backwards as it lies, and here
// the types are merged, as in a merge sort.
//
//	lead_events ──▶ type A of the year, newest first ──┐
//	            ──▶ type B …                         ──┼─▶ the newest of them ──▶ f
//	            ──▶ all smaller types, by stretches  ──┘
//
// What is stored meanwhile is in it or not; what was there when it began is.
func (db *DB) EachEvent(ctx context.Context, org leadevents.OrgID, q audience.EventQuery, f func(events []leadevents.StoredEvent) error) error {
	var years []eventYear
	var err error
	if q.Phone != 0 {
		years, err = db.leadYears(ctx, org, &q)
	} else {
		years, err = db.eventYears(ctx, org, q)
	}
	for _, y := range years {
		if err != nil {
			return err
		}
		err = db.eachEventOf(ctx, org, q, y, f)
	}
	return err
}

// eventYear is a stretch of time with the types that may have events in it: a year, or
// what of it is asked for.
type eventYear struct {
	from, to leadevents.Millis
	types    []string // the most frequent first
}

func (db *DB) eventYears(ctx context.Context, org leadevents.OrgID, q audience.EventQuery) (years []eventYear, err error) {
	var numbers []uint16
	rows, err := db.conn.Query(clickhouse.Context(ctx, clickhouse.WithParameters(clickhouse.Parameters{
		"organization": org.String(), "from": fmt.Sprint(int64(q.From)), "to": fmt.Sprint(int64(q.To)), "types": parameterTexts(q.EventTypes),
	})), sqlText("event_years"))
	if err != nil {
		return nil, unavailable(fmt.Errorf("find the years of events: %w", err))
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var number uint16
		var eventType string
		var stored uint64
		if err := rows.Scan(&number, &eventType, &stored); err != nil {
			return nil, unavailable(fmt.Errorf("read the years of events: %w", err))
		}
		if n := len(numbers); n == 0 || numbers[n-1] != number {
			begin := func(year uint16) leadevents.Millis {
				return leadevents.MillisOf(time.Date(int(year), 1, 1, 0, 0, 0, 0, time.UTC))
			}
			numbers = append(numbers, number)
			years = append(years, eventYear{from: max(q.From, begin(number)), to: min(q.To, begin(number+1))})
		}
		y := &years[len(years)-1]
		y.types = append(y.types, eventType)
	}
	return years, unavailable(rows.Err())
}

// leadYears is all the time of one lead as one year: of its types none comes first, so they
// are read by stretches.
func (db *DB) leadYears(ctx context.Context, org leadevents.OrgID, q *audience.EventQuery) ([]eventYear, error) {
	p := eventPage{db: db, org: org, query: *q}
	from, to := q.From, q.To
	if _, err := p.ofLead(ctx, &from, &to); err != nil || from >= to {
		return nil, err
	}
	return []eventYear{{from: from, to: to, types: nil}}, nil
}

// eachEventOf hands on the events of a year.
func (db *DB) eachEventOf(ctx context.Context, org leadevents.OrgID, q audience.EventQuery, y eventYear, f func([]leadevents.StoredEvent) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	reading, ctx := errgroup.WithContext(ctx)
	var sources []*eventSource
	add := func(read func(ctx context.Context, s *eventSource) error) {
		s := newEventSource(ctx)
		sources = append(sources, s)
		reading.Go(func() error {
			defer close(s.pieces)
			return read(ctx, s)
		})
	}
	rest := y.types
	for n := 0; n < readTypes && len(rest) > 0; n++ {
		eventType := rest[0]
		rest = rest[1:]
		add(func(ctx context.Context, s *eventSource) error { return db.readType(ctx, org, q, y, eventType, s) })
	}
	if len(rest) > 0 || q.Phone != 0 {
		among := q
		if q.Phone == 0 {
			among.EventTypes = rest
		}
		add(func(ctx context.Context, s *eventSource) error { return db.readStretches(ctx, org, among, y, s) })
	}
	err := mergeEvents(sources, f)
	if err != nil {
		cancel()
	}
	if failed := reading.Wait(); failed != nil && err == nil {
		err = failed // a source that ends early looks to the merge like one at its end
	}
	return err
}

// readType reads a type's events of a year, backwards as they lie: FINAL reads forwards
// only (26.7). Of the rows of one event, which follow one another here, the one
// that FINAL keeps comes first: that of the part that was inserted last, whose number is
// the second of its name. The blocks and buffers are small, since each part has its own.
// Conditions on the metadata are for the row that stays, so they come outside.
func (db *DB) readType(ctx context.Context, org leadevents.OrgID, q audience.EventQuery, y eventYear, eventType string, s *eventSource) error {
	q.EventTypes = []string{eventType}
	w := selectEvents(org, q)
	sql := "SELECT phone, occurred, metadata, ingested, batch_id FROM (SELECT occurred_at, " + eventColumns +
		" FROM lead_events WHERE " + w.byKey(y.from, y.to) +
		" ORDER BY occurred_at DESC, phone DESC, toUInt64(splitByChar('_', _part)[2]) DESC, _part_offset DESC LIMIT 1 BY occurred_at, phone)"
	if len(q.Where) > 0 {
		sql += " WHERE " + w.byMetadata()
	}
	settings := w.readingEvents()
	settings["max_block_size"] = eventPieceRows
	settings["read_in_order_use_buffering"] = 0
	settings["max_read_buffer_size"] = eventReadBuffer
	settings["max_read_buffer_size_local_fs"] = eventReadBuffer
	settings["send_timeout"] = eventPatience
	rows := newEventRows(false)
	return db.columns(ctx, columnQuery{
		text: sql, parameters: w.parameters, settings: settings, into: rows.into(),
		block: func() error { return s.give(rows, eventType) },
	})
}

const (
	// eventPieceRows is how many events travel together. Of each type three pieces are here at
	// once, so with metadata of 100 bytes 20 MB of 17 types, and forty times that at the
	// very most, with 8 KB each.
	eventPieceRows  = 2_048
	eventReadBuffer = 128 << 10
	// eventPatience is for how many seconds the server waits while other types, or the
	// client, have their time: days. Whoever reads bounds the wait.
	eventPatience = 7 * 24 * 3600
	// stretchRows is about how many events a stretch should have, which the server sorts.
	stretchRows = 50_000
)

// readStretches reads events of many types, or of one lead, a stretch of time after
// another as pages are.
func (db *DB) readStretches(ctx context.Context, org leadevents.OrgID, q audience.EventQuery, y eventYear, s *eventSource) error {
	stretch := max((y.to-y.from)/leadStretches, 1)
	for to := y.to; to > y.from; {
		from := max(y.from, to-stretch)
		w := selectEvents(org, q)
		sql := "SELECT event_type, " + eventColumns + " FROM lead_events FINAL PREWHERE " + w.byKey(from, to)
		if len(q.Where) > 0 {
			sql += " WHERE " + w.byMetadata()
		}
		settings := w.readingEvents()
		settings["max_bytes_before_external_sort"] = 64 << 20
		settings["send_timeout"] = eventPatience
		rows, found, began := newEventRows(true), 0, time.Now()
		err := db.columns(ctx, columnQuery{
			text: sql + " ORDER BY occurred_at DESC, event_type DESC, phone DESC", parameters: w.parameters, settings: settings, into: rows.into(),
			block: func() error {
				found += rows.len()
				return s.give(rows, "")
			},
		})
		if err != nil {
			return err
		}
		to = from
		if found > stretchRows {
			stretch = max(stretch*stretchRows/leadevents.Millis(found), 1)
		} else {
			stretch = further(stretch, found, stretchRows-found, time.Since(began))
		}
	}
	return nil
}
