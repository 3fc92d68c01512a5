package clickhouse

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"leadevents"
	"leadevents/query/audience"
	"leadevents/query/report"
)

// ReportConfig bounds the reports of analysts.
type ReportConfig struct {
	// AtOnce is how many are under way at once; default 4. Others wait for them.
	AtOnce int
	// Threads is how many cores of the server one of them keeps busy; default 2.
	Threads int
	// Memory bounds what one of its queries holds at the server; default 1 GiB. What would
	// be more than a quarter of it is grouped or sorted on the disk, if it can be.
	Memory uint64
	// Timeout bounds one of them; default 30 s.
	Timeout time.Duration
	// Raw counts all rows, those that stand twice, too: what benchmarks compare with.
	Raw bool
}

func (c ReportConfig) withDefaults() ReportConfig {
	c.AtOnce = cmp.Or(c.AtOnce, 4)
	c.Threads = cmp.Or(c.Threads, 2)
	c.Memory = cmp.Or(c.Memory, 1<<30)
	c.Timeout = cmp.Or(c.Timeout, 30*time.Second)
	return c
}

// reporting is what reports share.
type reporting struct {
	ReportConfig
	gate *gate
}

func newReporting(cfg ReportConfig) *reporting {
	cfg = cfg.withDefaults()
	return &reporting{cfg, newGateOf(cfg.AtOnce, "reports", "reports.at_once")}
}

// reportQuery is one query of a report, with its parameters.
//
// # Duplicates
//
// Of rows with one key one is the event, and FINAL knows which. Its merge costs 150 ns of
// a processor for each row: nine times a plain count by hour (16 ns), 1.8 times a
// breakdown, whose JSON costs 240. What was tried instead, over 4.2 million rows of one
// type and month in nine parts, is not cheaper where FINAL is dear: reading in order of
// the key with LIMIT 1 BY 106 ns, with the metadata as much as FINAL; uniqExact of the
// keys of each hour 157 ns and eight times the memory; PREWHERE with FINAL and FINAL
// without enable_vertical_final as much or more. Parts that do not intersect are not
// merged anyway, and years are merged by themselves, since the year is a function of the
// key. So:
//
//   - what does not change when a row stands twice is asked of all rows: leads, and the
//     steps of funnels and periods of retentions, unless the metadata decides, in which
//     two rows of one key may differ;
//   - events are counted by rows less known duplicates (repeats.go);
//   - everything that reads the metadata goes through FINAL.
type reportQuery struct {
	*where
	db       *DB
	org      leadevents.OrgID
	grouping uint64 // bytes from which on is grouped on the disk
}

func (db *DB) newReport(org leadevents.OrgID, r report.Range) *reportQuery {
	// A quarter, for there may be two GROUP BY at once, and each may hold twice as much
	// when it changes its table for a larger one.
	q := &reportQuery{newWhere(), db, org, db.reports.Memory / 4}
	q.parameters["organization"] = org.String()
	q.span(r.From, r.To)
	return q
}

// span is which events are read: from on, and before until.
func (q *reportQuery) span(from, until leadevents.Millis) {
	q.parameters["from"], q.parameters["until"] = strconv.FormatInt(int64(from), 10), strconv.FormatInt(int64(until), 10)
}

// settings of a report's queries.
func (q *reportQuery) settings() clickhouse.Settings {
	c := q.db.reports
	settings := q.where.settings()
	settings["max_threads"] = c.Threads
	settings["max_memory_usage"] = c.Memory
	settings["max_bytes_before_external_group_by"] = q.grouping
	settings["max_bytes_before_external_sort"] = c.Memory / 4
	settings["max_execution_time"] = int(c.Timeout.Seconds()) + 1 // ours ends it before
	// All that a query reads is of one moment, though it reads the table several times.
	settings["enable_shared_storage_snapshot_in_query"] = 1
	return settings
}

// rows runs the query and hands its rows on.
func (q *reportQuery) rows(ctx context.Context, sql string, row func(driver.Rows) error) error {
	ctx = clickhouse.Context(ctx, clickhouse.WithParameters(q.parameters), clickhouse.WithSettings(q.settings()))
	rows, err := q.db.conn.Query(ctx, sql)
	if err != nil {
		return q.refused(err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows); err != nil {
			return fmt.Errorf("read a report: %w", err)
		}
	}
	return q.refused(rows.Err())
}

// outOfMemory says whether a query wanted more memory than it may have.
func outOfMemory(err error) bool {
	exception, ok := errors.AsType[*clickhouse.Exception](err)
	return ok && exception.Code == codeMemoryLimit && strings.Contains(exception.Message, "Query memory limit")
}

// refused tells the limits of reports from failures.
func (q *reportQuery) refused(err error) error {
	exception, ok := errors.AsType[*clickhouse.Exception](err)
	switch {
	case err == nil:
		return nil
	case outOfMemory(err):
		return leadevents.Wrap(leadevents.QueryLimit, err, "the report needs more than the %d MiB of memory that one may have (reports.memory): ask for a shorter range, a path with fewer values, or approximate", q.db.reports.Memory>>20)
	case ok && (exception.Code == codeTimeout || exception.Code == codeTooSlow):
		return q.db.reports.late(err)
	}
	return unavailable(fmt.Errorf("run a report: %w", err))
}

func (r *reporting) late(err error) error {
	return leadevents.Wrap(leadevents.QueryLimit, err, "the report did not end within %s (reports.timeout): ask for a shorter range, or for fewer types, steps or groups", r.Timeout)
}

// run runs a report within its limits. The wait for a place counts, but a report that
// found none is to be sent again.
func (r *reporting) run(ctx context.Context, work func(ctx context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	leave, err := r.gate.enter(limited)
	if err != nil {
		return err
	}
	defer leave()
	err = work(limited)
	if err != nil && expired(limited) && ctx.Err() == nil && leadevents.KindOf(err) != leadevents.QueryLimit {
		return r.late(err)
	}
	return err
}

// final is how rows are read whose metadata decides; approximate reports take all of
// them.
func (q *reportQuery) final(r report.Range, decides bool) string {
	if decides && !r.Approximate && !q.db.reports.Raw {
		return "FINAL"
	}
	return ""
}

// leads is how distinct leads are counted.
func leads(r report.Range) string {
	if r.Approximate {
		return "uniq(phone)"
	}
	return "uniqExact(phone)"
}

// conditions is a where as an expression.
func (q *reportQuery) conditions(where []audience.Condition) string {
	if len(where) == 0 {
		return "1"
	}
	return q.holdAll("metadata", where)
}

// selected is true for the events of a selection.
func (q *reportQuery) selected(s report.Selection) string {
	return "(event_type = " + q.text(s.EventType) + " AND " + q.conditions(s.Where) + ")"
}

// occurredAt is the moment of an event in ms.
const occurredAt = "toUnixTimestamp64Milli(occurred_at)"

// start is the start of the interval that a moment lies in, in ms. Where all intervals
// are of one length it is arithmetic, else (days of a zone with summer time,
// months) a binary search.
func (q *reportQuery) start(at string, starts []leadevents.Millis) string {
	width := leadevents.Millis(1)
	if len(starts) > 1 {
		width = starts[1] - starts[0]
	} else {
		width = 1 << 50 // all of it
	}
	uniform := true
	for i := 1; i < len(starts); i++ {
		uniform = uniform && starts[i]-starts[i-1] == width
	}
	if uniform {
		first, width := q.parameter("Int64", strconv.FormatInt(int64(starts[0]), 10)), q.parameter("Int64", strconv.FormatInt(int64(width), 10))
		last := q.parameter("Int64", strconv.Itoa(len(starts)-1)) // which may be longer
		return fmt.Sprintf("%s + least(intDiv(%s - %s, %s), %s) * %s", first, at, first, width, last, width)
	}
	var list strings.Builder
	for i, start := range starts {
		if i > 0 {
			list.WriteByte(',')
		}
		list.WriteString(strconv.FormatInt(int64(start), 10))
	}
	return fmt.Sprintf("roundDown(%s, %s)", at, q.parameter("Array(Int64)", "["+list.String()+"]"))
}

// groupOf is the group that a query calls by its JSON.
func groupOf(key string) report.Group {
	switch key {
	case "*":
		return report.Group{Kind: report.OfOther}
	case "":
		return report.Group{Kind: report.OfMissing}
	case "[":
		return report.Group{Kind: report.OfArray}
	case "{":
		return report.Group{Kind: report.OfObject}
	default:
		return report.Group{Kind: report.OfValue, Value: audience.ScalarOf([]byte(key))}
	}
}

func (q *reportQuery) limit(n int) {
	q.parameters["limit"] = strconv.Itoa(n)
}

func (q *reportQuery) types(types ...string) {
	q.parameters["types"] = parameterTexts(types)
}
