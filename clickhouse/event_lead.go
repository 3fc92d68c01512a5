package clickhouse

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"leadevents"
)

const (
	// leadStretches is the part of a lead's time that is looked at first: one with
	// thousands of events has a page there, and of one with ten it costs a quarter of
	// what all of it costs.
	leadStretches = 32
	// maxLeadTypes: of a lead with more types each range for itself would make a query
	// whose index takes longer to ask than its rows.
	maxLeadTypes = 50
)

// leadSpan is when a lead has had events of a type.
type leadSpan struct {
	eventType   string
	first, last leadevents.Millis
}

// ofLead narrows a page about one lead to the types and times that the lead has, by
// lead_states, where it costs 20 ms of processor time (33 million events): a state may be
// wider than what is stored, and is never narrower than what was acknowledged. It gives
// the first stretch to look at.
//
// Events lie by time before phone, so one lead's lie everywhere: of 33 million rows
// 270 ms of processor time to look at their phones. The states rule nine tenths of that
// out for a lead of ten events, and the index on phones (migration 0015) most of the rest:
// with both 40 to 110 ms for leads of 4 to 20 events, on two threads; each event of
// more costs a granule, half a millisecond.
func (p *eventPage) ofLead(ctx context.Context, from, to *leadevents.Millis) (leadevents.Millis, error) {
	spans, err := p.db.leadSpans(ctx, p.org, p.query.Phone, p.query.EventTypes)
	if err != nil || len(spans) == 0 {
		*to = *from // none of it
		return 0, err
	}
	first, last := spans[0].first, spans[0].last
	for _, s := range spans {
		first, last = min(first, s.first), max(last, s.last)
	}
	if len(spans) <= maxLeadTypes {
		p.spans = spans
	}
	*from, *to = max(*from, first), min(*to, last+1)
	return max((*to-*from)/leadStretches, leadevents.Millis(firstStretch/time.Millisecond)), nil
}

func (db *DB) leadSpans(ctx context.Context, org leadevents.OrgID, phone leadevents.Phone, eventTypes []string) ([]leadSpan, error) {
	rows, err := db.conn.Query(clickhouse.Context(ctx, clickhouse.WithParameters(clickhouse.Parameters{
		"organization": org.String(), "phone": strconv.FormatUint(uint64(phone), 10), "types": parameterTexts(eventTypes),
	})), sqlText("lead_types"))
	if err != nil {
		return nil, unavailable(fmt.Errorf("find a lead's types: %w", err))
	}
	defer func() { _ = rows.Close() }()
	var spans []leadSpan
	for rows.Next() {
		var s leadSpan
		var first, last time.Time
		if err := rows.Scan(&s.eventType, &first, &last); err != nil {
			return nil, unavailable(fmt.Errorf("read a lead's types: %w", err))
		}
		s.first, s.last = leadevents.MillisOf(first), leadevents.MillisOf(last)
		spans = append(spans, s)
	}
	return spans, unavailable(rows.Err())
}

// within is the condition that an event lies in one of the spans.
func (s eventSelection) within(spans []leadSpan) string {
	ranges := make([]string, len(spans))
	for i, span := range spans {
		ranges[i] = "event_type = " + s.text(span.eventType) + " AND occurred_at >= " + s.moment(span.first) + " AND occurred_at <= " + s.moment(span.last)
	}
	return "(" + strings.Join(ranges, " OR ") + ")"
}
