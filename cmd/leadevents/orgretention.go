package main

import (
	"log/slog"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"leadevents"
	"leadevents/cmd/internal/app"
	"leadevents/configs"
	"leadevents/retention"
)

// forever is how many days of what is kept for ever.
const forever = "forever"

func newOrgRetention() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "retention ORG",
		Short: "Show for how many days an organization's events are kept, or set it",
		Long: `Shows for how many days events of the organization with the number ORG are kept, and for
which event types that is otherwise. With flags it sets those that are named, and leaves
the others as they are: a number of days, 1 to 36500, or "` + forever + `"; of a type also "` + byDefault + `", for
what holds for all others.

An event that occurred longer ago is expired: it is rejected when it comes (again), filters
do not count it, and two days later it is removed. A longer time does not bring it back.` + whichStores,
		Example: `  leadevents org retention 42 --config leadevents.yaml
  leadevents org retention 42 --days 730 --type page_view=90 --type invoice_paid=` + forever + `
  leadevents org retention 42 --days ` + forever + ` --type page_view=` + byDefault,
		Args: exactArgs("ORG"),
	}
	a := addAdministration(cmd)
	var days string
	var types []string
	cmd.Flags().StringVar(&days, "days", "", "of types without a rule of their own: `N`, or "+forever)
	cmd.Flags().StringArrayVar(&types, "type", nil, "of one type: `TYPE=N`, TYPE="+forever+" or TYPE="+byDefault+"; may be repeated")
	cmd.RunE = ofOrganization(func(cmd *cobra.Command, org leadevents.OrgID, _ []string) error {
		change, err := retentionChanges(cmd, days, types)
		if err != nil {
			return err
		}
		return a.with(cmd, func(s configs.Settings, log *slog.Logger) error {
			return app.KeepEvents(cmd.Context(), s, log, org, func(k *retention.Keeper) error {
				rules, err := k.Rules(cmd.Context(), org)
				if err == nil && change != nil {
					change(rules)
					err = k.Set(cmd.Context(), org, rules)
				}
				if err != nil {
					return err
				}
				if change != nil {
					explain(cmd, "The retention of organization %d is set; every server follows within 2 seconds.", org)
				}
				if a.json {
					return printJSON(cmd.OutOrStdout(), rules.Show())
				}
				rows := [][]string{{"(all others)", shownRetention(rules.Days)}}
				for _, name := range rules.Names() {
					rows = append(rows, []string{name, shownRetention(rules.Types[name])})
				}
				return printTable(cmd.OutOrStdout(), "eventType days", rows)
			})
		})
	})
	return cmd
}

func shownRetention(days int) string {
	if days == retention.Forever {
		return forever
	}
	return strconv.Itoa(days)
}

// retentionChanges reads the flags; nil without any.
func retentionChanges(cmd *cobra.Command, days string, types []string) (func(*retention.Rules), error) {
	parse := func(flag, text string) (int, error) {
		if text == forever {
			return retention.Forever, nil
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > retention.MaxDays {
			return 0, invalid(cmd, leadevents.Errorf(leadevents.InvalidRequest, "--%s is %q: 1 to %d days were expected, or %s", flag, text, retention.MaxDays, forever))
		}
		return n, nil
	}
	var all []func(*retention.Rules)
	if cmd.Flags().Changed("days") {
		n, err := parse("days", days)
		if err != nil {
			return nil, err
		}
		all = append(all, func(r *retention.Rules) { r.Days = n })
	}
	for _, given := range types {
		at := strings.LastIndexByte(given, '=')
		if at < 1 {
			return nil, invalid(cmd, leadevents.Errorf(leadevents.InvalidRequest, "--type is %q: TYPE=N was expected", given))
		}
		name, text := given[:at], given[at+1:]
		if text == byDefault {
			all = append(all, func(r *retention.Rules) { delete(r.Types, name) })
			continue
		}
		n, err := parse("type", text)
		if err != nil {
			return nil, err
		}
		all = append(all, func(r *retention.Rules) { r.Types[name] = n })
	}
	if len(all) == 0 {
		return nil, nil
	}
	return func(r *retention.Rules) {
		for _, change := range all {
			change(r)
		}
	}, nil
}
