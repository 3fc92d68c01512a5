package query

import (
	"encoding/json"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"leadevents"
	"leadevents/query/audience"
)

// Limits of what names a send and its leads.
const (
	MaxCampaignID = 128 // code points
	MaxExternalID = 256 // code points, as in audiences
)

// definitionJSON is the body of PUT …/sends/{sendId}; without campaignId it is
// that of a preview.
type definitionJSON struct {
	CampaignID   *string        `json:"campaignId"`
	Audience     jsontext.Value `json:"audience"`
	EventFilters jsontext.Value `json:"eventFilters"`
	FireAt       *string        `json:"fireAt"`
}

type previewJSON struct {
	Audience     jsontext.Value `json:"audience"`
	EventFilters jsontext.Value `json:"eventFilters"`
	FireAt       *string        `json:"fireAt"`
}

// definition reads it, strictly.
func (in *definitionJSON) definition() (d audience.Definition, err error) {
	if in.CampaignID != nil {
		if err := checkText("campaignId", *in.CampaignID, MaxCampaignID); err != nil {
			return d, err
		}
		d.CampaignID = *in.CampaignID
	}
	if d.Audience, err = audience.DecodeReference(in.Audience, "audience"); err != nil {
		return d, err
	}
	if d.Filters, err = audience.DecodeFilters(in.EventFilters, "eventFilters"); err != nil {
		return d, err
	}
	if in.FireAt != nil {
		d.FireAt, err = fireAt(*in.FireAt)
	}
	return d, err
}

// fireAt reads a moment; 1970-01-01T00:00:00Z itself, which stands for none, is
// out of range.
func fireAt(text string) (leadevents.Millis, error) {
	at, ok := leadevents.ParseMillis([]byte(text))
	if !ok || at == 0 {
		return 0, leadevents.Errorf(leadevents.InvalidRequest, "fireAt must be a time as RFC 3339 with an offset, after 1970-01-01T00:00:00Z and before 2100")
	}
	return at, nil
}

// checkText checks a name of 1 to most code points.
func checkText(field, text string, most int) error {
	if n := utf8.RuneCountInString(text); n < 1 || n > most {
		return leadevents.Errorf(leadevents.InvalidRequest, "%s must be 1 to %d characters long; it has %d", field, most, n)
	}
	return nil
}

// listJSON is the body of the list filter's webhook.
type listJSON struct {
	OrganizationID *leadevents.OrgID `json:"organizationId"`
	CampaignID     *string           `json:"campaignId"`
	SendID         *string           `json:"sendId"`
	Mode           *audience.Mode    `json:"mode"`
	Leads          *[]listedJSON     `json:"leads"`
}

type listedJSON struct {
	ExternalID *string `json:"externalId"`
	PhoneE164  *string `json:"phoneE164"`
}

// read checks it and gives mode and leads.
func (in *listJSON) read() (mode audience.Mode, leads ListedLeads, err error) {
	missing := func(field string) error {
		return leadevents.Errorf(leadevents.InvalidRequest, "the field %s is missing", field)
	}
	switch {
	case in.OrganizationID == nil:
		return "", leads, missing("organizationId")
	case *in.OrganizationID == 0:
		return "", leads, leadevents.Errorf(leadevents.InvalidRequest, "organizationId must be a positive integer")
	case in.SendID == nil:
		return "", leads, missing("sendId")
	case in.Mode == nil:
		return "", leads, missing("mode")
	case *in.Mode != audience.Include && *in.Mode != audience.Exclude:
		return "", leads, leadevents.Errorf(leadevents.InvalidRequest, "mode must be include or exclude")
	case in.Leads == nil:
		return "", leads, missing("leads")
	}
	if in.CampaignID != nil {
		if err := checkText("campaignId", *in.CampaignID, MaxCampaignID); err != nil {
			return "", leads, err
		}
	}
	if err := audience.ValidateID(*in.SendID, "sendId"); err != nil {
		return "", leads, err
	}
	for i, l := range *in.Leads {
		if (l.ExternalID == nil) == (l.PhoneE164 == nil) {
			return "", leads, leadevents.Errorf(leadevents.InvalidRequest, "leads[%d] must have exactly one of externalId and phoneE164", i)
		}
		if l.ExternalID != nil {
			if n := utf8.RuneCountInString(*l.ExternalID); n < 1 || n > MaxExternalID {
				return "", leads, leadevents.Errorf(leadevents.InvalidRequest, "leads[%d].externalId must be 1 to %d characters long; it has %d", i, MaxExternalID, n)
			}
			leads.ExternalIDs = append(leads.ExternalIDs, *l.ExternalID)
			continue
		}
		phone, err := leadevents.ParsePhone(*l.PhoneE164)
		if err != nil {
			return "", leads, leadevents.Errorf(leadevents.InvalidRequest, "leads[%d].phoneE164 is not a possible phone number", i)
		}
		leads.Phones = append(leads.Phones, phone)
	}
	return *in.Mode, leads, nil
}

// sendJSON is a send as clients see it. What is not known yet is null.
type sendJSON struct {
	SendID         string              `json:"sendId"`
	Status         audience.SendState  `json:"status"`
	CampaignID     string              `json:"campaignId,omitzero"`
	Audience       any                 `json:"audience"`
	EventFilters   []audience.Filter   `json:"eventFilters"`
	AudienceFilter *audienceFilterJSON `json:"audienceFilter"`
	Total          *uint64             `json:"total"`
	Kept           *uint64             `json:"kept"`
	Dropped        *droppedJSON        `json:"dropped"`
	FireAt         *string             `json:"fireAt"`
	MaterializedAt *string             `json:"materializedAt"`
	AsOf           *string             `json:"asOf"`
	Progress       *progressJSON       `json:"progress,omitzero"` // while materializing
	Error          string              `json:"error,omitzero"`    // failed: why
}

type audienceFilterJSON struct {
	Mode      audience.Mode `json:"mode"`
	LeadCount uint64        `json:"leadCount"`
}

type droppedJSON struct {
	AudienceFilter uint64   `json:"audienceFilter"`
	EventFilters   []uint64 `json:"eventFilters"`
}

type progressJSON struct {
	Done int `json:"done"`
	Of   int `json:"of"` // 0 until it is known
}

func moments(at leadevents.Millis) *string {
	if at == 0 {
		return nil
	}
	text := at.String()
	return &text
}

func droppedOf(t audience.Totals) *droppedJSON {
	return &droppedJSON{AudienceFilter: t.DroppedByList, EventFilters: t.DroppedByFilters}
}

func shownSend(id string, send audience.Send) sendJSON {
	d := send.Definition
	s := sendJSON{
		SendID: id, Status: send.State, CampaignID: d.CampaignID, Audience: d.Audience, EventFilters: d.Filters,
		FireAt: moments(send.FireAt), MaterializedAt: moments(send.MaterializedAt), AsOf: moments(send.AsOf), Error: send.Reason,
	}
	if d.Audience.Source == audience.Listed { // up to 100,000: only how many
		s.Audience = struct {
			PhoneCount uint64 `json:"phoneCount"`
		}{d.PhoneCount}
	}
	if l := send.ListFilter; l != nil {
		s.AudienceFilter = &audienceFilterJSON{Mode: l.Mode, LeadCount: l.Leads}
	}
	if send.State == audience.SendMaterialized {
		s.Total, s.Kept, s.Dropped = &send.Totals.Total, &send.Totals.Kept, droppedOf(send.Totals)
	}
	return s
}

// explanationJSON is why a send kept a lead, or did not.
type explanationJSON struct {
	Phone          string          `json:"phoneE164"`
	ExternalID     string          `json:"externalId,omitzero"`
	InAudience     bool            `json:"inAudience"`
	Kept           bool            `json:"kept"`
	AudienceFilter *listedByJSON   `json:"audienceFilter"`
	Filters        []explainedJSON `json:"filters"`
}

type listedByJSON struct {
	Mode   audience.Mode `json:"mode"`
	Listed bool          `json:"listed"`
	Passed bool          `json:"passed"`
}

type explainedJSON struct {
	Filter    audience.Filter `json:"filter"`
	Passed    bool            `json:"passed"`
	Events    int             `json:"events"`
	LastEvent *lastEventJSON  `json:"lastEvent"`
}

type lastEventJSON struct {
	OccurredAt string          `json:"occurredAt"`
	Metadata   json.RawMessage `json:"metadata"` // null if the event is gone
}

func shownExplanation(phone leadevents.Phone, x Explanation) explanationJSON {
	out := explanationJSON{Phone: phone.String(), InAudience: x.InAudience, Filters: []explainedJSON{}}
	if !x.InAudience {
		return out
	}
	out.ExternalID, out.Kept = x.Decision.ExternalID, x.Decision.Kept
	if l := x.Send.ListFilter; l != nil {
		out.AudienceFilter = &listedByJSON{Mode: l.Mode, Listed: x.Decision.Listed, Passed: l.Passes(x.Decision.Listed)}
	}
	for i, evidence := range x.Decision.Filters {
		e := explainedJSON{Filter: x.Send.Definition.Filters[i], Passed: evidence.Passed, Events: evidence.Events}
		if last := evidence.LastEvent; last != nil {
			e.LastEvent = &lastEventJSON{OccurredAt: last.OccurredAt.String(), Metadata: last.Metadata}
			if last.Metadata == nil {
				e.LastEvent.Metadata = json.RawMessage("null")
			}
		}
		out.Filters = append(out.Filters, e)
	}
	return out
}
