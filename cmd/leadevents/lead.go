package main

import (
	"context"
	"log/slog"
	"strconv"

	"github.com/spf13/cobra"

	"leadevents"
	"leadevents/cmd/internal/app"
	"leadevents/configs"
	"leadevents/journal"
)

func newLead() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "lead",
		Short:   "Erase a lead, see how far that is, and let it come again",
		GroupID: "admin",
		Long: `A lead is a phone number of one organization. An erased one is gone from everything that
is stored of the organization, and is refused when it comes again, until it is allowed.
The work is done by running servers; without one it waits for the next.` + whichStores,
		Args: subcommands,
		RunE: help,
	}
	cmd.AddCommand(newLeadErase(), newLeadAllow(), newLeadStatus())
	return cmd
}

// ofLead is a command about a lead: ORG PHONE.
func ofLead(use, short, long string, do func(ctx context.Context, leads *journal.Leads, org leadevents.OrgID, phone leadevents.Phone) (journal.Status, error)) *cobra.Command {
	cmd := &cobra.Command{Use: use + " ORG PHONE", Short: short, Long: long + whichStores, Args: exactArgs("ORG", "PHONE")}
	a := addAdministration(cmd)
	cmd.RunE = ofOrganization(func(cmd *cobra.Command, org leadevents.OrgID, args []string) error {
		phone, err := leadevents.ParsePhone(args[0])
		if err != nil {
			return invalid(cmd, err)
		}
		return a.with(cmd, func(s configs.Settings, log *slog.Logger) error {
			return app.EraseLeads(cmd.Context(), s, log, org, func(leads *journal.Leads) error {
				status, err := do(cmd.Context(), leads, org, phone)
				if err != nil {
					return err
				}
				return a.erasure(cmd, status)
			})
		})
	})
	return cmd
}

func newLeadErase() *cobra.Command {
	var wait bool
	cmd := ofLead("erase", "Erase a lead everywhere",
		`Erases the lead with this phone: events, states, audiences, lists, results of sends,
rejects, and what the ledger remembers. When the command is through that is durable, and
nothing can stop it; filters leave the lead out at once, and its rows are gone a second or
so later. It is verified some two minutes after that, and off the disk within a day.

It cannot be taken back: `+"`leadevents lead allow`"+` lets the lead come again, with nothing
of what it had.`,
		func(ctx context.Context, leads *journal.Leads, org leadevents.OrgID, phone leadevents.Phone) (journal.Status, error) {
			status, err := leads.Erase(ctx, org, phone)
			if err == nil && wait && status.State == journal.Erasing {
				status, err = leads.Wait(ctx, org, phone)
			}
			return status, err
		})
	cmd.Example = `  leadevents lead erase 42 +15551234567 --wait --config leadevents.yaml`
	cmd.Flags().BoolVar(&wait, "wait", false, "return when a server has erased it (erasure.wait at most)")
	return cmd
}

func newLeadAllow() *cobra.Command {
	return ofLead("allow", "Let an erased lead come again",
		`From then on events and uploads with the phone are taken as those of any other lead. Until
the erasure is verified it is refused.`,
		func(ctx context.Context, leads *journal.Leads, org leadevents.OrgID, phone leadevents.Phone) (journal.Status, error) {
			return leads.Allow(ctx, org, phone)
		})
}

func newLeadStatus() *cobra.Command {
	return ofLead("status", "Show how far the erasure of a lead has come",
		`Shows the last erasure of the lead: what there was, and what of it is done.`,
		func(ctx context.Context, leads *journal.Leads, org leadevents.OrgID, phone leadevents.Phone) (journal.Status, error) {
			return leads.Status(ctx, org, phone)
		})
}

// erasure prints a status.
func (a *administration) erasure(cmd *cobra.Command, status journal.Status) error {
	shown := status.Show()
	if a.json {
		return printJSON(cmd.OutOrStdout(), shown)
	}
	rows := [][]string{
		{"phone", shown.PhoneE164}, {"state", string(shown.State)},
		{"requested", shown.RequestedAt}, {"erased", cell(shown.ErasedAt)}, {"verified", cell(shown.VerifiedAt)},
		{"off the disk", cell(shown.GoneFromDisk)}, {"allowed", cell(shown.AllowedAt)},
	}
	if shown.GoneFromDisk == nil && shown.GoneFromDiskBy != nil {
		rows[5][1] = "by " + *shown.GoneFromDiskBy
	}
	for _, kind := range journal.CountKinds() {
		if n := shown.Erased[kind]; n > 0 {
			rows = append(rows, []string{kind, strconv.FormatUint(n, 10)})
		}
	}
	return printTable(cmd.OutOrStdout(), "what is", rows)
}
