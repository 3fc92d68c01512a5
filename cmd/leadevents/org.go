package main

import (
	"time"

	"github.com/spf13/cobra"

	"leadevents"
	"leadevents/auth"
)

func newOrg() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "org",
		Short:   "Make and list organizations, and set how their webhooks prove themselves and what they may do",
		GroupID: "admin",
		Long: `An organization is one customer of the store: every event, key and send belongs to
one, and none sees another's.` + whichStores,
		Args: subcommands,
		RunE: help,
	}
	cmd.AddCommand(newOrgCreate(), newOrgList(), newOrgSetAuth(), newOrgLimits(), newOrgSQLUser(), newOrgRetention())
	return cmd
}

func newOrgCreate() *cobra.Command {
	var id string
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Make an organization and its first key",
		Long: `Makes an organization in api_key mode and its first API key, which has every scope.
The key is printed on standard output, this once: only its hash is stored.` + whichStores,
		Example: `  leadevents org create "Acme Ltd" --id 42 --config leadevents.yaml
  KEY=$(leadevents org create Acme --data-dir ./leadevents-data)`,
		Args: exactArgs("NAME"),
	}
	a := addAdministration(cmd)
	cmd.Flags().StringVar(&id, "id", "", "take `ID` as its organizationId, 1 to 2^53 − 1 (default: the number after the highest)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var wanted leadevents.OrgID
		if cmd.Flags().Changed("id") {
			var err error
			if wanted, err = auth.ParseOrgID(id); err != nil {
				return invalid(cmd, err)
			}
		}
		return a.run(cmd, func(d *auth.Directory) error {
			o, err := d.CreateOrganization(cmd.Context(), args[0], wanted)
			if err != nil {
				return err
			}
			explain(cmd, "Organization %d (%s) is there, in %s mode. Its first API key, %s, has every scope; it is shown this once:",
				o.ID, o.Name, o.AuthMode, o.FirstKey.Prefix())
			return a.reveal(cmd, o.FirstKey.Key, o.Reveal(), "the organization is there, but nobody has its key: `leadevents key create` makes another")
		})
	}
	return cmd
}

func newOrgList() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List all organizations",
		Long:  `Lists all organizations with their auth mode, by number.` + whichStores,
		Args:  noArgs,
	}
	a := addAdministration(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.run(cmd, func(d *auth.Directory) error {
			all, err := d.Organizations(cmd.Context())
			if err != nil {
				return err
			}
			list := make([]auth.ShownOrganization, 0, len(all))
			rows := make([][]string, 0, len(all))
			for _, o := range all {
				s := o.Show()
				list = append(list, s)
				rows = append(rows, []string{s.OrganizationID.String(), string(s.AuthMode), s.CreatedAt, s.Name})
			}
			if len(all) == 0 && !a.json {
				explain(cmd, "There is no organization yet: `leadevents org create NAME` makes one.")
			}
			return a.list(cmd, "organizations", list, "organizationId authMode createdAt name", rows)
		})
	}
	return cmd
}

func newOrgSetAuth() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "set-auth ORG api_key|hmac",
		Short: "Set how an organization's webhooks prove themselves",
		Long: `An organization's webhooks prove themselves in one way at a time:

  api_key  Authorization: Bearer, with a key that has scope ingest (the default)
  hmac     ` + auth.SignatureHeader + `: sha256=…, the HMAC-SHA256 of the raw
           body under a signing key

With --replay-tolerance signatures must have a timestamp no further from the server's
clock than that, so that what is captured on the way is worthless afterwards:

  ` + auth.TimestampHeader + `: $NOW
  ` + auth.SignatureHeader + `: v1=…, the HMAC-SHA256 of "$NOW.$BODY"

It takes 10s to 1h, or 0 for off; left out, it stays as it is. Senders can sign so
before it is turned on. hmac needs an active signing key first, see ` + "`leadevents signing-key create`" + `. API keys
go on to work for everything that is no webhook.` + whichStores,
		Example: `  leadevents org set-auth 42 hmac --config leadevents.yaml
  leadevents org set-auth 42 hmac --replay-tolerance 5m --config leadevents.yaml`,
		Args: exactArgs("ORG", "api_key|hmac"),
	}
	a := addAdministration(cmd)
	var tolerance time.Duration
	cmd.Flags().DurationVar(&tolerance, "replay-tolerance", 0, "ask for signatures with a timestamp within `DURATION` of the server's clock, 10s to 1h; 0: do not")
	cmd.RunE = ofOrganization(func(cmd *cobra.Command, org leadevents.OrgID, args []string) error {
		mode, err := auth.ParseMode(args[0])
		if err != nil {
			return invalid(cmd, err)
		}
		wanted := auth.WebhookSettings{AuthMode: mode}
		if cmd.Flags().Changed("replay-tolerance") {
			wanted.ReplayTolerance = &tolerance
		}
		return a.run(cmd, func(d *auth.Directory) error {
			o, err := d.SetWebhooks(cmd.Context(), org, wanted)
			if err != nil {
				return err
			}
			explain(cmd, "Webhooks of organization %d (%s) are in %s mode.", o.ID, o.Name, o.AuthMode)
			if o.ReplayTolerance != 0 {
				explain(cmd, "Their signatures need a timestamp within %s of the server's clock (in hmac mode).", o.ReplayTolerance)
			}
			if a.json {
				return printJSON(cmd.OutOrStdout(), o.Show())
			}
			return nil
		})
	})
	return cmd
}
