package retention

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"leadevents"
	"leadevents/audit"
	"leadevents/internal/snapshot"
)

// Store keeps the rules, and the events that they are about (ClickHouse). Its errors are
// *leadevents.Error or bugs.
type Store interface {
	// Whatever changes a rule is in the audit log before.
	audit.Store

	// Clock is the one by which events expire in filters and sweeps.
	Clock(ctx context.Context) (leadevents.Millis, error)
	// RetentionRecords reads those of one organization, taken back ones too; 0: of all.
	RetentionRecords(ctx context.Context, org leadevents.OrgID) ([]Record, error)
	// PutRetention writes records, all of them or none. Of two of one rule the higher
	// version holds.
	PutRetention(ctx context.Context, records []Record) error
	// StoredTypes are the event types of which an organization has rows.
	StoredTypes(ctx context.Context, org leadevents.OrgID) ([]string, error)
	// Expire removes events of a type that occurred before a moment, and what is known of
	// them alone, and waits for it; removed is how many rows there were.
	Expire(ctx context.Context, org leadevents.OrgID, eventType string, before leadevents.Millis) (removed uint64, err error)
	// Purge has removed rows leave the disk.
	Purge(ctx context.Context) error
}

// Locks are named locks over all processes (Redis); a courtesy.
type Locks interface {
	Hold(ctx context.Context, name string, d time.Duration) (held bool, release func(), err error)
}

// Config says when expired events are removed.
type Config struct {
	// Horizon and ShortHorizon are the ledger's T and Tshort, Slot the longest of its
	// slots: what the grace is made of.
	Horizon, ShortHorizon, Slot time.Duration
	// Every is how often is looked for what has expired; default 1 h.
	Every time.Duration
	// Announce, if set, tells other processes that a rule was changed.
	Announce func(context.Context)

	Snapshot snapshot.Config
	Logger   *slog.Logger
	Metrics  prometheus.Registerer
}

// Keeper keeps the rules, and removes what has expired.
type Keeper struct {
	cfg     Config
	store   Store
	locks   Locks
	audit   *audit.Log
	view    *snapshot.Snapshot[view]
	removed prometheus.Counter

	change sync.Mutex // one change at a time in this process
	purged time.Time  // only the sweep touches it
}

// view is the rules of all organizations that have some.
type view map[leadevents.OrgID]*Rules

// New makes it; Run removes what has expired. A command that only changes rules gives no
// locks.
func New(cfg Config, store Store, locks Locks) *Keeper {
	cfg.Every = cmp.Or(cfg.Every, time.Hour)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Metrics == nil {
		cfg.Metrics = prometheus.NewRegistry()
	}
	k := &Keeper{cfg: cfg, store: store, locks: locks, audit: audit.NewLog(store, time.Now, cfg.Logger)}
	k.view = snapshot.New(cfg.Snapshot, k.load)
	k.removed = prometheus.NewCounter(prometheus.CounterOpts{Name: "leadevents_retention_events_removed_total", Help: "Events that this process removed because they had expired."})
	cfg.Metrics.MustRegister(k.removed)
	return k
}

func (k *Keeper) load(ctx context.Context, _ *view) (*view, error) {
	records, err := k.store.RetentionRecords(ctx, 0)
	if err != nil {
		return nil, err
	}
	byOrg := map[leadevents.OrgID][]Record{}
	for _, r := range records {
		byOrg[r.Org] = append(byOrg[r.Org], r)
	}
	v := make(view, len(byOrg))
	for org, of := range byOrg {
		if rules := RulesOf(of); !rules.Empty() {
			v[org] = rules
		}
	}
	return &v, nil
}

// Notify says that a rule may have been changed elsewhere.
func (k *Keeper) Notify() { k.view.Notify() }

// Of is the rules of an organization, at most two seconds old; nil where it keeps all for
// ever. Where that cannot be said the error is a 503.
func (k *Keeper) Of(ctx context.Context, org leadevents.OrgID) (*Rules, error) {
	v, err := k.view.Get(ctx)
	if err != nil {
		return nil, leadevents.Wrap(leadevents.Unavailable, err, "it cannot be told at the moment for how long events are kept; send the same request again")
	}
	return (*v)[org], nil
}

// Rules reads the rules of an organization from the store itself.
func (k *Keeper) Rules(ctx context.Context, org leadevents.OrgID) (*Rules, error) {
	records, err := k.store.RetentionRecords(ctx, org)
	if err != nil {
		return nil, err
	}
	return RulesOf(records), nil
}

// Set makes rules those of an organization, instead of all that it had.
func (k *Keeper) Set(ctx context.Context, org leadevents.OrgID, rules *Rules) error {
	if err := rules.check(); err != nil {
		return err
	}
	k.change.Lock()
	defer k.change.Unlock()
	stored, err := k.store.RetentionRecords(ctx, org)
	if err != nil {
		return err
	}
	changed := rules.changes(org, stored, uint64(time.Now().UnixMicro()))
	if len(changed) == 0 {
		return nil
	}
	detail := audit.Detail{"days": shownDays(rules.Days), "eventTypes": len(rules.Types)}
	for _, r := range changed {
		if r.EveryType || len(detail) > 50 { // a log entry is no copy of the settings
			continue
		}
		if r.Days == withdrawn {
			detail["eventType "+r.EventType] = "default"
		} else {
			detail["eventType "+r.EventType] = shownDays(r.Days)
		}
	}
	act := audit.Act{Action: audit.RetentionUpdate, Object: org.String(), Detail: detail}
	err = k.audit.Do(ctx, org, act, func(ctx context.Context, _ audit.Detail) error { return k.store.PutRetention(ctx, changed) })
	k.Notify()
	if k.cfg.Announce != nil {
		k.cfg.Announce(ctx)
	}
	return err
}

// shownDays is days as JSON has them: null is for ever.
func shownDays(days int) *int {
	if days == Forever {
		return nil
	}
	return &days
}
