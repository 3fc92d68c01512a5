package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/ext"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"golang.org/x/sync/errgroup"

	"leadevents"
	"leadevents/query/audience"
)

// campaignWay is one way to count whom the two filters keep of a layer.
type campaignWay struct {
	name string
	ask  func(ctx context.Context) (kept uint64, err error)
}

// campaignSQL writes the parts that the ways share.
type campaignSQL struct {
	layer    leadevents.Layer
	from, to leadevents.Millis
}

func (b *campaignBench) sql(layer leadevents.Layer) campaignSQL {
	from, to, _ := twoFilters()[1].Window(b.now, 5*time.Minute)
	return campaignSQL{layer, from, to}
}

func of(eventType string) string {
	return fmt.Sprintf("organization_id = %d AND event_type = '%s'", campaignOrg, eventType)
}

func (q campaignSQL) window(column string) string {
	return fmt.Sprintf(" AND %s BETWEEN fromUnixTimestamp64Milli(%d, 'UTC') AND fromUnixTimestamp64Milli(%d, 'UTC')", column, q.from, q.to)
}

func (q campaignSQL) leads() string {
	return fmt.Sprintf("SELECT phone FROM audience_leads WHERE organization_id = %d AND layer = %d", campaignOrg, q.layer)
}

// never and month are the phones that the filters know, from a table.
func (q campaignSQL) never(table string) string {
	return "SELECT phone FROM " + table + " WHERE " + of(typeNever)
}

func (q campaignSQL) month(table, column string) string {
	return "SELECT phone FROM " + table + " WHERE " + of(typeMonth) + q.window(column)
}

// masked counts leads by the filters that know them, of one scan of the states.
func (q campaignSQL) masked(among string) string {
	return fmt.Sprintf(`SELECT sumIf(n, mask = 2) FROM (SELECT mask, count() AS n FROM (
		SELECT phone, groupBitOr(if(event_type = '%s', 1, 2)) AS mask FROM lead_states PREWHERE phone IN (%s)
		WHERE organization_id = %d AND (event_type = '%s' OR event_type = '%s'%s) GROUP BY phone) GROUP BY mask)`,
		typeNever, among, campaignOrg, typeNever, typeMonth, q.window("last_at"))
}

// Settings of the ways: without the first, the server prepares every set for the
// sorting key, which takes seconds for millions of phones.
var (
	noIndexForIn = clickhouse.Settings{"use_index_for_in_with_subqueries": 0, "max_threads": 2}
	asTheyCome   = clickhouse.Settings{"max_threads": 2}
)

// obvious is what one writes first: exact, since FINAL collapses rows that stand
// twice.
func (q campaignSQL) obvious() string {
	return "SELECT count() FROM (" + q.leads() + ") WHERE phone NOT IN (" + strings.Replace(q.never("lead_events"), " WHERE", " FINAL WHERE", 1) +
		") AND phone IN (" + strings.Replace(q.month("lead_events", "occurred_at"), " WHERE", " FINAL WHERE", 1) + ")"
}

const (
	wayOurs    = "ours (Preview)"
	wayObvious = "the obvious query: NOT IN and IN, lead_events FINAL"
)

// ways are all, ours first, the obvious one last.
func (b *campaignBench) ways(d *campaignData, layer leadevents.Layer) []campaignWay {
	q := b.sql(layer)
	single := func(name string, settings clickhouse.Settings, sql string) campaignWay {
		return campaignWay{name, func(ctx context.Context) (kept uint64, err error) {
			err = d.conn.QueryRow(clickhouse.Context(ctx, clickhouse.WithSettings(settings)), sql).Scan(&kept)
			return kept, err
		}}
	}
	states := func(join string) string {
		return "SELECT count() FROM (" + q.leads() + ") AS leads LEFT ANTI JOIN (" + q.never("lead_states") + ") AS never USING (phone) LEFT SEMI JOIN (" +
			q.month("lead_states", "last_at") + ") AS month USING (phone)" + join
	}
	return []campaignWay{
		{wayOurs, func(ctx context.Context) (uint64, error) {
			totals, err := d.ours.Preview(ctx, campaignOrg, b.evaluation(layer, twoFilters()))
			return totals.Kept, err
		}},
		single("states: NOT IN and IN", noIndexForIn, "SELECT count() FROM ("+q.leads()+") WHERE phone NOT IN ("+q.never("lead_states")+") AND phone IN ("+q.month("lead_states", "last_at")+")"),
		single("states: anti and semi join", asTheyCome, states("")),
		single("states: anti and semi join, grace hash", asTheyCome, states(" SETTINGS join_algorithm = 'grace_hash', grace_hash_join_initial_buckets = 16")),
		single("states: one scan, leads as a set, mask a phone", noIndexForIn, q.masked(q.leads())),
		{"states: the same in 16 slices of phones, two at once", func(ctx context.Context) (uint64, error) { return q.sliced(ctx, d.conn) }},
		{"states: the same, leads as an external table", func(ctx context.Context) (uint64, error) { return q.external(ctx, d.conn) }},
		single("states: bitmaps", noIndexForIn, "SELECT bitmapAndCardinality(bitmapAndnot((SELECT groupBitmapState(phone) FROM ("+q.leads()+")), (SELECT groupBitmapState(phone) FROM ("+
			q.never("lead_states")+"))), (SELECT groupBitmapState(phone) FROM ("+q.month("lead_states", "last_at")+")))"),
		single("states: all grouped by phone, in order", clickhouse.Settings{"optimize_aggregation_in_order": 1, "max_threads": 2},
			"SELECT countIf(bits = 6) FROM (SELECT phone, groupBitOr(bit) AS bits FROM (SELECT phone, 4 AS bit FROM ("+q.leads()+") UNION ALL SELECT phone, 1 FROM ("+
				q.never("lead_states")+") UNION ALL SELECT phone, 2 FROM ("+q.month("lead_states", "last_at")+")) GROUP BY phone)"),
		single("events: NOT IN and IN", noIndexForIn, "SELECT count() FROM ("+q.leads()+") WHERE phone NOT IN ("+q.never("lead_events")+") AND phone IN ("+q.month("lead_events", "occurred_at")+")"),
		single(wayObvious+", index for IN off", noIndexForIn, q.obvious()),
		single(wayObvious, asTheyCome, q.obvious()),
	}
}

// sliced cuts the phones by the quantiles of the leads.
func (q campaignSQL) sliced(ctx context.Context, conn driver.Conn) (kept uint64, err error) {
	const slices = 16
	levels := make([]string, slices-1)
	for i := range levels {
		levels[i] = fmt.Sprint(float64(i+1) / slices)
	}
	var cuts []float64
	if err := conn.QueryRow(ctx, "SELECT quantiles("+strings.Join(levels, ", ")+")(phone) FROM ("+q.leads()+")").Scan(&cuts); err != nil {
		return 0, err
	}
	cuts = append(append([]float64{0}, cuts...), 1<<63)
	counts := make([]uint64, slices)
	var group errgroup.Group
	group.SetLimit(2)
	for i := range counts {
		group.Go(func() error {
			in := fmt.Sprintf(" AND phone >= %d AND phone < %d", uint64(cuts[i]), uint64(cuts[i+1]))
			sql := strings.Replace(q.masked(q.leads()+in), ") GROUP BY phone)", " AND indexHint(1"+in+")) GROUP BY phone)", 1)
			sql = strings.Replace(sql, "WHERE organization_id", "WHERE indexHint(1"+in+") AND organization_id", 1)
			return conn.QueryRow(clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"use_index_for_in_with_subqueries": 0, "max_threads": 1})), sql).Scan(&counts[i])
		})
	}
	err = group.Wait()
	for _, n := range counts {
		kept += n
	}
	return kept, err
}

// external reads the leads and sends them back with the query.
func (q campaignSQL) external(ctx context.Context, conn driver.Conn) (kept uint64, err error) {
	rows, err := conn.Query(ctx, q.leads())
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	var phones []uint64
	for rows.Next() {
		var phone uint64
		if err := rows.Scan(&phone); err != nil {
			return 0, err
		}
		phones = append(phones, phone)
	}
	if err := rows.Err(); err != nil {
		return 0, err
	}
	table, err := ext.NewTable("leads", ext.Column("phone", "UInt64"))
	if err != nil {
		return 0, err
	}
	if _, err := table.Block().Columns[0].Append(phones); err != nil {
		return 0, err
	}
	err = conn.QueryRow(clickhouse.Context(ctx, clickhouse.WithSettings(noIndexForIn), clickhouse.WithExternalTable(table)), q.masked("SELECT phone FROM leads")).Scan(&kept)
	return kept, err
}

// filters that are previewed alone.
func windowed(minutes int) []audience.Filter {
	return []audience.Filter{{Mode: audience.Include, EventType: typeMonth, MinCount: 1, Within: within(minutes)}}
}
