package audience

import (
	"slices"
	"strings"

	"leadevents"
)

// MaxPhones bounds the phones that a request may list; more of them are stored
// as an audience first.
const MaxPhones = 100_000

// Source is the way in which a [Reference] names its leads.
type Source uint8

// The sources. The zero Source names nobody and is never valid: "all leads" must
// be said, it is no default.
const (
	NoSource  Source = iota
	Stored           // {"audienceId":"…"}: an audience that was uploaded
	Listed           // {"phones":["…"]}: these phones
	EverHad          // {"eventType":"…"}: all leads that ever had an event of the type
	EveryLead        // {"allLeads":true}: all leads of the organization
)

// Reference names the leads that a send starts from, in exactly one way.
type Reference struct {
	Source     Source
	AudienceID string             // of Stored
	Phones     []leadevents.Phone // of Listed: ascending and distinct; none is no lead
	EventType  string             // of EverHad
}

const idCharacters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-"

// ValidateID checks the id of a stored audience; at names it in the error,
// which is leadevents.InvalidRequest.
func ValidateID(id, at string) error {
	if len(id) < 1 || len(id) > 64 || strings.ContainsFunc(id, func(r rune) bool { return !strings.ContainsRune(idCharacters, r) }) {
		return refuse(at, "must be 1 to 64 of the characters A-Z a-z 0-9 _ . -; got %s", quoted(id))
	}
	return nil
}

// DecodeReference reads an audience reference, strictly. at names it in the
// errors ("audience"). Phones are read as ingest reads them; one that does not
// parse is an error that names it, because a send to fewer people than were
// listed must not go unnoticed. Phones listed twice are one lead.
func DecodeReference(raw []byte, at string) (Reference, error) {
	raw, err := checked(raw, at)
	if err != nil {
		return Reference{}, err
	}
	fields, err := object(raw, at, "audienceId", "phones", "eventType", "allLeads")
	if err != nil {
		return Reference{}, err
	}
	if n := len(fields.values); n != 1 {
		return Reference{}, refuse(at, "must have exactly one of audienceId, phones, eventType, allLeads; it has %d", n)
	}
	var r Reference
	switch {
	case fields.has("audienceId"):
		r.Source = Stored
		if r.AudienceID, err = fields.text("audienceId"); err == nil {
			err = ValidateID(r.AudienceID, at+".audienceId")
		}
	case fields.has("phones"):
		r.Source = Listed
		r.Phones, err = decodePhones(fields.values["phones"], at+".phones")
	case fields.has("eventType"):
		r.Source = EverHad
		if r.EventType, err = fields.text("eventType"); err == nil {
			err = validateEventType(r.EventType, at+".eventType")
		}
	default:
		r.Source = EveryLead
		if fields.values["allLeads"][0] != 't' {
			err = refuse(at+".allLeads", "must be true; to name other leads use another field")
		}
	}
	if err != nil {
		return Reference{}, err
	}
	return r, nil
}

func decodePhones(raw []byte, at string) ([]leadevents.Phone, error) {
	if raw[0] != '[' {
		return nil, refuse(at, "must be an array of phones; [] is no lead")
	}
	n := count(raw)
	if n > MaxPhones {
		return nil, refuse(at, "holds %d phones; at most %d are allowed: upload them as an audience", n, MaxPhones)
	}
	phones := make([]leadevents.Phone, 0, n)
	for i, e := range elements(raw) {
		if e[0] != '"' {
			return nil, refuse(index(at, i), "must be a string")
		}
		text := unquote(e)
		phone, err := leadevents.ParsePhone(text)
		if err != nil {
			return nil, refuse(index(at, i), "is not a possible phone number")
		}
		phones = append(phones, phone)
	}
	slices.Sort(phones)
	return slices.Compact(phones), nil
}

// AppendJSON appends the reference's canonical JSON: phones in E.164, ascending,
// each once.
func (r Reference) AppendJSON(b []byte) []byte {
	switch r.Source {
	case Stored:
		b = appendString(append(b, `{"audienceId":`...), r.AudienceID)
	case Listed:
		b = append(b, `{"phones":[`...)
		for i, p := range r.Phones {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(p.AppendTo(append(b, '"')), '"')
		}
		b = append(b, ']')
	case EverHad:
		b = appendString(append(b, `{"eventType":`...), r.EventType)
	case EveryLead:
		b = append(b, `{"allLeads":true`...)
	default:
		return append(b, "null"...)
	}
	return append(b, '}')
}

// MarshalJSON is the canonical JSON (which encoding/json may escape further).
func (r Reference) MarshalJSON() ([]byte, error) { return r.AppendJSON(nil), nil }

// UnmarshalJSON reads a reference as [DecodeReference] does, under the name
// "audience".
func (r *Reference) UnmarshalJSON(raw []byte) error {
	read, err := DecodeReference(raw, "audience")
	if err == nil {
		*r = read
	}
	return err
}
