package clickhouse

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"leadevents"
	"leadevents/audit"
)

// AppendAudit adds an entry to an organization's audit log, on the disk when it
// returns (audit.Store). This and AuditEntries are all that touches its table.
func (db *DB) AppendAudit(ctx context.Context, org leadevents.OrgID, e audit.Entry) error {
	batch, err := db.batch(ctx, "INSERT INTO audit_log (organization_id, at, entry, outcome, action, actor_type, actor_id, object, detail, client, request_id)")
	if err == nil {
		client := ""
		if e.Actor.Client.IsValid() {
			client = e.Actor.Client.String()
		}
		err = batch.Append(uint64(org), e.At.Time(), e.ID, string(e.Outcome), string(e.Action), string(e.Actor.Type), e.Actor.ID,
			e.Object, string(e.Detail), client, e.Actor.RequestID)
	}
	if err == nil {
		err = batch.Send()
	}
	if err != nil {
		return unavailable(fmt.Errorf("add %s to the audit log: %w", e.Action, err))
	}
	return nil
}

// AppendAudit adds an entry through the pool of credentials.
func (c *Credentials) AppendAudit(ctx context.Context, org leadevents.OrgID, e audit.Entry) error {
	return c.db.AppendAudit(ctx, org, e)
}

// auditRows is the most rows that an entry has: begun, begun once more where the first
// answer was lost (audit.Log), and its outcome.
const auditRows = 3

// AuditEntries reads an organization's audit log, newest first, at most limit.
func (db *DB) AuditEntries(ctx context.Context, org leadevents.OrgID, which audit.Filter, after audit.Position, limit int) ([]audit.Entry, error) {
	var entries []audit.Entry
	p := clickhouse.Parameters{
		"organization": org.String(),
		"from":         strconv.FormatInt(int64(which.From), 10), "to": strconv.FormatInt(int64(which.To), 10),
		"after": strconv.FormatInt(int64(after.At), 10), "after_entry": strconv.FormatUint(after.ID, 10),
		"action": string(which.Action), "actor": which.Actor,
		"limit": strconv.Itoa(auditRows * limit),
	}
	err := db.stream(ctx, "audit_page", p, func(rows driver.Rows) error {
		var (
			e                                        audit.Entry
			at                                       int64
			outcome, action, actorType, detail, from string
		)
		err := rows.Scan(&e.ID, &at, &outcome, &action, &actorType, &e.Actor.ID, &e.Object, &detail, &from, &e.Actor.RequestID)
		if err != nil {
			return err
		}
		e.At, e.Outcome, e.Action, e.Detail = leadevents.Millis(at), audit.Outcome(outcome), audit.Action(action), []byte(detail)
		e.Actor.Type = audit.ActorType(actorType)
		if from != "" {
			if e.Actor.Client, err = netip.ParseAddr(from); err != nil {
				return fmt.Errorf("entry %d of the audit log: %w", e.ID, err)
			}
		}
		if n := len(entries); n == limit || n > 0 && entries[n-1].ID == e.ID {
			return nil
		}
		entries = append(entries, e)
		return nil
	})
	return entries, err
}
