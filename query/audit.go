package query

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"leadevents"
	"leadevents/audit"
)

// AuditStore keeps audit logs (ClickHouse). Its errors are *leadevents.Error or bugs.
type AuditStore interface {
	// AuditEntries reads entries with the last word of each, newest first, at most limit.
	AuditEntries(ctx context.Context, org leadevents.OrgID, which audit.Filter, after audit.Position, limit int) ([]audit.Entry, error)
}

// Limits of the list.
const (
	MaxAuditEntries     = 1000
	DefaultAuditEntries = 100
)

// AuditLog reads an organization's audit log. Nothing here, and nothing anywhere,
// changes or removes an entry.
type AuditLog struct{ store AuditStore }

// NewAuditLog makes it.
func NewAuditLog(store AuditStore) *AuditLog { return &AuditLog{store} }

// Entries reads entries, newest first, from a cursor on, "" for the newest; next is the
// cursor of those that follow, "" at the end.
func (l *AuditLog) Entries(ctx context.Context, org leadevents.OrgID, which audit.Filter, cursor string, limit int) (found []audit.Entry, next string, err error) {
	var after audit.Position
	if cursor != "" {
		if after, err = parseAuditCursor(org, cursor); err != nil {
			return nil, "", err
		}
	}
	found, err = l.store.AuditEntries(ctx, org, which, after, limit+1)
	if err != nil || len(found) <= limit {
		return found, "", err
	}
	last := found[limit-1]
	return found[:limit], auditCursor(org, audit.Position{At: last.At, ID: last.ID}), nil
}

// ParseAuditFilter reads a filter as it stands in a query string or on a command
// line; what is empty holds for all.
func ParseAuditFilter(from, to, action, actor string) (which audit.Filter, err error) {
	if which.From, err = moment("from", from); err != nil {
		return which, err
	}
	if which.To, err = moment("to", to); err != nil {
		return which, err
	}
	if to != "" {
		which.To = max(which.To, 1) // 1970 is before all entries, and zero would be no end
	}
	if action != "" {
		if which.Action, err = audit.ParseAction(action); err != nil {
			return which, err
		}
	}
	if len(actor) > audit.MaxActor {
		return which, leadevents.Errorf(leadevents.InvalidRequest, "actor has %d bytes, at most %d are allowed", len(actor), audit.MaxActor)
	}
	which.Actor = actor
	return which, nil
}

func auditCursor(org leadevents.OrgID, p audit.Position) string {
	return writeCursor("l1", org, fmt.Sprintf("%d.%d", p.At, p.ID))
}

func parseAuditCursor(org leadevents.OrgID, cursor string) (p audit.Position, err error) {
	position, err := readCursor("l1", org, cursor)
	if err != nil {
		return p, err
	}
	at, id, _ := strings.Cut(position, ".")
	ms, err := strconv.ParseInt(at, 10, 64)
	if err != nil || ms <= 0 || ms > int64(leadevents.MaxOccurredAt) {
		return p, errCursor
	}
	if p.ID, err = strconv.ParseUint(id, 10, 64); err != nil {
		return audit.Position{}, errCursor
	}
	p.At = leadevents.Millis(ms)
	return p, nil
}

// ShownAuditEntry is an entry as clients see it.
type ShownAuditEntry struct {
	ID      string        `json:"id"`
	At      string        `json:"at"`
	Action  audit.Action  `json:"action"`
	Outcome audit.Outcome `json:"outcome"`
	Actor   struct {
		Type audit.ActorType `json:"type"`
		ID   *string         `json:"id"` // null where there is none
	} `json:"actor"`
	ObjectID      string          `json:"objectId"`
	Detail        json.RawMessage `json:"detail"`
	ClientAddress *string         `json:"clientAddress"` // null of commands
	RequestID     *string         `json:"requestId"`     // null of commands
}

// ShowAuditEntry is what lists tell of an entry.
func ShowAuditEntry(e audit.Entry) ShownAuditEntry {
	s := ShownAuditEntry{
		ID: strconv.FormatUint(e.ID, 10), At: e.At.String(), Action: e.Action, Outcome: e.Outcome,
		ObjectID: e.Object, Detail: e.Detail, RequestID: given(e.Actor.RequestID),
	}
	s.Actor.Type, s.Actor.ID = e.Actor.Type, given(e.Actor.ID)
	if e.Actor.Client.IsValid() {
		s.ClientAddress = given(e.Actor.Client.String())
	}
	return s
}

// withoutReading is an entry as its organization may see it. ClickHouse counts what a
// statement reads by the granule, where rows of others are too: how many is the operator's to
// know (leadevents audit).
func withoutReading(e audit.Entry) (audit.Entry, error) {
	if e.Action != audit.SQLQuery {
		return e, nil
	}
	detail := audit.Detail{}
	if err := json.Unmarshal(e.Detail, &detail); err != nil {
		return e, fmt.Errorf("read the detail of audit entry %d: %w", e.ID, err)
	}
	for _, name := range []string{"rowsRead", "bytesRead", "atLeast"} {
		delete(detail, name)
	}
	var err error
	e.Detail, err = json.Marshal(detail)
	return e, err
}

// given is a text, or null for none.
func given(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
