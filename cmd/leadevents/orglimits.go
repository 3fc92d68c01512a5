package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"leadevents"
	"leadevents/auth"
)

// limitHelp is what each limit is about.
var limitHelp = map[leadevents.Limit]string{
	leadevents.RequestsPerSecond: "requests with a credential of the organization, a second",
	leadevents.RowsPerSecond:     "rows of ingest calls and audience uploads, a second",
	leadevents.BodiesInFlight:    "requests with a body, handled at once",
	leadevents.ConcurrentExports: "streamed results, read at once",
	leadevents.StoredAudiences:   "audiences that there may be",
}

// byDefault is the value of a limit that is not the organization's own.
const byDefault = "default"

func newOrgLimits() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "limits ORG",
		Short: "Show what an organization may do, or set it",
		Long: `Shows the limits of the organization with the number ORG, and where each comes from:
its own, or the default of the settings (limits.…) that this command is given. With
flags it sets those that are named, and leaves the others as they are: a number, 0
for no limit, or "` + byDefault + `" for what the settings say.

What is above a limit is a 429 with Retry-After; an audience too many is a 409.` + whichStores,
		Example: `  leadevents org limits 42 --config leadevents.yaml
  leadevents org limits 42 --requests-per-second 100 --rows-per-second 50000
  leadevents org limits 42 --rows-per-second ` + byDefault,
		Args: exactArgs("ORG"),
	}
	a := addAdministration(cmd)
	given := map[leadevents.Limit]*string{}
	for _, limit := range leadevents.AllLimits() {
		given[limit] = cmd.Flags().String(limitFlag(limit), "", limitHelp[limit]+": `N`, 0 for no limit, or "+byDefault)
	}
	cmd.RunE = ofOrganization(func(cmd *cobra.Command, org leadevents.OrgID, _ []string) error {
		changes := auth.LimitChanges{}
		for limit, text := range given {
			if !cmd.Flags().Changed(limitFlag(limit)) {
				continue
			}
			value, err := parseLimit(limit, *text)
			if err != nil {
				return invalid(cmd, err)
			}
			changes[limit] = value
		}
		return a.run(cmd, func(d *auth.Directory) error {
			of, err := d.SetLimits(cmd.Context(), org, changes) // of none it only reads
			if err != nil {
				return err
			}
			if len(changes) > 0 {
				explain(cmd, "Limits of organization %d are set; every server follows within 2 seconds.", org)
			}
			return a.limits(cmd, of)
		})
	})
	return cmd
}

// limitFlag is the limit's flag, without dashes in front.
func limitFlag(limit leadevents.Limit) string { return strings.ReplaceAll(limit.Setting(), "_", "-") }

func parseLimit(limit leadevents.Limit, text string) (int, error) {
	if text == byDefault {
		return auth.Unset, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, leadevents.Errorf(leadevents.InvalidRequest, "--%s is %q: a number was expected, 0 for no limit, or %s", limitFlag(limit), text, byDefault)
	}
	return n, leadevents.CheckLimit(limit, n)
}

// limits prints what holds.
func (a *administration) limits(cmd *cobra.Command, of auth.LimitsOf) error {
	if a.json {
		return printJSON(cmd.OutOrStdout(), of.Show())
	}
	var rows [][]string
	for _, limit := range leadevents.AllLimits() {
		s := of.ShowOne(limit)
		value := fmt.Sprint(s.Value)
		if s.Value == 0 {
			value = "-"
		}
		rows = append(rows, []string{limit.String(), value, s.From})
	}
	return printTable(cmd.OutOrStdout(), "limit value from", rows)
}
