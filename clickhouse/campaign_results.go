package clickhouse

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"leadevents"
	"leadevents/query/audience"
)

// SendLeads hands on the leads that a run kept, in the order of their phones, in
// pieces of some ten thousand; f must not keep them, and while it takes its time
// the server waits. Memory does not grow with their number.
func (db *DB) SendLeads(ctx context.Context, org leadevents.OrgID, run uint64, f func(phones []leadevents.Phone, externalIDs []string) error) error {
	var (
		phones proto.ColUInt64
		ids    proto.ColStr
		leads  []leadevents.Phone
		texts  []string
	)
	return db.columns(ctx, columnQuery{
		text: sqlText("send_leads"), parameters: ofRun(org, run), settings: clickhouse.Settings{"max_threads": db.evaluation.Threads},
		into: proto.Results{{Name: "phone", Data: &phones}, {Name: "external_id", Data: &ids}},
		block: func() error {
			leads, texts = leads[:0], texts[:0]
			all := string(ids.Buf) // one copy for all
			for i, p := range phones {
				leads, texts = append(leads, leadevents.Phone(p)), append(texts, all[ids.Pos[i].Start:ids.Pos[i].End])
			}
			if len(leads) == 0 {
				return nil
			}
			return f(leads, texts)
		},
	})
}

// SendVerdict reads what a run decided about a lead, and the evidence of the
// filters that it had; false if the lead was not in its audience. The metadata of a
// last event is nil where the event is no longer stored.
func (db *DB) SendVerdict(ctx context.Context, org leadevents.OrgID, run uint64, filters []audience.Filter, phone leadevents.Phone) (audience.Decision, bool, error) {
	p := ofRun(org, run)
	p["phone"] = strconv.FormatUint(uint64(phone), 10)
	d := audience.Decision{Verdict: audience.Verdict{DroppedBy: -1, Filters: make([]audience.Evidence, len(filters))}}
	var droppedBy uint8
	var passed uint16
	err := db.conn.QueryRow(params(ctx, p), sqlText("send_verdict")).Scan(&d.ExternalID, &droppedBy, &passed, &d.Listed)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return audience.Decision{}, false, nil
	case err != nil:
		return audience.Decision{}, false, unavailable(fmt.Errorf("read a send's verdict: %w", err))
	}
	d.Kept, d.DroppedByList = droppedBy == 0, droppedBy == 1
	for i := range filters {
		d.Filters[i].Passed = passed&(1<<i) != 0
		if !d.Filters[i].Passed && d.DroppedBy < 0 {
			d.DroppedBy = i
		}
	}
	err = db.stream(ctx, "send_evidence", p, func(rows driver.Rows) error {
		var filter uint8
		var events uint32
		var last time.Time
		if err := rows.Scan(&filter, &events, &last); err != nil {
			return err
		}
		if int(filter) >= len(filters) {
			return fmt.Errorf("evidence of filter %d, but the send has %d", filter, len(filters))
		}
		d.Filters[filter].Events = int(events)
		d.Filters[filter].LastEvent = &audience.Event{EventType: filters[filter].EventType, OccurredAt: leadevents.MillisOf(last)}
		return nil
	})
	if err != nil {
		return audience.Decision{}, false, err
	}
	for i := range d.Filters {
		if last := d.Filters[i].LastEvent; last != nil {
			if last.Metadata, err = db.metadata(ctx, org, phone, last); err != nil {
				return audience.Decision{}, false, err
			}
		}
	}
	return d, true, nil
}

// metadata looks an event up by its key; nil if it is not stored.
func (db *DB) metadata(ctx context.Context, org leadevents.OrgID, phone leadevents.Phone, event *audience.Event) ([]byte, error) {
	var metadata string
	err := db.conn.QueryRow(params(ctx, clickhouse.Parameters{
		"organization": org.String(), "event_type": event.EventType,
		"occurred_at": strconv.FormatInt(int64(event.OccurredAt), 10), "phone": strconv.FormatUint(uint64(phone), 10),
	}), sqlText("event_metadata")).Scan(&metadata)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return []byte(metadata), unavailable(err)
}

// DropRun removes what a run has stored, and waits for it. The run must have
// ended; one that stored nothing is no error.
func (db *DB) DropRun(ctx context.Context, org leadevents.OrgID, run uint64) error {
	for _, table := range []string{"send_leads", "send_evidence"} {
		err := db.silently(params(ctx, ofRun(org, run)), "DELETE FROM "+table+" WHERE organization_id = {organization:UInt64} AND run = {run:UInt64}")
		if err != nil {
			return unavailable(fmt.Errorf("remove run %d from %s: %w", run, table, err))
		}
	}
	return nil
}
