package query

import (
	"context"

	"leadevents"
	"leadevents/audit"
	"leadevents/query/upload"
)

// room refuses a new audience where there are as many as there may be (0: no limit). It
// is a 409, like a key too many, and no 429: time alone makes no room.
func (a *Audiences) room(ctx context.Context, org leadevents.OrgID, most int) error {
	if most == 0 {
		return nil
	}
	stored, err := a.store.CountAudiences(ctx, org)
	if err != nil || stored < uint64(most) {
		return err
	}
	if a.cfg.Refused != nil {
		a.cfg.Refused.Inc()
	}
	return leadevents.Errorf(leadevents.Conflict, "organization %d has %d audiences, at most %d may be stored (%s): delete one first", org, stored, most, leadevents.StoredAudiences)
}

// RoomFor is room for an upload to an audience that may not be there yet: asked before
// it is read. What counts is asked again when it is committed.
func (a *Audiences) RoomFor(ctx context.Context, org leadevents.OrgID, id string, most int) error {
	if most == 0 {
		return nil
	}
	log, err := a.store.AudienceLog(ctx, org, id)
	if err != nil {
		return err
	}
	if _, exists := log.Audience(id); exists {
		return nil
	}
	return a.room(ctx, org, most)
}

// commitTo adds a commit to an audience, at its turn. Makers of different new audiences
// take turns too where their number is limited, or both would find the last room.
func (a *Audiences) commitTo(ctx context.Context, org leadevents.OrgID, id string, log leadevents.AudienceLog, most int, action audit.Action, c leadevents.AudienceCommit) error {
	before, exists := log.Audience(id)
	if !exists && most > 0 {
		release, err := a.turns.take(ctx, "audiences:"+org.String())
		if err != nil {
			return err
		}
		defer release()
		if err := a.room(ctx, org, most); err != nil {
			return err
		}
	}
	if !exists {
		action = audit.AudienceCreate
	}
	c.Since = before.CreatedAt
	return a.record(ctx, org, id, audit.Act{Action: action, Object: id, Detail: audit.Detail{"leads": c.Leads, "before": before.Leads}}, c)
}

// meter charges the rows of an upload as they come, a piece of them at a time.
type meter struct {
	upload.Reader
	charge func(rows int)
	rows   int // not charged yet
}

// Next implements upload.Reader.
func (m *meter) Next(lead *upload.Lead) error {
	err := m.Reader.Next(lead)
	if err != nil {
		m.end()
		return err
	}
	if m.rows++; m.rows == pieceLeads {
		m.end()
	}
	return nil
}

// end charges what is left.
func (m *meter) end() {
	if m.rows > 0 {
		m.charge(m.rows)
		m.rows = 0
	}
}
