package journal

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"leadevents"
	"leadevents/audit"
)

// Config says how long an erasure may take, and must.
type Config struct {
	// Grace is how long after its entry a request may still store a row of a lead that it
	// did not know to be erased: the age of what it looked at, its wait for the peek, its
	// deadline, and as long again for an insert that lingers. Default 90 s.
	Grace time.Duration
	// PurgeAfter is how long deleted rows may lie in parts on the disk until these are
	// written anew; zero is at once.
	PurgeAfter time.Duration
	// Settle is how long after a batch's answer a request may still seal a key that had
	// peeked before the batch sealed it: the deadline, and clocks. Default 40 s.
	Settle time.Duration
	// Poll is how often entries are looked for that another process has begun or left.
	// Default 2 s.
	Poll time.Duration
	// Wait is the longest that a call waits for an erasure. Default 1 min.
	Wait time.Duration
	// Announce, if set, tells other processes that a lead was erased or allowed.
	Announce func(context.Context)

	Logger  *slog.Logger
	Metrics prometheus.Registerer
}

func (c Config) withDefaults() Config {
	c.Grace = cmp.Or(c.Grace, 90*time.Second)
	c.Settle = cmp.Or(c.Settle, 40*time.Second)
	c.Poll = cmp.Or(c.Poll, 2*time.Second)
	c.Wait = cmp.Or(c.Wait, time.Minute)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Metrics == nil {
		c.Metrics = prometheus.NewRegistry()
	}
	return c
}

// Leads erases leads, and allows them again.
type Leads struct {
	cfg     Config
	store   Store
	ledger  Ledger
	locks   Locks
	keys    DataKeys
	erased  *Erased
	audit   *audit.Log
	metrics metrics
	turns   turns

	// Only the worker touches these.
	blocked time.Time                                // when others were last found to write on
	purged  struct{ began, ended leadevents.Millis } // the last purge by this process
}

// New makes it; Run does the work. A command that only begins entries, for servers to
// work at, gives neither ledger nor locks.
func New(cfg Config, store Store, ledger Ledger, locks Locks, keys DataKeys, erased *Erased) *Leads {
	cfg = cfg.withDefaults()
	l := &Leads{
		cfg: cfg, store: store, ledger: ledger, locks: locks, keys: keys, erased: erased,
		audit:   audit.NewLog(store, time.Now, cfg.Logger),
		metrics: newMetrics(cfg.Metrics),
	}
	l.turns = turns{
		what: "an erasure", lock: "journal", poll: cfg.Poll, longest: cfg.Wait, logger: cfg.Logger, locks: locks,
		open: l.metrics.open, read: store.OpenJournal, workAt: l.workAt, wake: make(chan struct{}, 1),
	}
	return l
}

// State is where a lead's erasure stands.
type State string

// The states. Erased is told when the first pass is through; see [Status.VerifiedAt].
const (
	Erasing   State = "erasing"
	IsErased  State = "erased"
	IsAllowed State = "allowed"
)

// Status is what became of the last erasure of a lead.
type Status struct {
	Phone leadevents.Phone
	State State
	// RequestedAt, and when what it says was reached; 0 if it was not yet.
	RequestedAt, ErasedAt, VerifiedAt, PurgedAt, AllowedAt leadevents.Millis
	// PurgeBy is when nothing of it will be on the disk at the latest, once it is verified.
	PurgeBy leadevents.Millis
	Counts  Counts
}

// purgeSlack is what a purge may take beyond its due: writing parts anew, and the eight
// minutes for which ClickHouse keeps the old ones, and more.
const purgeSlack = time.Hour

func (l *Leads) status(phone leadevents.Phone, log Log) Status {
	s := Status{
		Phone: phone, State: Erasing, Counts: log.Counts(),
		RequestedAt: log.At(Begun), ErasedAt: log.At(Removed), VerifiedAt: log.At(Verified), PurgedAt: log.At(Purged), AllowedAt: log.At(Allowed),
	}
	if s.ErasedAt != 0 {
		s.State = IsErased
	}
	if s.VerifiedAt != 0 {
		s.PurgeBy = s.VerifiedAt.Add(l.cfg.PurgeAfter + purgeSlack)
	}
	if s.AllowedAt != 0 {
		s.State = IsAllowed
	}
	return s
}

var errNotErased = leadevents.Errorf(leadevents.NotFound, "this lead was not erased")

// last is the newest entry of a lead, by any data key; nil without one.
func (l *Leads) last(ctx context.Context, org leadevents.OrgID, hashes []Hash) (Log, error) {
	if len(hashes) == 0 {
		return nil, nil
	}
	logs, err := l.store.Journal(ctx, org, hashes)
	if err != nil || len(logs) == 0 {
		return nil, err
	}
	newest(logs)
	return logs[0], nil
}

// hashes are those of a lead under every data key, the one for what is new first.
func (l *Leads) hashes(ctx context.Context, org leadevents.OrgID, phone leadevents.Phone, write bool) ([]Hash, error) {
	read := l.keys.DataKeys
	if write {
		read = l.keys.MakeDataKey
	}
	plain, err := read(ctx)
	if err != nil {
		return nil, err
	}
	hashes := make([]Hash, len(plain))
	for i, p := range plain {
		key, err := NewKey(p.ID, p.Key)
		if err != nil {
			return nil, err
		}
		hashes[i] = key.Hash(org, phone)
	}
	return hashes, nil
}

// Erase has a lead erased everywhere, unless it is already, or will be: then it is the
// same erasure. It returns when that is durable: whoever looks within two seconds finds
// the lead refused, and filters leave it out at once.
func (l *Leads) Erase(ctx context.Context, org leadevents.OrgID, phone leadevents.Phone) (Status, error) {
	hashes, err := l.hashes(ctx, org, phone, true)
	if err != nil {
		return Status{}, err
	}
	log, err := l.last(ctx, org, hashes)
	if err != nil {
		return Status{}, err
	}
	if log != nil && log.At(Allowed) == 0 {
		return l.status(phone, log), nil
	}
	act := audit.Act{Action: audit.LeadErase, Object: hashes[0].Name()}
	err = l.audit.Do(ctx, org, act, func(ctx context.Context, _ audit.Detail) error {
		begun := Record{Entry: leadevents.NewID(), Kind: Erase, Step: Begun, Phone: phone, Hash: hashes[0]}
		if err := l.store.AppendJournal(ctx, org, begun); err != nil {
			return err
		}
		l.announce(ctx)
		l.metrics.records.WithLabelValues(string(Begun)).Inc()
		log, err = l.last(ctx, org, hashes)
		return err
	})
	l.turns.hurry()
	if err != nil {
		return Status{}, err
	}
	return l.status(phone, log), nil
}

// Allow lets an erased lead come again: its events are new from then on. Until its
// erasure is verified it is a 409, since what comes before the last pass would be removed
// by it.
func (l *Leads) Allow(ctx context.Context, org leadevents.OrgID, phone leadevents.Phone) (Status, error) {
	hashes, err := l.hashes(ctx, org, phone, false)
	if err != nil {
		return Status{}, err
	}
	log, err := l.last(ctx, org, hashes)
	switch {
	case err != nil:
		return Status{}, err
	case log == nil:
		return Status{}, errNotErased
	case log.At(Allowed) != 0:
		return l.status(phone, log), nil
	case log.At(Verified) == 0:
		return Status{}, leadevents.Errorf(leadevents.Conflict, "the lead is still being erased: it can be allowed again when that is verified, some two minutes after it was asked for")
	}
	begun := log.Begun()
	act := audit.Act{Action: audit.LeadAllow, Object: begun.Hash.Name()}
	err = l.audit.Do(ctx, org, act, func(ctx context.Context, _ audit.Detail) error {
		// Of two erasures that were begun at once both end.
		logs, err := l.store.Journal(ctx, org, hashes)
		if err != nil {
			return err
		}
		var records []Record
		for _, other := range logs {
			if other.At(Allowed) == 0 {
				records = append(records, Record{Entry: other[0].Entry, Kind: Erase, Step: Allowed})
			}
		}
		if err := l.store.AppendJournal(ctx, org, records...); err != nil {
			return err
		}
		l.announce(ctx)
		l.metrics.records.WithLabelValues(string(Allowed)).Inc()
		log, err = l.last(ctx, org, hashes)
		return err
	})
	if err != nil {
		return Status{}, err
	}
	return l.status(phone, log), nil
}

// Status is where the last erasure of a lead stands; without one it is a 404.
func (l *Leads) Status(ctx context.Context, org leadevents.OrgID, phone leadevents.Phone) (Status, error) {
	hashes, err := l.hashes(ctx, org, phone, false)
	if err != nil {
		return Status{}, err
	}
	log, err := l.last(ctx, org, hashes)
	if err == nil && log == nil {
		err = errNotErased
	}
	if err != nil {
		return Status{}, err
	}
	return l.status(phone, log), nil
}

// Wait returns when a lead is erased, or with a 503.
func (l *Leads) Wait(ctx context.Context, org leadevents.OrgID, phone leadevents.Phone) (s Status, err error) {
	err = l.turns.wait(ctx, "the lead is still being erased", func(ctx context.Context) (bool, error) {
		var err error
		s, err = l.Status(ctx, org, phone)
		return s.State != Erasing, err
	})
	return s, err
}

// announce tells this process and others that what is erased has changed.
func (l *Leads) announce(ctx context.Context) {
	l.erased.Notify()
	if l.cfg.Announce != nil {
		l.cfg.Announce(ctx)
	}
}

type metrics struct {
	records *prometheus.CounterVec
	removed prometheus.Counter
	open    prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) metrics {
	m := metrics{
		records: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "leadevents_erasures_total",
			Help: "Erasures of leads that have come to a step in this process: begun, removed (rows and keys are gone), verified, purged (from the disk), allowed."}, []string{"step"}),
		removed: prometheus.NewCounter(prometheus.CounterOpts{Name: "leadevents_erasures_rows_removed_total",
			Help: "Rows that this process has erased."}),
		open: prometheus.NewGauge(prometheus.GaugeOpts{Name: "leadevents_erasures_open",
			Help: "Erasures that are not verified yet, of all processes, as this one has seen last."}),
	}
	reg.MustRegister(m.records, m.removed, m.open)
	for _, s := range []Step{Begun, Removed, Verified, Purged, Allowed} {
		m.records.WithLabelValues(string(s))
	}
	return m
}
