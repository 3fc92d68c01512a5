package app

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"leadevents"
	"leadevents/clickhouse"
	"leadevents/configs"
	"leadevents/ingest/ledger"
	"leadevents/reconcile"
)

// Deep is how `check --deep` looks.
type Deep struct {
	From, To leadevents.Millis // of the receipts; zero for no end
	Repair   bool
	Timeout  time.Duration // for all of it
	Sample   int           // zero: reconcile.sample
}

// openReconciler compares what was told with what is stored.
func openReconciler(s configs.Settings, db *clickhouse.DB, inspector *ledger.Inspector, log *slog.Logger) *reconcile.Reconciler {
	return reconcile.New(reconcile.Config{
		Sample: s.Reconcile.Sample, Memory: uint64(s.Reconcile.Memory), Logger: log,
		Pause: s.Ledger.Deadline / reconcile.Pauses,
		// An insert that lingers has ended after three deadlines, and its states are mended.
		Settled: s.Ingest.PeekTimeout + 3*s.Ledger.Deadline + s.Ledger.Margin,
	}, db, inspector)
}

// CheckDeep compares all organizations' receipts, states and keys with their events, and
// repairs what can be, where that is asked for. The stores must be as Check wants them.
func CheckDeep(ctx context.Context, s configs.Settings, deep Deep) []Finding {
	const again = "correct what the other findings say, and run it again"
	if deep.Sample > 0 {
		s.Reconcile.Sample = deep.Sample
	}
	ctx, cancel := context.WithTimeout(ctx, deep.Timeout)
	defer cancel()
	cfg, err := ledgerConfig(s, dialers{}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		return []Finding{{Broken, "redis", err.Error(), "correct the settings redis.*"}}
	}
	inspector := ledger.OpenInspector(cfg)
	defer func() { _ = inspector.Close() }() // what was written was waited for
	db, err := openClickHouse(s, dialers{})
	if err != nil {
		return []Finding{{Broken, "clickhouse", err.Error(), "correct the settings clickhouse.*"}}
	}
	defer func() { _ = db.Close() }() // likewise
	organizations, err := db.StoredOrganizations(ctx)
	if err != nil {
		return []Finding{{Broken, "clickhouse", fmt.Sprintf("the organizations cannot be read: %v", cause(err)), again}}
	}
	r := openReconciler(s, db, inspector, slog.New(slog.DiscardHandler))
	all := []Finding{}
	for n, org := range organizations {
		report, err := r.Look(ctx, org, deep.From, deep.To, deep.Repair)
		if ctx.Err() != nil && (err != nil || n+1 < len(organizations)) {
			left := len(organizations) - n - 1
			if err != nil {
				left++
			} else {
				all = append(all, deepFindings(report)...)
			}
			return append(all, Finding{Warning, "deep", fmt.Sprintf("%d of %d organizations were not looked at: the time for it was over", left, len(organizations)), "run it again with a longer --timeout"})
		}
		if err != nil {
			return append(all, Finding{Broken, "deep", fmt.Sprintf("organization %d cannot be compared: %v", org, cause(err)), again})
		}
		all = append(all, deepFindings(report)...)
	}
	if len(organizations) == 0 {
		all = append(all, Finding{OK, "deep", "nothing is stored, and nothing was told", ""})
	}
	return all
}

// deepFindings is what one organization came to.
func deepFindings(r *reconcile.Report) (all []Finding) {
	var inserted, stored, unanswered uint64
	for _, d := range r.Days {
		inserted, stored, unanswered = inserted+d.Inserted, stored+d.Stored, unanswered+d.Unanswered
	}
	all = append(all, Finding{OK, "deep", fmt.Sprintf("organization %d: %d keys were told inserted, and %d of them are stored (%d more by calls that were never answered); %d leads' states, %d keys and %d rows of a sample of the ledger were compared",
		r.Org, inserted, stored, unanswered, r.Leads, r.Keys, r.Rows), ""})
	for _, d := range r.Differences {
		f := Finding{Broken, "deep", fmt.Sprintf("organization %d, %q%s: %d %s (%s)", r.Org, d.EventType, on(d.Day), d.Count, d.Kind.What(), d.Example), d.Kind.Remedy()}
		switch {
		case d.Repaired == d.Count:
			f.Level, f.Remedy = OK, ""
			f.Text += "; repaired"
		case d.Repaired > 0:
			f.Text += fmt.Sprintf("; %d were repaired", d.Repaired)
		case d.Explained != "":
			f.Level, f.Remedy = OK, ""
			f.Text += "; that may be right: " + d.Explained
		}
		all = append(all, f)
	}
	for _, s := range r.Skipped {
		all = append(all, Finding{Warning, "deep", fmt.Sprintf("organization %d: not all was looked at: %s", r.Org, s), "run it again when that is over, with a longer --timeout, or for fewer days with --from and --to"})
	}
	return all
}

func on(day string) string {
	if day == "" {
		return ""
	}
	return " on " + day
}
