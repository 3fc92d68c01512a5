package query

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"

	"leadevents"
	"leadevents/audit"
	"leadevents/query/audience"
)

// SendStore keeps sends and evaluates them (ClickHouse). Its errors are
// *leadevents.Error or bugs.
type SendStore interface {
	// Whatever changes a send, or takes its result away, is in the audit log before.
	audit.Store

	// Clock is the one clock by which moments of sends are told.
	Clock(ctx context.Context) (leadevents.Millis, error)

	SendLog(ctx context.Context, org leadevents.OrgID, id string) (audience.SendLog, error)
	// AddSendEntry is durable when it returns; adding an entry twice is the same as once.
	AddSendEntry(ctx context.Context, org leadevents.OrgID, id string, e audience.SendEntry) error

	StoreList(ctx context.Context, org leadevents.OrgID, list uint64, phones []leadevents.Phone, externalIDs []string) error
	// ListLeads is how many leads of a list are stored, or were erased since it was.
	ListLeads(ctx context.Context, org leadevents.OrgID, list uint64) (uint64, error)

	// SetLeases has leases hold for d from now on.
	SetLeases(ctx context.Context, d time.Duration, leases ...audience.Lease) error
	Lease(ctx context.Context, send audience.SendRef, run uint64) (l audience.Lease, alive bool, err error)
	// ExpiredLeases are those of runs that have not ended.
	ExpiredLeases(ctx context.Context) ([]audience.Lease, error)

	// AudienceLayers is what an audience consists of; it stays readable for an
	// hour, and for twice the longest evaluation.
	AudienceLayers(ctx context.Context, org leadevents.OrgID, audienceID string) (layers []leadevents.Layer, found bool, err error)

	Preview(ctx context.Context, org leadevents.OrgID, e audience.Evaluation) (audience.Totals, error)
	// Materialize decides about every lead and stores it under run, which is new.
	Materialize(ctx context.Context, org leadevents.OrgID, run uint64, e audience.Evaluation, progress func(done, of int)) (audience.Totals, error)
	DropRun(ctx context.Context, org leadevents.OrgID, run uint64) error
	// SweepSends removes what no send can ask for any more, of all organizations.
	SweepSends(ctx context.Context, grace time.Duration) (audience.Sweep, error)
	// MergeStates makes one of the several states that a lead may have, where that is
	// worth it: what filters read is in parts.
	MergeStates(ctx context.Context) (merged bool, err error)
	SendLeads(ctx context.Context, org leadevents.OrgID, run uint64, f func(phones []leadevents.Phone, externalIDs []string) error) error
	SendVerdict(ctx context.Context, org leadevents.OrgID, run uint64, filters []audience.Filter, phone leadevents.Phone) (audience.Decision, bool, error)
}

// SendConfig bounds the work on sends of one server process.
type SendConfig struct {
	Workers   int           // materializations that run at once
	Queue     int           // and that wait; beyond it: 503
	Streams   int           // results that are read at once; beyond it: 503
	Wait      time.Duration // the longest that a call waits for a materialization
	Lease     time.Duration // after how long without a sign of life a run is begun again
	ClockSkew time.Duration // see audience.Filter.Window
	Erased    Erased        // leads that no list may name; nil: none is

	Logger  *slog.Logger
	Metrics prometheus.Registerer
}

// Sends defines sends, materializes them and tells what became of each lead.
type Sends struct {
	cfg     SendConfig
	store   SendStore
	audit   *audit.Log
	turns   turns
	metrics sendMetrics
	streams *semaphore.Weighted

	// jobs waits for a worker. slots counts what waits and what runs, so that a run
	// is claimed only if there is room for it.
	jobs  chan *job
	slots *semaphore.Weighted

	mu   sync.Mutex
	ours map[uint64]*job // by run, until it has ended here

	silent map[uint64]silence // by run; only takeOverAll touches it
}

// NewSends makes them; Run materializes.
func NewSends(cfg SendConfig, store SendStore, locks Locks) *Sends {
	s := &Sends{
		cfg: cfg, store: store, audit: audit.NewLog(store, time.Now, cfg.Logger), turns: newTurns(locks),
		streams: semaphore.NewWeighted(int64(cfg.Streams)),
		jobs:    make(chan *job, cfg.Workers+cfg.Queue),
		slots:   semaphore.NewWeighted(int64(cfg.Workers + cfg.Queue)),
		ours:    map[uint64]*job{},
	}
	s.metrics = newSendMetrics(cfg.Metrics)
	return s
}

var errNoSend = leadevents.Errorf(leadevents.NotFound, "there is no send of that id: it was not defined by this organization (a list filter alone does not define it)")

// errFrozen refuses changes of what is being frozen, or is frozen.
func errFrozen(state audience.SendState) error {
	return leadevents.Errorf(leadevents.Conflict, "the send is %s: it cannot be changed any more", state)
}

// change does work on a send's log while nobody else changes it.
func (s *Sends) change(ctx context.Context, org leadevents.OrgID, id string, work func(context.Context, audience.SendLog) error) error {
	release, err := s.turns.take(ctx, "send:"+org.String()+":"+id)
	if err != nil {
		return err
	}
	defer release()
	log, err := s.store.SendLog(ctx, org, id)
	if err != nil {
		return err
	}
	return work(ctx, log)
}

// Send reads one.
func (s *Sends) Send(ctx context.Context, org leadevents.OrgID, id string) (audience.Send, error) {
	log, err := s.store.SendLog(ctx, org, id)
	if err != nil {
		return audience.Send{}, err
	}
	send, found := log.Send()
	if !found {
		return audience.Send{}, errNoSend
	}
	return send, nil
}

// materialized reads a send whose result is there, else it is a 409.
func (s *Sends) materialized(ctx context.Context, org leadevents.OrgID, id string) (audience.Send, error) {
	send, err := s.Send(ctx, org, id)
	if err == nil && send.State != audience.SendMaterialized {
		err = leadevents.Errorf(leadevents.Conflict, "the send is %s: there is no result yet; POST …/materialize makes it", send.State)
	}
	return send, err
}

// Progress tells how many of a run's parts are done, whichever process does them.
func (s *Sends) Progress(ctx context.Context, org leadevents.OrgID, id string, run uint64) (done, parts int, err error) {
	s.mu.Lock()
	j := s.ours[run]
	s.mu.Unlock()
	if j != nil {
		done, parts = j.progress()
		return done, parts, nil
	}
	l, _, err := s.store.Lease(ctx, audience.SendRef{Org: org, ID: id}, run)
	return l.Done, l.Parts, err
}

// Define makes a send or changes it; created says which. The same definition
// again changes nothing.
func (s *Sends) Define(ctx context.Context, org leadevents.OrgID, id string, d audience.Definition) (send audience.Send, created bool, err error) {
	phones, err := withoutErased(ctx, s.cfg.Erased, org, d.Audience.Phones)
	if err != nil {
		return send, false, err
	}
	if d.Audience.Source == audience.Listed {
		d.Audience.Phones, d.PhoneCount, d.PhonesHash = nil, uint64(len(phones)), audience.HashLeads("", phones, nil)
	}
	err = s.change(ctx, org, id, func(ctx context.Context, log audience.SendLog) error {
		old, exists := log.Send()
		created = !exists
		if exists && old.State != audience.SendDraft && old.State != audience.SendFailed {
			return errFrozen(old.State)
		}
		if exists && old.Definition.Equal(&d) {
			send = old
			return nil
		}
		if d.Audience.Source == audience.Stored {
			if _, found, err := s.store.AudienceLayers(ctx, org, d.Audience.AudienceID); err != nil {
				return err
			} else if !found {
				return errNoAudience
			}
		}
		act := audit.Act{Action: audit.SendDefine, Object: id, Detail: audit.Detail{"created": created, "eventFilters": len(d.Filters)}}
		return s.audit.Do(ctx, org, act, func(ctx context.Context, _ audit.Detail) (err error) {
			if len(phones) > 0 {
				d.Phones = leadevents.NewID()
				if err := s.store.StoreList(ctx, org, d.Phones, phones, nil); err != nil {
					return err
				}
			}
			e := audience.SendEntry{Sequence: log.Next(), ID: leadevents.NewID(), Kind: audience.SendDefined, Definition: d}
			if log, err = s.add(ctx, org, id, e); err != nil {
				return err
			}
			send, _ = log.Send()
			return nil
		})
	})
	return send, created, err
}

// add adds a definition or a list filter, and reads the log again: should the turn
// have been lost, a run may have been claimed meanwhile that does not go by it. (The
// claim is followed by a look of its own, so at least one of the two sees the other.)
func (s *Sends) add(ctx context.Context, org leadevents.OrgID, id string, e audience.SendEntry) (audience.SendLog, error) {
	if err := s.store.AddSendEntry(ctx, org, id, e); err != nil {
		return nil, err
	}
	log, err := s.store.SendLog(ctx, org, id)
	if err != nil {
		return nil, err
	}
	if send, exists := log.Send(); exists && !begins(send.State) && !log.GoesBy(log.Claim()) {
		return nil, leadevents.Errorf(leadevents.Unavailable, "the send began to be materialized at the same moment; send the same request again to know whether this came in time")
	}
	return log, nil
}

// Filter gives a send its list filter, before or after it is defined; accepted
// says that it was not the one already there. leads is how many it names.
func (s *Sends) Filter(ctx context.Context, org leadevents.OrgID, id string, mode audience.Mode, l ListedLeads) (accepted bool, leads uint64, err error) {
	if l.Phones, err = withoutErased(ctx, s.cfg.Erased, org, l.Phones); err != nil {
		return false, 0, err
	}
	l.normalize()
	leads = uint64(len(l.Phones) + len(l.ExternalIDs))
	list := audience.ListFilter{List: audience.List{Mode: mode}, Hash: audience.HashLeads(string(mode), l.Phones, l.ExternalIDs), Leads: leads}
	err = s.change(ctx, org, id, func(ctx context.Context, log audience.SendLog) error {
		send, exists := log.Send()
		old := log.Listed()
		if exists && send.State == audience.SendMaterialized {
			// What counts is the list of the run.
			if send.ListFilter != nil && send.ListFilter.Hash == list.Hash {
				return nil
			}
			return errFrozen(send.State)
		}
		if old != nil && old.ListFilter.Hash == list.Hash {
			return nil
		}
		if exists && send.State == audience.SendMaterializing {
			return errFrozen(send.State)
		}
		act := audit.Act{Action: audit.SendFilter, Object: id, Detail: audit.Detail{"mode": mode, "leads": leads}}
		err := s.audit.Do(ctx, org, act, func(ctx context.Context, _ audit.Detail) error {
			list.ID = leadevents.NewID()
			if err := s.store.StoreList(ctx, org, list.ID, l.Phones, l.ExternalIDs); err != nil {
				return err
			}
			e := audience.SendEntry{Sequence: log.Next(), ID: leadevents.NewID(), Kind: audience.SendListed, ListFilter: list}
			_, err := s.add(ctx, org, id, e)
			return err
		})
		accepted = err == nil
		return err
	})
	return accepted, leads, err
}

// Preview counts what a send would keep at this moment; fireAt of 0 is now.
func (s *Sends) Preview(ctx context.Context, org leadevents.OrgID, from audience.Reference, filters []audience.Filter, fireAt leadevents.Millis) (audience.Totals, leadevents.Millis, error) {
	var err error
	if fireAt == 0 {
		if fireAt, err = s.store.Clock(ctx); err != nil {
			return audience.Totals{}, 0, err
		}
	}
	if from.Phones, err = withoutErased(ctx, s.cfg.Erased, org, from.Phones); err != nil {
		return audience.Totals{}, 0, err
	}
	leads, err := s.leads(ctx, org, from)
	if err != nil {
		return audience.Totals{}, 0, err
	}
	totals, err := s.store.Preview(ctx, org, audience.Evaluation{Leads: leads, Filters: filters, FireAt: fireAt, ClockSkew: s.cfg.ClockSkew})
	return totals, fireAt, err
}

// leads looks an audience up, once: what it becomes afterwards does not matter.
func (s *Sends) leads(ctx context.Context, org leadevents.OrgID, from audience.Reference) (audience.Leads, error) {
	leads := audience.Leads{Source: from.Source, Phones: from.Phones, EventType: from.EventType}
	if from.Source != audience.Stored {
		return leads, nil
	}
	layers, found, err := s.store.AudienceLayers(ctx, org, from.AudienceID)
	if err == nil && !found {
		err = errNoAudience
	}
	leads.Layers = layers
	return leads, err
}

// Leads hands on what a send kept, in the order of phones, in pieces.
func (s *Sends) Leads(ctx context.Context, org leadevents.OrgID, id string, f func(phones []leadevents.Phone, externalIDs []string) error) error {
	send, err := s.materialized(ctx, org, id)
	if err != nil {
		return err
	}
	if !s.streams.TryAcquire(1) {
		return leadevents.Errorf(leadevents.Unavailable, "%d results are being read already (sends.streams); send the same request again in a moment", s.cfg.Streams)
	}
	defer s.streams.Release(1)
	act := audit.Act{Action: audit.SendExport, Object: id, Reads: true}
	return s.audit.Do(ctx, org, act, func(ctx context.Context, detail audit.Detail) error {
		leads := 0
		err := s.store.SendLeads(ctx, org, send.Run, func(phones []leadevents.Phone, externalIDs []string) error {
			leads += len(phones)
			return f(phones, externalIDs)
		})
		detail["leads"] = leads // that were handed on; how many arrived nobody knows
		return err
	})
}

// Explanation is why a send kept a lead, or did not.
type Explanation struct {
	Send       audience.Send
	InAudience bool
	Decision   audience.Decision // if InAudience
}

// Explain tells what the materialization decided about a lead, by the evidence
// that was kept then.
func (s *Sends) Explain(ctx context.Context, org leadevents.OrgID, id string, phone leadevents.Phone) (Explanation, error) {
	send, err := s.materialized(ctx, org, id)
	if err != nil {
		return Explanation{}, err
	}
	x := Explanation{Send: send}
	x.Decision, x.InAudience, err = s.store.SendVerdict(ctx, org, send.Run, send.Definition.Filters, phone)
	return x, err
}
