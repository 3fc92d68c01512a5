package query

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"leadevents"
	"leadevents/audit"
)

// AudienceStore holds the audiences (ClickHouse). Its errors are *leadevents.Error
// or bugs; after one, whatever was to be stored may be there or not.
type AudienceStore interface {
	// Whatever changes an audience is in the audit log before.
	audit.Store

	// AudienceLog reads the commits of one audience; without any there is none.
	AudienceLog(ctx context.Context, org leadevents.OrgID, audienceID string) (leadevents.AudienceLog, error)
	// Audiences lists audiences by id, those after the given one, at most limit.
	Audiences(ctx context.Context, org leadevents.OrgID, after string, limit int) ([]leadevents.Audience, error)
	// CountAudiences counts them.
	CountAudiences(ctx context.Context, org leadevents.OrgID) (uint64, error)
	// StageLeads stores a piece of an upload, where nobody sees it. Sending it
	// again changes nothing.
	StageLeads(ctx context.Context, org leadevents.OrgID, layer leadevents.Layer, piece *leadevents.LeadPiece) error
	// FinishLayer makes a layer of the rows that were staged for it, of each phone
	// the first, without the phones of other layers, and counts it. Nobody sees it.
	FinishLayer(ctx context.Context, org leadevents.OrgID, layer leadevents.Layer, rows uint64, others []leadevents.Layer) (leads uint64, err error)
	// MergeLayers makes one layer of several. Nobody sees it.
	MergeLayers(ctx context.Context, org leadevents.OrgID, into leadevents.Layer, layers []leadevents.Layer) (leads uint64, err error)
	// DropUpload forgets what was staged for a layer.
	DropUpload(ctx context.Context, layer leadevents.Layer) error
	// CommitAudience adds a commit to an audience's log; times that are zero are now.
	CommitAudience(ctx context.Context, org leadevents.OrgID, audienceID string, c leadevents.AudienceCommit) error
	// SweepAudiences removes what nobody can ask for any more, of all organizations.
	SweepAudiences(ctx context.Context, unfinished, grace time.Duration) (leadevents.AudienceSweep, error)
}

// Locks are named locks over all processes (Redis). They are a courtesy: they may
// be lost, and what two holders do at once must do no harm.
type Locks interface {
	// Hold takes a lock, if it is free, until release; it outlives a holder that
	// dies by at most d.
	Hold(ctx context.Context, name string, d time.Duration) (held bool, release func(), err error)
}

// AudienceConfig is what Audiences needs to be told.
type AudienceConfig struct {
	MaxUploads    int                // uploads at once
	InsertTimeout time.Duration      // one piece of an upload
	FinishTimeout time.Duration      // what comes when all of an upload has arrived
	Evaluation    time.Duration      // the longest that an evaluation reads an audience
	Erased        Erased             // leads that no audience may have; nil: none is
	Refused       prometheus.Counter // of audiences for which there is no room; may be nil
	Logger        *slog.Logger
	Metrics       prometheus.Registerer
}

// Limits of the list.
const (
	MaxAudiences     = 1000
	DefaultAudiences = 100
)

// Audiences keeps an organization's audiences.
type Audiences struct {
	cfg     AudienceConfig
	store   AudienceStore
	audit   *audit.Log
	turns   turns
	places  chan struct{} // one an upload
	metrics audienceMetrics
}

// NewAudiences makes it.
func NewAudiences(cfg AudienceConfig, store AudienceStore, locks Locks) *Audiences {
	a := &Audiences{cfg: cfg, store: store, audit: audit.NewLog(store, time.Now, cfg.Logger), turns: newTurns(locks), places: make(chan struct{}, cfg.MaxUploads)}
	a.metrics = newAudienceMetrics(cfg.Metrics, a)
	return a
}

var errNoAudience = leadevents.Errorf(leadevents.NotFound, "there is no audience of that id, or it is not one of this organization's")

// Audience reads one. An unknown id and another organization's are the same 404.
func (a *Audiences) Audience(ctx context.Context, org leadevents.OrgID, id string) (leadevents.Audience, error) {
	log, err := a.store.AudienceLog(ctx, org, id)
	if err != nil {
		return leadevents.Audience{}, err
	}
	audience, exists := log.Audience(id)
	if !exists {
		return leadevents.Audience{}, errNoAudience
	}
	return audience, nil
}

// List reads audiences in the order of their ids, those after one, and says
// whether there are more.
func (a *Audiences) List(ctx context.Context, org leadevents.OrgID, after string, limit int) ([]leadevents.Audience, bool, error) {
	found, err := a.store.Audiences(ctx, org, after, limit+1)
	if err != nil {
		return nil, false, err
	}
	return found[:min(len(found), limit)], len(found) > limit, nil
}

// Delete removes one. Whoever reads its leads at that moment reads on.
func (a *Audiences) Delete(ctx context.Context, org leadevents.OrgID, id string) error {
	return a.commit(ctx, org, id, func(ctx context.Context, log leadevents.AudienceLog) error {
		before, exists := log.Audience(id)
		if !exists {
			return errNoAudience
		}
		act := audit.Act{Action: audit.AudienceDelete, Object: id, Detail: audit.Detail{"leads": before.Leads}}
		return a.record(ctx, org, id, act, leadevents.AudienceCommit{Sequence: log.Next(), Layer: leadevents.NewLayer(), Deleted: true})
	})
}

// commit runs f when it is an audience's turn to change, with the log of that
// moment.
func (a *Audiences) commit(ctx context.Context, org leadevents.OrgID, id string, f func(ctx context.Context, log leadevents.AudienceLog) error) error {
	ctx, cancel := context.WithTimeout(ctx, a.cfg.FinishTimeout)
	defer cancel()
	release, err := a.turns.take(ctx, "audience:"+org.String()+":"+id)
	if err != nil {
		return err
	}
	defer release()
	log, err := a.store.AudienceLog(ctx, org, id)
	if err != nil {
		return err
	}
	return f(ctx, log)
}

// record commits what the audit log has before.
func (a *Audiences) record(ctx context.Context, org leadevents.OrgID, id string, act audit.Act, c leadevents.AudienceCommit) error {
	return a.audit.Do(ctx, org, act, func(ctx context.Context, _ audit.Detail) error {
		return a.store.CommitAudience(ctx, org, id, c)
	})
}

// What a sweep leaves alone: an upload that nothing was added to for a day has
// died; a layer that was replaced may still be read for as long as an evaluation
// takes, and twice that is kept.
const (
	sweepUnfinished = 24 * time.Hour
	sweepGrace      = time.Hour // at least
)

// Run sweeps until ctx ends.
func (a *Audiences) Run(ctx context.Context) error {
	return sweepRegularly(ctx, a.turns, "audiences", a.cfg.Logger, func(ctx context.Context) error {
		swept, err := a.store.SweepAudiences(ctx, sweepUnfinished, max(sweepGrace, 2*a.cfg.Evaluation))
		if swept != (leadevents.AudienceSweep{}) {
			a.cfg.Logger.Info("swept audiences", "uploads", swept.Uploads, "layers", swept.Layers, "commits", swept.Commits)
		}
		return err
	})
}
