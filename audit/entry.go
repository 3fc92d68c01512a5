package audit

import (
	"encoding/json"
	"slices"

	"leadevents"
)

// Action is what was done.
type Action string

// The actions.
const (
	OrganizationCreate Action = "organization.create"
	WebhooksUpdate     Action = "webhooks.update"
	LimitsUpdate       Action = "limits.update"
	APIKeyCreate       Action = "api_key.create"
	APIKeyRevoke       Action = "api_key.revoke"
	SigningKeyCreate   Action = "signing_key.create"
	SigningKeyRevoke   Action = "signing_key.revoke"
	// SigningKeyReencrypt is a rotation of the master key, for each secret.
	SigningKeyReencrypt Action = "signing_key.reencrypt"

	AudienceCreate  Action = "audience.create"
	AudienceReplace Action = "audience.replace"
	AudienceAppend  Action = "audience.append"
	AudienceDelete  Action = "audience.delete"

	SendDefine      Action = "send.define"
	SendFilter      Action = "send.filter"
	SendMaterialize Action = "send.materialize"
	SendExport      Action = "send.export"

	// SQLQuery is a statement of an analyst's own.
	SQLQuery Action = "sql.query"
	// SQLUserCreate makes the database user of an organization's tools outside, or
	// gives it another password; SQLUserDrop ends it.
	SQLUserCreate Action = "sql_user.create"
	SQLUserDrop   Action = "sql_user.drop"
	EventsExport  Action = "events.export"

	// The object of these is a keyed hash: the log shows no phone.
	LeadErase Action = "lead.erase"
	LeadAllow Action = "lead.allow"

	RetentionUpdate Action = "retention.update"

	// BatchUndo and RunUndo take back what calls have stored.
	BatchUndo Action = "batch.undo"
	RunUndo   Action = "run.undo"
)

// Actions lists them all.
func Actions() []Action {
	return []Action{
		OrganizationCreate, WebhooksUpdate, LimitsUpdate, APIKeyCreate, APIKeyRevoke, SigningKeyCreate, SigningKeyRevoke, SigningKeyReencrypt,
		AudienceCreate, AudienceReplace, AudienceAppend, AudienceDelete,
		SendDefine, SendFilter, SendMaterialize, SendExport,
		SQLQuery, SQLUserCreate, SQLUserDrop,
		EventsExport,
		LeadErase, LeadAllow, RetentionUpdate, BatchUndo, RunUndo,
	}
}

// ParseAction reads an action's name.
func ParseAction(s string) (Action, error) {
	if a := Action(s); slices.Contains(Actions(), a) {
		return a, nil
	}
	return "", leadevents.Errorf(leadevents.InvalidRequest, "action must be one of %v", Actions())
}

// Outcome is what became of an act.
type Outcome string

// The outcomes. Begun is the last word where nothing more is known.
const (
	Begun  Outcome = "begun"
	Done   Outcome = "done"
	Failed Outcome = "failed"
)

// Detail is what else is to be known of an act: a few values, none of them a secret
// or a phone.
type Detail map[string]any

// Entry is one act in the log.
type Entry struct {
	ID      uint64            // random, 63 bits
	At      leadevents.Millis // when it was begun, by the clock of the process
	Action  Action
	Outcome Outcome
	Actor   Actor
	Object  string // the id of what it was done to, within its organization
	Detail  json.RawMessage
}

// Filter says which entries are wanted; what is zero holds for all.
type Filter struct {
	From, To leadevents.Millis // [From, To)
	Action   Action
	Actor    string // an actor's id, or its type for all of that type
}

// MaxActor is the longest actor that is asked for, in bytes.
const MaxActor = 300

// Position is where a reading of the log, newest first, goes on: behind this entry.
type Position struct {
	At leadevents.Millis
	ID uint64
}
