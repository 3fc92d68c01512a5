package main

import (
	"fmt"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"leadevents"
	"leadevents/audit"
	"leadevents/cmd/internal/app"
	"leadevents/configs"
	"leadevents/query"
)

func newAudit() *cobra.Command {
	var from, to, action, actor, cursor string
	var limit int
	cmd := &cobra.Command{
		Use:     "audit ORG",
		Short:   "Show who did what to an organization, when and from where",
		GroupID: "admin",
		Long: `Shows the audit log of the organization with the number ORG, newest first: who
created, changed or revoked what, and which results were exported. What is in it is
written before it is done, so an entry whose outcome is "begun" was done or not: the
process died, or the store did not answer. Nothing removes an entry.

The actions: ` + strings.Join(actions(), ", ") + `.` + whichStores,
		Example: `  leadevents audit 42 --config leadevents.yaml
  leadevents audit 42 --action api_key.revoke --from 2026-11-01T00:00:00Z --json
  leadevents audit 42 --actor operator`,
		Args: exactArgs("ORG"),
	}
	a := addAdministration(cmd)
	flags := cmd.Flags()
	flags.StringVar(&from, "from", "", "from this `TIME` on, such as 2026-11-01T00:00:00Z")
	flags.StringVar(&to, "to", "", "before this `TIME`")
	flags.StringVar(&action, "action", "", "only this `ACTION`")
	flags.StringVar(&actor, "actor", "", "only what this `ACTOR` did: the id of an API key or signing key, user@host of a command, or api_key, signing_key, operator or command for all of them")
	flags.IntVar(&limit, "limit", query.DefaultAuditEntries, fmt.Sprintf("at most `N` entries, 1 to %d", query.MaxAuditEntries))
	flags.StringVar(&cursor, "cursor", "", "go on from the `CURSOR` that the call before has printed")
	cmd.RunE = ofOrganization(func(cmd *cobra.Command, org leadevents.OrgID, _ []string) error {
		which, err := query.ParseAuditFilter(from, to, action, actor)
		if err != nil {
			return invalid(cmd, err)
		}
		if limit < 1 || limit > query.MaxAuditEntries {
			return usagef(cmd, "--limit must be 1 to %d", query.MaxAuditEntries)
		}
		return a.with(cmd, func(s configs.Settings, _ *slog.Logger) error {
			return app.ReadAudit(cmd.Context(), s, func(log *query.AuditLog) error {
				found, next, err := log.Entries(cmd.Context(), org, which, cursor, limit)
				if err != nil {
					return err
				}
				return a.printAudit(cmd, found, next)
			})
		})
	})
	return cmd
}

func actions() []string {
	var names []string
	for _, a := range audit.Actions() {
		names = append(names, string(a))
	}
	return names
}

// printAudit prints entries; --json has the answer of GET /api/v1/audit, and what statements have read.
func (a *administration) printAudit(cmd *cobra.Command, found []audit.Entry, next string) error {
	shown := make([]query.ShownAuditEntry, len(found))
	rows := make([][]string, len(found))
	for i, e := range found {
		s := query.ShowAuditEntry(e)
		shown[i] = s
		who := string(s.Actor.Type)
		if s.Actor.ID != nil {
			who += ":" + *s.Actor.ID
		}
		rows[i] = []string{s.At, string(s.Outcome), string(s.Action), s.ObjectID, who, cell(s.ClientAddress), cell(s.RequestID), string(s.Detail)}
	}
	var more *string
	if next != "" {
		more = &next
	}
	if a.json {
		return printJSON(cmd.OutOrStdout(), map[string]any{"entries": shown, "nextCursor": more})
	}
	if len(found) == 0 {
		explain(cmd, "There are no such entries.")
	}
	if more != nil {
		explain(cmd, "There are more: --cursor %s", next)
	}
	return printTable(cmd.OutOrStdout(), "at outcome action objectId actor clientAddress requestId detail", rows)
}
