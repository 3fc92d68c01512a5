package clickhouse

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	gocmp "github.com/google/go-cmp/cmp"

	"leadevents"
	"leadevents/internal/storetest"
	"leadevents/query/audience"
	"leadevents/query/report"
)

const (
	reportOrg   leadevents.OrgID = 7
	reportOther leadevents.OrgID = 8 // has the same leads, types and moments
)

// reportWorld is a database with random events, some rows of one key twice and with other
// metadata, and what is known of them in Go.
type reportWorld struct {
	source
	t       *testing.T
	db      *DB
	rows    []report.Event // in the order of their inserts
	types   []string
	moments []leadevents.Millis
	phones  []leadevents.Phone
}

// zones have summer time by the hour, by half of one, at midnight, in the south, or none.
var zones = []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Havana", "Asia/Kathmandu", "America/Sao_Paulo", "Pacific/Apia"}

func newReportWorld(t *testing.T) *reportWorld {
	w := &reportWorld{source: whereSeed(t), t: t, db: credentialsIn(t, storetest.ClickHouse(t)), types: []string{"a", "b", "c", "é'\\"}}
	for _, table := range []string{"lead_events", "lead_states"} { // what stands twice stays so
		if err := w.db.conn.Exec(t.Context(), "SYSTEM STOP MERGES "+table); err != nil {
			t.Fatal(err)
		}
	}
	for range 40 {
		w.phones = append(w.phones, leadevents.Phone(1+w.Uint64N(pick(w.source, []uint64{60, 1e11, 1e15}))))
	}
	// Around changes of the clocks, the end of a year, the first and the last moment.
	for _, at := range []string{"2018-02-18T02:00:00Z", "2024-03-31T01:00:00Z", "2024-10-27T01:00:00Z", "2024-11-03T05:00:00Z", "2011-12-30T10:00:00Z", "2025-01-01T00:00:00Z", "2098-07-01T00:00:00Z"} {
		m, ok := leadevents.ParseMillis([]byte(at))
		if !ok {
			t.Fatal(at)
		}
		w.moments = append(w.moments, m)
	}
	w.moments = append(w.moments, leadevents.MinOccurredAt, leadevents.MaxOccurredAt)
	w.store()
	return w
}

// moment is one of few, so that events meet: near one of the moments, to the
// millisecond, the minute, the hour or the day.
func (w *reportWorld) moment() leadevents.Millis {
	at := pick(w.source, w.moments[:1+w.IntN(len(w.moments))])
	step := pick(w.source, []leadevents.Millis{1, 1, 1000, 60_000, 3_600_000, 3_600_000, 86_400_000, 7 * 86_400_000})
	at += step * leadevents.Millis(w.IntN(41)-20)
	return min(max(at, leadevents.MinOccurredAt), leadevents.MaxOccurredAt)
}

func (w *reportWorld) store() {
	for range 900 {
		e := report.Event{Phone: pick(w.source, w.phones), Event: audience.Event{EventType: pick(w.source, w.types), OccurredAt: w.moment(), Metadata: []byte(w.metadata())}}
		w.rows = append(w.rows, e)
		if w.IntN(4) == 0 { // the same lead soon does something else, or the same again
			e.EventType, e.OccurredAt = pick(w.source, w.types), min(e.OccurredAt+leadevents.Millis(w.IntN(3)), leadevents.MaxOccurredAt)
			w.rows = append(w.rows, e)
		}
	}
	for _, e := range slices.Clone(w.rows) {
		switch w.IntN(6) {
		case 0:
			e.Metadata = []byte(w.metadata())
			fallthrough
		case 1:
			w.rows = append(w.rows, e)
		}
	}
	const inserts = 7
	for i := range inserts {
		rows := &leadevents.Rows{IngestedAt: w.moments[0]}
		for _, e := range w.rows[len(w.rows)*i/inserts : len(w.rows)*(i+1)/inserts] {
			event := leadevents.Event{Phone: e.Phone, OccurredAt: e.OccurredAt, Metadata: e.Metadata}
			rows.Append(reportOrg, e.EventType, event, leadevents.BatchID(i+1))
			event.Metadata = []byte(w.metadata())
			rows.Append(reportOther, pick(w.source, w.types), event, leadevents.BatchID(i+1))
		}
		if err := w.db.InsertEvents(w.t.Context(), rows, "events "+strconv.Itoa(i), ""); err != nil {
			w.t.Fatal(err)
		}
	}
}

// span draws a range with an edge at an event or beside it.
func (w *reportWorld) span() report.Range {
	for {
		from := w.moment()
		r := report.Range{From: from, To: from + pick(w.source, []leadevents.Millis{1, 1000, 3_600_000, 86_400_000, 40 * 86_400_000, 400 * 86_400_000, leadevents.MaxOccurredAt})}
		r.From = max(r.From-pick(w.source, []leadevents.Millis{0, 1, 3_600_000, 40 * 86_400_000}), 0)
		r.To = min(r.To, leadevents.MaxOccurredAt)
		if r.From < r.To {
			return r
		}
	}
}

func (w *reportWorld) zone() report.Zone {
	z, err := report.LoadZone(pick(w.source, zones), "timeZone")
	if err != nil {
		w.t.Fatal(err)
	}
	return z
}

func (w *reportWorld) where() (all []audience.Condition) {
	for range pick(w.source, []int{0, 0, 0, 1, 1, 2}) {
		all = append(all, w.condition())
	}
	return all
}

func (w *reportWorld) selection() report.Selection {
	return report.Selection{EventType: pick(w.source, w.types), Where: w.where()}
}

func (w *reportWorld) pathText() string {
	var path string
	if err := json.Unmarshal([]byte(w.path()), &path); err != nil {
		w.t.Fatal(err)
	}
	return path
}

func (w *reportWorld) split() *report.Split {
	if w.IntN(2) == 0 {
		return nil
	}
	return &report.Split{Path: w.pathText(), Limit: pick(w.source, []int{1, 2, 5, 100})}
}

// agree compares answers, as JSON.
func agree(t *testing.T, question []byte, inGo, inSQL any) {
	t.Helper()
	texts := make([]string, 2)
	for i, v := range []any{inGo, inSQL} {
		text, err := json.MarshalIndent(v, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		texts[i] = string(text)
	}
	if texts[0] != texts[1] {
		t.Errorf("%s\nGo (-) and ClickHouse (+):\n%.3000s", question, gocmp.Diff(texts[0], texts[1]))
	}
}

const reportRounds = 100

func TestTimeseriesEqualTheirMeaning(t *testing.T) {
	w := newReportWorld(t)
	counted := 0
	for range reportRounds {
		q := report.Timeseries{
			Range: w.span(), Where: w.where(), Zone: w.zone(), Breakdown: w.split(),
			Measure: pick(w.source, []report.Measure{report.Events, report.Leads}), Interval: pick(w.source, report.Intervals()),
		}
		for _, i := range w.Perm(len(w.types))[:1+w.IntN(len(w.types))] {
			q.EventTypes = append(q.EventTypes, w.types[i])
		}
		if q.Validate() != nil {
			continue // too many intervals
		}
		got, err := w.db.Timeseries(t.Context(), reportOrg, q)
		if err != nil {
			t.Fatalf("%s: %v", q.AppendJSON(nil), err)
		}
		want := q.Count(w.rows)
		agree(t, q.AppendJSON(nil), want, got)
		for _, s := range got {
			for _, n := range s.Counts {
				counted += int(n)
			}
		}
	}
	if counted < 50 {
		t.Errorf("%d events in all: the generator tests nothing", counted)
	}
}

func TestBreakdownsEqualTheirMeaning(t *testing.T) {
	w := newReportWorld(t)
	numbers, loose := 0, 0
	for range reportRounds {
		q := report.Breakdown{Range: w.span(), Selection: w.selection(), OrderBy: pick(w.source, []report.Measure{report.Events, report.Leads})}
		q.Path, q.Limit = w.pathText(), pick(w.source, []int{1, 2, 5, 100})
		if w.IntN(3) > 0 {
			q.Number = &report.Number{Path: pick(w.source, []string{"a", "a", "a", "b", w.pathText()})}
			levels := []float64{0, 0.1, 0.25, 0.5, 0.9, 1}
			q.Number.Quantiles = levels[:w.IntN(len(levels)+1)]
		}
		got, err := w.db.Breakdown(t.Context(), reportOrg, q)
		if err != nil {
			t.Fatalf("%s: %v", q.AppendJSON(nil), err)
		}
		want := q.Divide(w.rows)
		// A sum that is not exact depends on the order in which it is made.
		same := func(a, b *report.Numbers) {
			if a == nil || b == nil {
				return
			}
			numbers += int(a.Events)
			if !a.Exact && !b.Exact {
				loose++
				// At the end of the range a sum on the way may have left it, in one order and not in the other.
				if x, y := a.Sum.Float(), b.Sum.Float(); max(abs(x), abs(y)) < 1e307 && abs(x-y) > 1e-9*max(abs(x), abs(y), 1e300) {
					t.Errorf("%s: sums of %s and %s", q.AppendJSON(nil), *a.Sum, *b.Sum)
				}
				b.Sum, b.Average = a.Sum, a.Average
			}
		}
		same(want.Total.Number, got.Total.Number)
		for i := range min(len(want.Groups), len(got.Groups)) {
			same(want.Groups[i].Number, got.Groups[i].Number)
		}
		agree(t, q.AppendJSON(nil), want, got)
	}
	if numbers < 50 || loose == 0 {
		t.Errorf("%d numbers, %d sums that are not exact: the generator tests nothing", numbers, loose)
	}
}

func abs(f float64) float64 { return max(f, -f) }

func TestFunnelsEqualTheirMeaning(t *testing.T) {
	w := newReportWorld(t)
	reached := map[int]uint64{}
	for range reportRounds {
		q := report.Funnel{Range: w.span(), Minutes: pick(w.source, []int{1, 60, 1440, 40 * 1440, audience.MaxMinutes}), Breakdown: w.split()}
		for range pick(w.source, []int{2, 2, 3, 3, 4}) {
			q.Steps = append(q.Steps, report.Selection{EventType: pick(w.source, w.types)})
			if w.IntN(4) == 0 {
				q.Steps[len(q.Steps)-1].Where = w.where()
			}
		}
		if w.IntN(6) == 0 { // the longest, which somebody gets to the end of
			q.Range, q.Minutes, q.Steps = report.Range{To: leadevents.MaxOccurredAt}, audience.MaxMinutes, nil
			for range report.MaxSteps {
				q.Steps = append(q.Steps, report.Selection{EventType: pick(w.source, w.types[:2])})
			}
		}
		got, err := w.db.Funnel(t.Context(), reportOrg, q)
		if err != nil {
			t.Fatalf("%s: %v", q.AppendJSON(nil), err)
		}
		agree(t, q.AppendJSON(nil), q.Follow(w.rows), got)
		for i, s := range got.Steps {
			reached[i] += s.Leads
		}
	}
	if reached[0] < 50 || reached[2] == 0 || reached[9] == 0 {
		t.Errorf("steps were reached %v: the generator tests nothing", reached)
	}
}

func TestRetentionsEqualTheirMeaning(t *testing.T) {
	w := newReportWorld(t)
	var leads, returned uint64
	for range reportRounds {
		q := report.Retention{Range: w.span(), First: w.selection(), Returning: w.selection(), Period: pick(w.source, report.Periods()), Zone: w.zone()}
		if w.IntN(3) == 0 {
			q.Returning = report.Selection{EventType: q.First.EventType}
		}
		if q.Validate() != nil {
			continue // too many periods
		}
		got, err := w.db.Retention(t.Context(), reportOrg, q)
		if err != nil {
			t.Fatalf("%s: %v", q.AppendJSON(nil), err)
		}
		agree(t, q.AppendJSON(nil), q.Follow(w.rows), got)
		for _, c := range got {
			leads += c.Leads
			for _, n := range c.Returned {
				returned += n
			}
		}
	}
	if leads < 20 || returned == 0 {
		t.Errorf("%d leads, %d returns: the generator tests nothing", leads, returned)
	}
}

// The intervals' starts are those that ClickHouse's own functions have.
func TestIntervalsEqualClickHousesCalendar(t *testing.T) {
	db := whereStore(t)
	functions := map[report.Interval]string{
		report.Minute: "toStartOfMinute(toDateTime(%s, '%s'))", report.Hour: "toStartOfHour(toDateTime(%s, '%s'))",
		report.Day: "toStartOfDay(toDateTime(%s, '%s'))", report.Week: "toStartOfWeek(toDateTime(%s, '%s'), 1)", report.Month: "toStartOfMonth(toDateTime(%s, '%s'))",
	}
	for _, name := range []string{"UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Asia/Tokyo"} {
		z, err := report.LoadZone(name, "timeZone")
		if err != nil {
			t.Fatal(err)
		}
		for interval, function := range functions {
			q := report.Timeseries{EventTypes: []string{"a"}, Measure: report.Events, Interval: interval, Zone: z}
			q.From = leadevents.MillisOf(time.Date(2024, 3, 30, 0, 0, 0, 0, time.UTC))
			q.To = q.From + map[report.Interval]leadevents.Millis{report.Minute: 2 * 86_400_000}[interval]
			if interval != report.Minute {
				q.To = q.From + 250*86_400_000
			}
			starts := q.Starts()
			inGo := make([]int64, len(starts))
			for i, s := range starts {
				inGo[i] = int64(s) / 1000
			}
			var inSQL []int64
			text := fmt.Sprintf("SELECT arraySort(groupUniqArray(toInt64(toUnixTimestamp(toDateTime("+function+", '%s'))))) FROM (SELECT %d + 300 * number AS at FROM numbers(%d))", "at", name, name, q.From/1000, (q.To-q.From)/300_000)
			if interval == report.Minute {
				text = fmt.Sprintf("SELECT arraySort(groupUniqArray(toInt64(toUnixTimestamp("+function+")))) FROM (SELECT %d + 60 * number AS at FROM numbers(%d))", "at", name, q.From/1000, (q.To-q.From)/60_000)
			}
			if err := db.conn.QueryRow(t.Context(), text).Scan(&inSQL); err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			if diff := gocmp.Diff(inSQL, inGo); diff != "" {
				t.Errorf("%s %s: ClickHouse (-), Go (+):\n%.1000s", name, interval, diff)
			}
		}
	}
}

// What is known of rows that stand twice stays true whatever becomes of them: more of
// them, of all sorts; merges; deletions; everything once more.
func TestCountsFollowTheRows(t *testing.T) {
	w := newReportWorld(t)
	exec := func(sql string) {
		t.Helper()
		if err := w.db.conn.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	questions := make([]report.Timeseries, 0, 12)
	for len(questions) < cap(questions) {
		q := report.Timeseries{Range: w.span(), EventTypes: w.types, Measure: report.Events, Interval: pick(w.source, report.Intervals()), Zone: w.zone()}
		if q.Validate() == nil {
			questions = append(questions, q)
		}
	}
	hold := func(after string) {
		t.Helper()
		for range 2 { // as it is found, and as it is known then
			for _, q := range questions {
				got, err := w.db.Timeseries(t.Context(), reportOrg, q)
				if err != nil {
					t.Fatalf("after %s: %s: %v", after, q.AppendJSON(nil), err)
				}
				agree(t, fmt.Appendf(nil, "after %s: %s", after, q.AppendJSON(nil)), q.Count(w.rows), got)
			}
		}
	}
	hold("the first inserts")
	all := "SELECT organization_id, event_type, phone, occurred_at, metadata, ingested_at, batch_id + 1 FROM lead_events WHERE organization_id = 7"
	exec("INSERT INTO lead_events " + all + " AND phone % 3 = 0")
	hold("a third of the rows again")
	e := w.rows[0]
	e.Phone = 77
	w.rows = append(w.rows, e)
	rows := &leadevents.Rows{IngestedAt: w.moments[0]}
	rows.Append(reportOrg, e.EventType, leadevents.Event{Phone: e.Phone, OccurredAt: e.OccurredAt, Metadata: e.Metadata}, 9)
	if err := w.db.InsertEvents(t.Context(), rows, "one more", ""); err != nil {
		t.Fatal(err)
	}
	hold("a new event")
	exec("SYSTEM START MERGES lead_events")
	exec("OPTIMIZE TABLE lead_events PARTITION 2024 FINAL")
	hold("a merge")
	exec("ALTER TABLE lead_events DELETE WHERE organization_id = 7 AND phone = 77 SETTINGS mutations_sync = 2")
	w.rows = slices.DeleteFunc(w.rows, func(e report.Event) bool { return e.Phone == 77 })
	hold("a deletion")
	exec("SYSTEM STOP MERGES lead_events")
	exec("INSERT INTO lead_events " + all)
	hold("everything again")
	if n := len(w.db.repeats.known); n == 0 {
		t.Error("nothing is known of any granule")
	}
}

// A report that may not take as much as it needs is a 422 that names the limit, and one
// whose client goes away ends at the server.
func TestReportsAreBounded(t *testing.T) {
	store := storetest.ClickHouse(t)
	db := credentialsIn(t, store)
	err := db.conn.Exec(t.Context(), `INSERT INTO lead_events SELECT 7, 'a', number, fromUnixTimestamp64Milli(1750000000000 + number, 'UTC'), '{"a":' || toString(number) || '}', now64(3), 1 FROM numbers(3000000)`)
	if err != nil {
		t.Fatal(err)
	}
	open := func(c ReportConfig) *DB {
		limited, err := Open(Config{Addrs: []string{store.Native}, Database: store.Database, User: store.User, Password: store.Password, Reports: c})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = limited.Close() })
		return limited
	}
	q := report.Breakdown{Range: report.Range{From: 0, To: leadevents.MaxOccurredAt}, Selection: report.Selection{EventType: "a"}, Split: report.Split{Path: "a", Limit: 10}, OrderBy: report.Leads}
	for limit, c := range map[string]ReportConfig{
		"reports.memory":  {Memory: 30 << 20},
		"reports.timeout": {Timeout: 50 * time.Millisecond},
	} {
		_, err := open(c).Breakdown(t.Context(), 7, q)
		if leadevents.KindOf(err) != leadevents.QueryLimit || !strings.Contains(err.Error(), limit) {
			t.Errorf("%s: %v", limit, err)
		}
	}
	// What can be grouped on the disk is, before the memory is over.
	if err := db.conn.Exec(t.Context(), `INSERT INTO lead_events SELECT 7, 'b', number, fromUnixTimestamp64Milli(1750000000001 + number, 'UTC'), '{}', now64(3), 1 FROM numbers(3000000)`); err != nil {
		t.Fatal(err)
	}
	const patience = 5 * time.Minute // beside the tests of other packages the default was over now and then
	small := open(ReportConfig{Memory: 300 << 20, Timeout: patience})
	span := report.Range{From: 1_750_000_000_000, To: 1_750_000_000_000 + 50*3600*1000}
	ways, err := open(ReportConfig{Memory: 440 << 20, Timeout: patience}).Funnel(t.Context(), 7, report.Funnel{Range: span, Steps: []report.Selection{{EventType: "a"}, {EventType: "b"}}, Minutes: 10})
	if err != nil || ways.Steps[1].Leads != 3_000_000 {
		t.Errorf("a funnel: %+v, %v", ways.Steps, err)
	}
	utc, err := report.LoadZone("UTC", "timezone")
	if err != nil {
		t.Fatal(err)
	}
	cohorts, err := small.Retention(t.Context(), 7, report.Retention{Range: span, First: report.Selection{EventType: "a"}, Returning: report.Selection{EventType: "b"}, Period: report.Day, Zone: utc})
	if err != nil || len(cohorts) == 0 || cohorts[0].Leads != 3_000_000 {
		t.Errorf("a retention: %+v, %v", cohorts, err)
	}
	ctx, leave := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := open(ReportConfig{}).Breakdown(ctx, 7, q)
		done <- err
	}()
	running := func() (n uint64) {
		t.Helper()
		if err := db.conn.QueryRow(t.Context(), "SELECT count() FROM system.processes WHERE current_database = {db:String} AND query LIKE '%largest%' AND query NOT LIKE '%system.processes%'", clickhouse.Named("db", store.Database)).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	await := func(what string, n uint64, patience time.Duration) {
		t.Helper()
		for deadline := time.Now().Add(patience); running() != n; {
			if time.Now().After(deadline) {
				t.Fatalf("%s: not within %s", what, patience)
			}
			runtime.Gosched()
		}
	}
	await("the query runs", 1, 20*time.Second)
	leave()
	if err := <-done; err == nil {
		t.Error("a report that was given up has an answer")
	}
	await("it is gone", 0, 20*time.Second) // within a second on a machine that has one to spare
}
