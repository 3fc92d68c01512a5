package auth

import (
	"context"

	"leadevents"
	"leadevents/audit"
)

// Unset is the value of a limit that an organization does not have of its own: the
// default of all organizations holds.
const Unset = -1

// OrganizationLimit is one limit of one organization. Those who have none of their
// own, and never had, have no record.
type OrganizationLimit struct {
	Org     leadevents.OrgID
	Limit   leadevents.Limit
	Value   int // 0: no limit, whatever the default says; Unset: the default
	Version uint64
}

// LimitChanges are new values, some of which may be Unset.
type LimitChanges map[leadevents.Limit]int

// LimitsOf is what holds for an organization, and where each comes from.
type LimitsOf struct {
	Org    leadevents.OrgID
	Limits leadevents.Limits
	Own    [len(leadevents.Limits{})]bool // not the default
}

// put is the limit of a record.
func (l *LimitsOf) put(r OrganizationLimit, defaults leadevents.Limits) {
	l.Own[r.Limit] = r.Value != Unset
	if l.Limits[r.Limit] = r.Value; r.Value == Unset {
		l.Limits[r.Limit] = defaults[r.Limit]
	}
}

// Limits reads what holds for an organization; an unknown id is a 404.
func (d *Directory) Limits(ctx context.Context, org leadevents.OrgID) (LimitsOf, error) {
	of, _, err := d.loadLimits(ctx, org)
	return of, err
}

func (d *Directory) loadLimits(ctx context.Context, org leadevents.OrgID) (LimitsOf, []OrganizationLimit, error) {
	_, r, err := d.load(ctx, org)
	if err != nil {
		return LimitsOf{}, nil, err
	}
	of := LimitsOf{Org: org, Limits: d.cfg.DefaultLimits}
	for _, limit := range r.Limits {
		of.put(limit, d.cfg.DefaultLimits)
	}
	return of, r.Limits, nil
}

// SetLimits changes limits of an organization, those that are named, all of them or
// none. They hold in this process at once, and in every other within MaxStaleness.
func (d *Directory) SetLimits(ctx context.Context, org leadevents.OrgID, changes LimitChanges) (LimitsOf, error) {
	for limit, value := range changes {
		if value == Unset {
			continue
		}
		if err := leadevents.CheckLimit(limit, value); err != nil {
			return LimitsOf{}, err
		}
	}
	d.admin.Lock()
	defer d.admin.Unlock()
	of, have, err := d.loadLimits(ctx, org)
	if err != nil {
		return LimitsOf{}, err
	}
	records := map[leadevents.Limit]OrganizationLimit{}
	for _, r := range have {
		records[r.Limit] = r
	}
	var changed []OrganizationLimit
	for _, limit := range leadevents.AllLimits() {
		value, named := changes[limit]
		r, stored := records[limit]
		if !named || stored && r.Value == value || !stored && value == Unset {
			continue
		}
		r = OrganizationLimit{Org: org, Limit: limit, Value: value, Version: d.version(r.Version)}
		changed = append(changed, r)
		of.put(r, d.cfg.DefaultLimits)
	}
	if len(changed) == 0 {
		return of, nil
	}
	detail := audit.Detail{}
	for _, r := range changed {
		if detail[r.Limit.String()] = r.Value; r.Value == Unset {
			detail[r.Limit.String()] = nil // as it is unset over HTTP
		}
	}
	act := audit.Act{Action: audit.LimitsUpdate, Object: org.String(), Detail: detail}
	err = d.write(ctx, org, act, "the limits", func(ctx context.Context) error { return d.store.PutLimits(ctx, changed) })
	return of, err
}

// limitsByOrg is what holds for each of some organizations, nil for no limit at all.
func (d *Directory) limitsByOrg(records []OrganizationLimit) func(leadevents.OrgID) *leadevents.Limits {
	own := map[leadevents.OrgID]*LimitsOf{}
	for _, r := range records {
		of := own[r.Org]
		if of == nil {
			of = &LimitsOf{Limits: d.cfg.DefaultLimits}
			own[r.Org] = of
		}
		of.put(r, d.cfg.DefaultLimits)
	}
	return func(org leadevents.OrgID) *leadevents.Limits {
		limits := &d.cfg.DefaultLimits
		if of := own[org]; of != nil {
			limits = &of.Limits
		}
		if *limits == (leadevents.Limits{}) {
			return nil
		}
		return limits
	}
}

// ShownLimits is what holds for an organization, as clients see it.
type ShownLimits struct {
	OrganizationID leadevents.OrgID `json:"organizationId"`
	Limits         ShownEach        `json:"limits"`
}

// ShownEach is every limit; fields, since they come in one order.
type ShownEach struct {
	RequestsPerSecond ShownLimit `json:"requestsPerSecond"`
	RowsPerSecond     ShownLimit `json:"rowsPerSecond"`
	BodiesInFlight    ShownLimit `json:"bodiesInFlight"`
	ConcurrentExports ShownLimit `json:"concurrentExports"`
	StoredAudiences   ShownLimit `json:"storedAudiences"`
}

// ShownLimit is one limit; From is "own" or "default".
type ShownLimit struct {
	Value int    `json:"value"` // 0: no limit
	From  string `json:"from"`
}

// Show is what clients see of the limits.
func (l LimitsOf) Show() ShownLimits {
	return ShownLimits{l.Org, ShownEach{
		l.ShowOne(leadevents.RequestsPerSecond), l.ShowOne(leadevents.RowsPerSecond), l.ShowOne(leadevents.BodiesInFlight),
		l.ShowOne(leadevents.ConcurrentExports), l.ShowOne(leadevents.StoredAudiences),
	}}
}

// ShowOne is what clients see of one limit.
func (l LimitsOf) ShowOne(limit leadevents.Limit) ShownLimit {
	if l.Own[limit] {
		return ShownLimit{l.Limits[limit], "own"}
	}
	return ShownLimit{l.Limits[limit], "default"}
}
