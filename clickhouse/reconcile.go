package clickhouse

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/ext"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"leadevents"
	"leadevents/reconcile"
)

var _ reconcile.Store = (*DB)(nil)

// compared gives the queries of a comparison their bounds: memory, a fourth of it before
// groups go to the disk, and two threads, which leave ClickHouse to the traffic.
func compared(ctx context.Context, memory uint64) context.Context {
	return clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{
		"max_memory_usage": memory, "max_bytes_before_external_group_by": memory / 4,
		"max_threads": 2, "optimize_aggregation_in_order": 1,
	}))
}

// asMillis is a moment as a parameter.
func asMillis(at leadevents.Millis) string { return strconv.FormatInt(int64(at), 10) }

// Surroundings implements reconcile.Store.
func (db *DB) Surroundings(ctx context.Context, org leadevents.OrgID) (reconcile.Surroundings, error) {
	var (
		s       = reconcile.Surroundings{Erasing: map[leadevents.Phone]bool{}, Expires: map[string]bool{}}
		erasing []uint64
		types   []string
	)
	err := db.stream(ctx, "reconcile_surroundings", clickhouse.Parameters{"organization": org.String()}, func(rows driver.Rows) error {
		return rows.Scan(&s.Erased, &erasing, &s.Undoing, &s.AllExpire, &types)
	})
	for _, phone := range erasing {
		s.Erasing[leadevents.Phone(phone)] = true
	}
	for _, eventType := range types {
		s.Expires[eventType] = true
	}
	return s, err
}

// ReceiptDays implements reconcile.Store.
func (db *DB) ReceiptDays(ctx context.Context, org leadevents.OrgID, from, to, settled leadevents.Millis, limit int, memory uint64) (d reconcile.Days, err error) {
	const slack = 48 * 3600 * 1000 // so that what is read beyond either end is a time too
	from = max(from, slack)
	p := clickhouse.Parameters{
		"organization": org.String(), "from": asMillis(from), "to": asMillis(max(min(to, leadevents.MaxOccurredAt), from)),
		"settled": asMillis(settled), "limit": strconv.Itoa(limit),
	}
	err = db.stream(compared(ctx, memory), "reconcile_receipts", p, func(rows driver.Rows) error {
		var day reconcile.Day
		var missing, surplus, undone uint64
		var stored, lacks, over int64
		err := rows.Scan(&day.EventType, &day.Day, &day.Batches, &day.Inserted, &stored, &day.Unanswered, &lacks, &missing, &over, &surplus, &day.Undone, &undone, &d.Lines, &d.Differ)
		day.Stored, day.Missing, day.Surplus = uint64(stored), uint64(lacks), uint64(over)
		day.MissingBatch, day.SurplusBatch, day.UndoneBatch = leadevents.BatchID(missing), leadevents.BatchID(surplus), leadevents.BatchID(undone)
		d.First = append(d.First, day)
		return err
	})
	slices.SortFunc(d.First, func(a, b reconcile.Day) int {
		return cmp.Or(strings.Compare(a.Day, b.Day), strings.Compare(a.EventType, b.EventType))
	})
	return d, err
}

func ofSliceOf(org leadevents.OrgID, s reconcile.Slice) clickhouse.Parameters {
	return clickhouse.Parameters{
		"organization": org.String(), "event_type": s.EventType,
		"slice": strconv.Itoa(s.Number), "slices": strconv.Itoa(s.Of), "expires": strconv.FormatBool(s.Expires),
	}
}

// StateRows implements reconcile.Store.
func (db *DB) StateRows(ctx context.Context, org leadevents.OrgID, eventType string) (n uint64, err error) {
	p := clickhouse.Parameters{"organization": org.String(), "event_type": eventType}
	err = db.query(ctx, "count the states of a type", "SELECT count() FROM lead_states WHERE "+ofOrganization+" AND event_type = {event_type:String}", p,
		func(rows driver.Rows) error { return rows.Scan(&n) })
	return n, err
}

// CompareStates implements reconcile.Store.
func (db *DB) CompareStates(ctx context.Context, org leadevents.OrgID, s reconcile.Slice, memory uint64) (c reconcile.Compared, err error) {
	var (
		missing, narrow, wide, extra     uint64
		phones                           []uint64
		rowsFirst, rowsLast, first, last []int64
	)
	err = db.stream(compared(ctx, memory), "states_compare", ofSliceOf(org, s), func(rows driver.Rows) error {
		return rows.Scan(&c.Leads, &missing, &narrow, &wide, &extra, &phones, &rowsFirst, &rowsLast, &first, &last)
	})
	if err != nil {
		return c, err
	}
	c.Differ = map[reconcile.Kind]uint64{
		reconcile.StatesMissing: missing, reconcile.StatesNarrow: narrow, reconcile.StatesWide: wide, reconcile.StatesExtra: extra,
	}
	for i, phone := range phones {
		c.States = append(c.States, stateOf(phone, rowsFirst[i], rowsLast[i], first[i], last[i]))
	}
	return c, nil
}

// stateOf reads a lead's two sides: one whose first lies behind its last is not there.
func stateOf(phone uint64, rowsFirst, rowsLast, first, last int64) reconcile.State {
	s := reconcile.State{Phone: leadevents.Phone(phone)}
	if s.HasRows = rowsFirst <= rowsLast; s.HasRows {
		s.RowsFirst, s.RowsLast = leadevents.Millis(rowsFirst), leadevents.Millis(rowsLast)
	}
	if s.HasState = first <= last; s.HasState {
		s.First, s.Last = leadevents.Millis(first), leadevents.Millis(last)
	}
	return s
}

// withLeads sends phones along as the table leads: no text that ClickHouse keeps has them.
func withLeads(ctx context.Context, p clickhouse.Parameters, phones []leadevents.Phone) (context.Context, error) {
	table, err := ext.NewTable("leads", ext.Column("phone", "UInt64"))
	if err != nil {
		return nil, fmt.Errorf("describe the leads: %w", err)
	}
	numbers := make([]uint64, len(phones))
	for i, phone := range phones {
		numbers[i] = uint64(phone)
	}
	if _, err := table.Block().Columns[0].Append(numbers); err != nil {
		return nil, fmt.Errorf("append %d leads: %w", len(phones), err)
	}
	return clickhouse.Context(params(ctx, p), clickhouse.WithExternalTable(table)), nil
}

// StatesOf implements reconcile.Store.
func (db *DB) StatesOf(ctx context.Context, org leadevents.OrgID, eventType string, phones []leadevents.Phone) (states []reconcile.State, err error) {
	ctx, err = withLeads(ctx, clickhouse.Parameters{"organization": org.String(), "event_type": eventType}, phones)
	if err != nil {
		return nil, err
	}
	rows, err := db.conn.Query(ctx, sqlText("states_look"))
	if err != nil {
		return nil, unavailable(fmt.Errorf("look at the states of %d leads: %w", len(phones), err))
	}
	defer rows.Close()
	for rows.Next() {
		var phone uint64
		var rowsFirst, rowsLast, first, last int64
		if err := rows.Scan(&phone, &rowsFirst, &rowsLast, &first, &last); err != nil {
			return nil, fmt.Errorf("read a state: %w", err)
		}
		states = append(states, stateOf(phone, rowsFirst, rowsLast, first, last))
	}
	if err := rows.Err(); err != nil {
		return nil, unavailable(fmt.Errorf("read the states of %d leads: %w", len(phones), err))
	}
	return states, nil
}

// AddStates implements reconcile.Store.
func (db *DB) AddStates(ctx context.Context, org leadevents.OrgID, s reconcile.Slice, phones []leadevents.Phone) error {
	var err error
	document := "states_add_slice"
	if phones == nil {
		ctx = clickhouse.Context(params(ctx, ofSliceOf(org, s)), clickhouse.WithSettings(clickhouse.Settings{"max_bytes_before_external_group_by": 256 << 20}))
	} else {
		document = "states_add_leads"
		if ctx, err = withLeads(ctx, ofSliceOf(org, s), phones); err != nil {
			return err
		}
	}
	if err := db.conn.Exec(ctx, sqlText(document)); err != nil {
		return unavailable(fmt.Errorf("add states: %w", err))
	}
	return nil
}

// DropStates implements reconcile.Store.
func (db *DB) DropStates(ctx context.Context, org leadevents.OrgID, s reconcile.Slice) error {
	ctx = clickhouse.Context(params(ctx, ofSliceOf(org, s)), clickhouse.WithSettings(clickhouse.Settings{"lightweight_deletes_sync": 2}))
	if err := db.silently(ctx, sqlText("states_drop")); err != nil {
		return unavailable(fmt.Errorf("remove states that reach too far: %w", err))
	}
	return nil
}

// SampleRows implements reconcile.Store.
func (db *DB) SampleRows(ctx context.Context, org leadevents.OrgID, since, before leadevents.Millis, n int) (sample []reconcile.Row, err error) {
	p := clickhouse.Parameters{"organization": org.String(), "since": asMillis(since), "before": asMillis(before), "limit": strconv.Itoa(n)}
	err = db.stream(ctx, "reconcile_sample", p, func(rows driver.Rows) error {
		var (
			eventType    string
			phone, batch uint64
			at           int64
		)
		err := rows.Scan(&eventType, &phone, &at, &batch)
		key := leadevents.Key{Org: org, EventType: eventType, Phone: leadevents.Phone(phone), OccurredAt: leadevents.Millis(at)}
		sample = append(sample, reconcile.Row{Key: key, Batch: leadevents.BatchID(batch)})
		return err
	})
	return sample, err
}

// StoredOrganizations are those that have events, states or receipts.
func (db *DB) StoredOrganizations(ctx context.Context) (all []leadevents.OrgID, err error) {
	err = db.stream(ctx, "reconcile_organizations", nil, func(rows driver.Rows) error {
		var id uint64
		err := rows.Scan(&id)
		all = append(all, leadevents.OrgID(id))
		return err
	})
	return all, err
}
