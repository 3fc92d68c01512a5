package reconcile_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"leadevents"
	"leadevents/reconcile"
)

const day = leadevents.Millis(24 * 3600 * 1000)

// Each kind of difference, planted in a type of its own, is named; what can be repaired
// is, and the second look finds only what cannot.
func TestEachDifferenceIsNamedAndRepaired(t *testing.T) {
	t.Parallel()
	w := newWorld(t, reconcile.Config{Pause: 50 * time.Millisecond})
	const n = 40
	live, old := w.now-day, w.now-1000*day
	w.send("clean", n, live)
	w.send("clean", n, old)
	w.send("gone", n, live)
	surplus := w.send("surplus", n, old)
	undone := w.send("undone", n, old)
	for _, name := range []string{"missing", "narrow", "wide", "extra", "keyless"} {
		w.send(name, n, live)
	}
	w.send("many", 3000, old)
	// Another lead's events of two moments, so that first and last differ.
	w.expect("narrow", 5, live-day, 5, 0)
	if found := w.look(false); len(found) != 0 {
		t.Fatalf("before anything was planted: %q", found)
	}

	row := func(eventType string, phone int, at leadevents.Millis, batch leadevents.BatchID) {
		w.put(fmt.Sprintf(`INSERT INTO lead_events (organization_id, event_type, phone, occurred_at, metadata, ingested_at, batch_id)
			VALUES (42, '%s', %d, fromUnixTimestamp64Milli(%d), '{}', now64(3), %d)`, eventType, 15550000000+phone, at, batch))
	}
	state := func(eventType string, phone int, first, last leadevents.Millis) {
		w.put(fmt.Sprintf(`INSERT INTO lead_states (organization_id, event_type, phone, first_at, last_at)
			VALUES (42, '%s', %d, fromUnixTimestamp64Milli(%d), fromUnixTimestamp64Milli(%d))`, eventType, 15550000000+phone, first, last))
	}
	w.exec(`DELETE FROM lead_events WHERE event_type = 'gone' AND phone < 15550000003`)
	row("surplus", 500, old, surplus)
	row("surplus", 501, old, surplus)
	if err := w.db.SaveReceipts(t.Context(), []leadevents.Receipt{{Org: org, Batch: undone, EventType: "undone", State: leadevents.BatchUndone, Received: n, Inserted: n, CreatedAt: w.now, FinishedAt: leadevents.MillisOf(time.Now())}}); err != nil {
		t.Fatal(err)
	}
	w.exec(`DELETE FROM lead_states WHERE event_type = 'missing' AND phone < 15550000004`)
	w.exec(`DELETE FROM lead_states WHERE event_type = 'many'`)
	w.exec(`DELETE FROM lead_states WHERE event_type = 'narrow' AND phone < 15550000005`)
	for phone := range 5 {
		state("narrow", phone, live+leadevents.Millis(phone*1000), live+leadevents.Millis(phone*1000))
	}
	state("wide", 1, live-day, live)
	state("wide", 2, live, live+7*day)
	state("extra", 700, live, live)
	buckets := w.redis.Keys(t.Context(), w.prefix+"k*:keyless").Val()
	if len(buckets) == 0 || w.redis.Unlink(t.Context(), buckets...).Err() != nil {
		t.Fatal("there were no buckets of keyless")
	}

	planted := []string{
		"extra states.extra 1",
		"gone ledger.rowless 3",
		"gone receipts.missing 3",
		"gone states.extra 3",
		"keyless ledger.keyless 40",
		"many states.missing 3000",
		"missing states.missing 4",
		"narrow states.narrow 5",
		"surplus receipts.surplus 2",
		"undone receipts.undone 40",
		"wide states.wide 2",
	}
	if diff := gocmp.Diff(planted, w.look(false)); diff != "" {
		t.Fatalf("named (-want +got):\n%s", diff)
	}
	var repaired, left []string
	for _, line := range planted {
		kind, count := strings.Fields(line)[1], strings.Fields(line)[2]
		switch {
		case kind == string(reconcile.LedgerRowless) || strings.HasPrefix(kind, "receipts."):
			left = append(left, line)
		default:
			line += " repaired " + count
		}
		repaired = append(repaired, line)
	}
	if diff := gocmp.Diff(repaired, w.look(true)); diff != "" {
		t.Fatalf("repaired (-want +got):\n%s", diff)
	}
	if diff := gocmp.Diff(left, w.look(false)); diff != "" {
		t.Fatalf("left (-want +got):\n%s", diff)
	}
	w.expect("keyless", n, live, 0, n) // they are duplicates again
	var rows uint64
	if err := w.db.Conn().QueryRow(t.Context(), `SELECT uniqExact(event_type, phone, occurred_at) FROM lead_events`).Scan(&rows); err != nil || rows != 2*n+n-3+n+2+n+5*n+3000+5 {
		t.Errorf("%d rows are stored, %v: a repair removes none", rows, err)
	}
}

// A report that is cut says so, with how many lines there are and how many of them differ, and what differs
// is cut last.
func TestAReportThatIsCutSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, reconcile.Config{Pause: time.Millisecond, Lines: 2})
	old := w.now - 1000*day
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		w.send(name, 10, old)
	}
	look := func() *reconcile.Report {
		t.Helper()
		report, err := w.Look(t.Context(), org, 0, 0, false)
		if err != nil {
			t.Fatal(err)
		}
		return report
	}
	says := func(report *reconcile.Report, want string, types ...string) {
		t.Helper()
		if len(report.Skipped) != 1 || !strings.Contains(report.Skipped[0], want) || !strings.Contains(report.Skipped[0], "compare fewer days") {
			t.Errorf("skipped: %q, want %q", report.Skipped, want)
		}
		var got []string
		for _, d := range report.Days {
			got = append(got, d.EventType)
		}
		if diff := gocmp.Diff(types, got); diff != "" {
			t.Errorf("lines (-want +got):\n%s", diff)
		}
	}
	says(look(), "they have 6 days and types, of which 0 seem to differ, and a report has 2", "a", "b")
	w.exec(`DELETE FROM lead_events WHERE event_type IN ('d', 'e', 'f') AND phone < 15550000003`)
	report := look()
	says(report, "they have 6 days and types, of which 3 seem to differ, and a report has 2", "d", "e")
	for _, d := range report.Differences {
		if d.Kind == reconcile.ReceiptsMissing && d.Count != 3 {
			t.Errorf("%+v", d)
		}
	}
}

// What is not stored though it was told may have its reason: it is said, and the rest is not
// excused by it.
func TestWhatExplainsADifferenceIsSaid(t *testing.T) {
	t.Parallel()
	w := newWorld(t, reconcile.Config{Pause: time.Millisecond})
	old := w.now - 1000*day
	drop := func(eventType string, n int) {
		w.exec(fmt.Sprintf(`DELETE FROM lead_events WHERE event_type = '%s' AND phone < %d`, eventType, 15550000000+n))
		w.exec(fmt.Sprintf(`DELETE FROM lead_states WHERE event_type = '%s' AND phone < %d`, eventType, 15550000000+n))
	}
	for _, name := range []string{"erased", "expired", "held", "contested"} {
		w.send(name, 10, old)
	}
	for _, key := range w.redis.Keys(t.Context(), w.prefix+"k*").Val() { // old events' keys leave by themselves, later
		w.redis.Unlink(t.Context(), key)
	}
	drop("erased", 5)
	w.put(`INSERT INTO journal (organization_id, entry, kind, step, pass, counts) VALUES
		(42, 7, 'erase', 'collected', 1, map('events', 3)), (42, 7, 'erase', 'collected', 1, map('events', 2)), (42, 7, 'erase', 'verified', 0, map()), (43, 8, 'erase', 'collected', 1, map('events', 3))`)
	drop("expired", 4)
	w.put(`INSERT INTO retention VALUES (42, false, 'expired', 30, 1)`)
	w.exec(`DELETE FROM lead_events WHERE event_type = 'held' AND phone < 15550000002`)
	w.put(fmt.Sprintf(`INSERT INTO lead_events (organization_id, event_type, phone, occurred_at, metadata, ingested_at, batch_id)
		SELECT 42, 'held', 15550000000 + number, fromUnixTimestamp64Milli(toInt64(%d) + number * 1000), '{}', now64(3), 99 FROM numbers(2)`, old))
	// A merge kept the loser's row.
	w.exec(`DELETE FROM lead_events WHERE event_type = 'contested' AND phone < 15550000006`)
	w.put(fmt.Sprintf(`INSERT INTO lead_events (organization_id, event_type, phone, occurred_at, metadata, ingested_at, batch_id)
		SELECT 42, 'contested', 15550000000 + number, fromUnixTimestamp64Milli(toInt64(%d) + number * 1000), '{}', now64(3), 77 FROM numbers(6)`, old))
	w.put(`INSERT INTO contested (organization_id, loser, event_type, occurred_at, phone, winner)
		SELECT 42, 77, 'contested', occurred_at, phone, (SELECT any(batch_id) FROM lead_events WHERE event_type = 'contested' AND batch_id != 77) FROM lead_events WHERE batch_id = 77`)
	if err := w.db.SaveReceipts(t.Context(), []leadevents.Receipt{{Org: org, Batch: 77, EventType: "contested", State: leadevents.BatchDone, Received: 6, Duplicates: 6, CreatedAt: w.now, FinishedAt: w.now}}); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"erased receipts.missing 2",
		"erased receipts.missing 3 explained",
		"expired receipts.missing 4 explained",
		"held receipts.missing 2 explained",
	}
	if diff := gocmp.Diff(want, w.look(false)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	// While an undo is under way nothing is repaired.
	w.put(`INSERT INTO journal (organization_id, entry, kind, step) VALUES (42, 9, 'undo', 'begun')`)
	w.exec(`DELETE FROM lead_states WHERE event_type = 'held'`)
	report, err := w.Look(t.Context(), org, 0, 0, true)
	if err != nil || len(report.Skipped) != 1 || !strings.Contains(report.Skipped[0], "undo") {
		t.Fatalf("%+v, %v", report, err)
	}
	for _, d := range report.Differences {
		if d.Repaired != 0 || d.Explained == "" {
			t.Errorf("beside an undo: %+v", d)
		}
	}
	// Days are those of the receipts.
	if report, err = w.Look(t.Context(), org, w.now-10*day, w.now-5*day, false); err != nil || len(report.Days) != 0 {
		t.Errorf("days without receipts: %+v, %v", report, err)
	}
}

// Traffic that goes on meanwhile is no difference.
func TestABusyStoreHasNoDifferences(t *testing.T) {
	t.Parallel()
	w := newWorld(t, reconcile.Config{Pause: time.Second})
	ctx, stop := context.WithCancel(t.Context())
	var senders sync.WaitGroup
	var calls atomic.Int64
	for s := range 4 {
		senders.Go(func() {
			for round := 0; ctx.Err() == nil; round++ {
				n := []int{1, 30, 1500}[(round+s)%3]
				c := callOf(fmt.Sprint("busy", round%2), round%7*100, n, w.now-day+leadevents.Millis(round/2*10_000_000))
				if s == 3 { // with the keys of another's, at the same time
					c = callOf(fmt.Sprint("busy", round%2), round%7*100, n, w.now-day+leadevents.Millis(round/2*10_000_000)-400*day)
				}
				if _, err := w.ingester.Submit(context.Background(), c); err != nil {
					t.Error(err)
				}
				calls.Add(1)
			}
		})
	}
	for look := range 4 {
		for before := calls.Load(); calls.Load() < before+20 && !t.Failed(); time.Sleep(5 * time.Millisecond) {
		}
		if found := w.look(look%2 == 1); len(found) != 0 {
			t.Errorf("look %d: %q", look, found)
		}
	}
	stop()
	senders.Wait()
	if found := w.look(false); len(found) != 0 {
		t.Errorf("at rest: %q", found)
	}
}
