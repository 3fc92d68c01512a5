package clickhouse

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/ext"

	"leadevents"
	"leadevents/query/audience"
)

// evaluation is a question on its way to the server.
type evaluation struct {
	audience.Evaluation
	db  *DB
	org leadevents.OrgID
	run uint64 // of a materialization
}

// newEvaluation checks what a programmer may forget: a source that names nobody
// must not become "everybody".
func (db *DB) newEvaluation(org leadevents.OrgID, run uint64, e audience.Evaluation) (*evaluation, error) {
	switch e.Leads.Source {
	case audience.Stored, audience.Listed, audience.EverHad, audience.EveryLead:
	default:
		return nil, leadevents.Errorf(leadevents.Internal, "the evaluation names no leads")
	}
	if err := audience.ValidateFilters(e.Filters, "eventFilters"); err != nil {
		return nil, err
	}
	if e.List != nil && e.List.Mode != audience.Include && e.List.Mode != audience.Exclude {
		return nil, leadevents.Errorf(leadevents.Internal, "the list filter has no mode")
	}
	return &evaluation{Evaluation: e, db: db, org: org, run: run}, nil
}

// slice is a range of phones, both ends included.
type slice struct{ from, to uint64 }

// everyPhone is the slice that is all.
var everyPhone = slice{0, math.MaxUint64}

// question is one query of an evaluation, with its parameters.
type question struct {
	*where
	*evaluation
	slice
}

func (v *evaluation) question(s slice) *question {
	q := &question{where: newWhere(), evaluation: v, slice: s}
	q.parameters["organization"] = v.org.String()
	q.parameters["run"] = strconv.FormatUint(v.run, 10)
	q.parameters["first"], q.parameters["last"] = strconv.FormatUint(s.from, 10), strconv.FormatUint(s.to, 10)
	return q
}

// ofOrganization and ofSlice are the conditions that every part of a query has.
const (
	ofOrganization = "organization_id = {organization:UInt64}"
	ofSlice        = ofOrganization + " AND phone >= {first:UInt64} AND phone <= {last:UInt64}"
)

// context gives a query its parameters, settings and, where phones were listed,
// those.
func (q *question) context(ctx context.Context) (context.Context, error) {
	ctx = clickhouse.Context(q.bind(ctx), clickhouse.WithSettings(clickhouse.Settings{
		"allow_simdjson":                   1,
		"max_query_size":                   maxQuerySize,
		"max_ast_elements":                 maxQueryNodes,
		"max_expanded_ast_elements":        maxQueryNodes,
		"use_index_for_in_with_subqueries": 0,
	}))
	if q.Leads.Source != audience.Listed {
		return ctx, nil
	}
	table, err := ext.NewTable("listed", ext.Column("phone", "UInt64"))
	if err != nil {
		return nil, fmt.Errorf("describe the listed phones: %w", err)
	}
	phones := make([]uint64, len(q.Leads.Phones))
	for i, p := range q.Leads.Phones {
		phones[i] = uint64(p)
	}
	if _, err := table.Block().Columns[0].Append(phones); err != nil {
		return nil, fmt.Errorf("append %d listed phones: %w", len(phones), err)
	}
	return clickhouse.Context(ctx, clickhouse.WithExternalTable(table)), nil
}

// leads selects (phone, external_id) of the slice, each phone once.
func (q *question) leads() string {
	switch q.Leads.Source {
	case audience.Stored:
		layers := q.layers()
		if len(q.Leads.Layers) <= 1 {
			return "SELECT phone, external_id FROM audience_leads WHERE " + ofSlice + " AND layer IN " + layers
		}
		return "SELECT phone, argMin(external_id, indexOf(" + layers + ", layer)) AS external_id FROM audience_leads WHERE " + ofSlice +
			" AND layer IN " + layers + " GROUP BY phone"
	default:
		return "SELECT DISTINCT phone, '' AS external_id FROM (" + q.phones() + ")"
	}
}

func (q *question) layers() string {
	texts := make([]string, len(q.Leads.Layers))
	for i, l := range q.Leads.Layers {
		texts[i] = strconv.FormatUint(l, 10)
	}
	return q.parameter("Array(UInt64)", "["+strings.Join(texts, ",")+"]")
}

// frozenAudience is the "filter" under which a materialization writes down the
// phones of an audience that is a question to the events itself.
const frozenAudience = 255

// phones selects the phones of the slice, some of them more than once.
func (q *question) phones() string {
	switch q.Leads.Source {
	case audience.Stored:
		return "SELECT phone FROM audience_leads WHERE " + ofSlice + " AND layer IN " + q.layers()
	case audience.Listed:
		return "SELECT phone FROM listed WHERE phone >= {first:UInt64} AND phone <= {last:UInt64}"
	}
	if q.run != 0 {
		return fmt.Sprintf("SELECT phone FROM send_evidence WHERE %s AND run = {run:UInt64} AND filter = %d", ofSlice, frozenAudience)
	}
	return q.living()
}

// living selects the phones of leads by their events.
func (q *question) living() string {
	sql := "SELECT phone FROM lead_states WHERE " + ofSlice
	if q.Leads.Source == audience.EverHad {
		sql += " AND event_type = " + q.text(q.Leads.EventType)
	}
	return sql
}

// listed is true for leads (phone, external_id) that the list filter names.
func (q *question) listed() string {
	if q.List == nil {
		return "false"
	}
	id := q.parameter("UInt64", strconv.FormatUint(q.List.ID, 10))
	of := "FROM send_lists WHERE " + ofOrganization + " AND list = " + id
	return "(phone IN (SELECT phone " + of + " AND external_id = '' AND phone >= {first:UInt64} AND phone <= {last:UInt64})" +
		" OR external_id != '' AND external_id IN (SELECT external_id " + of + " AND phone = 0))"
}

// events are the rows that a filter counts. FINAL where the metadata decides: of
// two rows with one key the one that stays is asked.
func (q *question) events(f audience.Filter) string {
	final := ""
	if len(f.Where) > 0 {
		final = " FINAL"
	}
	return "FROM lead_events" + final + " WHERE " + ofSlice + " AND " + q.matches(f, q.FireAt, q.ClockSkew) + " AND phone IN (" + q.phones() + ")"
}

// decided adds dropped_by to leads (phone, external_id, listed, passed).
func (q *question) decided(columns, leads string) string {
	var drops strings.Builder
	if q.List != nil {
		fmt.Fprintf(&drops, "%slisted, 1, ", map[audience.Mode]string{audience.Include: "NOT ", audience.Exclude: ""}[q.List.Mode])
	}
	for i := range q.Filters {
		fmt.Fprintf(&drops, "bitAnd(passed, %d) = 0, %d, ", 1<<i, 2+i)
	}
	dropped := "0"
	if drops.Len() > 0 {
		dropped = "multiIf(" + drops.String() + "0)"
	}
	return "SELECT " + columns + ", toUInt8(" + dropped + ") AS dropped_by FROM (" + leads + ")"
}

// weighed are the leads with listed and passed, where matching selects the phones
// that have the events a filter asks for.
func (q *question) weighed(matching func(i int, f audience.Filter) string) string {
	passed := "0"
	for i, f := range q.Filters {
		not := ""
		if f.Mode == audience.Exclude {
			not = " NOT"
		}
		passed += fmt.Sprintf(" + if(phone%s IN (%s), %d, 0)", not, matching(i, f), 1<<i)
	}
	return "SELECT phone, external_id, " + q.listed() + " AS listed, toUInt16(" + passed + ") AS passed FROM (" + q.leads() + ")"
}

// Preview counts what a send would keep of its leads at this moment. It leaves
// nothing behind.
func (db *DB) Preview(ctx context.Context, org leadevents.OrgID, e audience.Evaluation) (audience.Totals, error) {
	v, err := db.newEvaluation(org, 0, e)
	if err != nil {
		return audience.Totals{}, err
	}
	slices, err := v.slices(ctx)
	if err != nil {
		return audience.Totals{}, err
	}
	totals := audience.Totals{DroppedByFilters: make([]uint64, len(e.Filters))}
	for _, s := range slices {
		q := v.question(s)
		sql := "SELECT dropped_by, count() FROM (" + q.decided("phone", q.weighed(func(_ int, f audience.Filter) string {
			return "SELECT phone " + q.events(f) + fmt.Sprintf(" GROUP BY phone HAVING uniqExact(occurred_at) >= %d", f.MinCount)
		})) + ") GROUP BY dropped_by"
		if err := q.count(ctx, sql, &totals); err != nil {
			return audience.Totals{}, fmt.Errorf("preview: %w", err)
		}
	}
	return totals, nil
}

// count adds the counts of a query by dropped_by.
func (q *question) count(ctx context.Context, sql string, totals *audience.Totals) error {
	ctx, err := q.context(ctx)
	if err != nil {
		return err
	}
	rows, err := q.db.conn.Query(ctx, sql)
	if err != nil {
		return unavailable(err)
	}
	defer rows.Close()
	for rows.Next() {
		var droppedBy uint8
		var n uint64
		if err := rows.Scan(&droppedBy, &n); err != nil {
			return unavailable(err)
		}
		totals.Total += n
		switch {
		case droppedBy == 0:
			totals.Kept += n
		case droppedBy == 1:
			totals.DroppedByList += n
		default:
			totals.DroppedByFilters[droppedBy-2] += n
		}
	}
	return unavailable(rows.Err())
}
