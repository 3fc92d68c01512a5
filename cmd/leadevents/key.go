package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"leadevents"
	"leadevents/auth"
)

func newKey() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "key",
		Short:   "Make, list and revoke API keys",
		GroupID: "admin",
		Long: `An API key belongs to one organization and carries scopes:

  ingest     webhooks
  campaigns  audiences and sends
  query      events, reports, SQL, previews
  admin      settings and keys, erase, undo` + whichStores,
		Args: subcommands,
		RunE: help,
	}
	cmd.AddCommand(newKeyCreate(), newKeyList(), newKeyRevoke())
	return cmd
}

func newKeyCreate() *cobra.Command {
	var scopes, expires string
	cmd := &cobra.Command{
		Use:   "create ORG NAME",
		Short: "Make an API key",
		Long: `Makes an API key for the organization with the number ORG. The key is printed on
standard output, this once: only its hash is stored.` + whichStores,
		Example: `  leadevents key create 42 crm --config leadevents.yaml
  leadevents key create 42 admin --scopes ingest,campaigns,query,admin --expires 90d
  KEY=$(leadevents key create 1 loader --scopes ingest --data-dir DIR)`,
		Args: exactArgs("ORG", "NAME"),
	}
	a := addAdministration(cmd)
	cmd.Flags().StringVar(&scopes, "scopes", auth.DefaultScopes.String(), "what it may do: `LIST` of ingest, campaigns, query and admin")
	cmd.Flags().StringVar(&expires, "expires", "", "`WHEN` it ends: a time such as 2027-01-31T00:00:00Z, or 90d or 12h from now (default: never)")
	cmd.RunE = ofOrganization(func(cmd *cobra.Command, org leadevents.OrgID, args []string) error {
		request := auth.KeyRequest{Name: args[0]}
		var err error
		if request.Scopes, err = parseScopes(scopes); err != nil {
			return invalid(cmd, err)
		}
		if cmd.Flags().Changed("expires") {
			if request.ExpiresAt, err = parseExpiry(expires, time.Now()); err != nil {
				return invalid(cmd, err)
			}
		}
		return a.run(cmd, func(d *auth.Directory) error {
			k, err := d.CreateKey(cmd.Context(), org, request)
			if err != nil {
				return err
			}
			until := ""
			if !k.ExpiresAt.IsZero() {
				until = " until " + k.ExpiresAt.Format(leadevents.TimeFormat)
			}
			explain(cmd, "API key %s (%s) of organization %d has %s%s; it is shown this once:", k.Prefix(), k.Name, org, k.Scopes, until)
			return a.reveal(cmd, k.Key, k.Reveal(), fmt.Sprintf("nobody has the key: revoke it with `leadevents key revoke %d %s` and make another", org, k.Prefix()))
		})
	})
	return cmd
}

// parseScopes reads a comma-separated list; an empty one is a mistake, since a
// key without scopes could do nothing.
func parseScopes(list string) (auth.Scopes, error) {
	names := strings.Split(list, ",")
	for i, name := range names {
		names[i] = strings.TrimSpace(name)
	}
	return auth.ParseScopes(names)
}

// parseExpiry reads a time, or how long from now.
func parseExpiry(text string, now time.Time) (time.Time, error) {
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	if number, ok := strings.CutSuffix(text, "d"); ok {
		if days, err := strconv.ParseUint(number, 10, 16); err == nil {
			return now.AddDate(0, 0, int(days)), nil
		}
	}
	if d, err := time.ParseDuration(text); err == nil {
		return now.Add(d), nil
	}
	return time.Time{}, leadevents.Errorf(leadevents.InvalidRequest,
		"--expires is %q: a time with an offset such as 2027-01-31T00:00:00Z was expected, or a duration from now such as 90d or 12h", text)
}

func newKeyList() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list ORG",
		Short: "List an organization's API keys",
		Long: `Lists the API keys of the organization with the number ORG, oldest first, revoked
and expired ones too. lastUsedAt and uses are at most some seconds behind
(auth.flush_interval). safeToRevoke says yes where nobody would miss the key: it has
expired, or was not used for 30 days (auth.unused_after).` + whichStores,
		Args: exactArgs("ORG"),
	}
	a := addAdministration(cmd)
	cmd.RunE = ofOrganization(func(cmd *cobra.Command, org leadevents.OrgID, args []string) error {
		return a.run(cmd, func(d *auth.Directory) error {
			keys, err := d.Keys(cmd.Context(), org)
			if err != nil {
				return err
			}
			list := make([]auth.ShownKey, 0, len(keys))
			rows := make([][]string, 0, len(keys))
			for _, k := range keys {
				s := k.Show()
				list = append(list, s)
				rows = append(rows, []string{s.Prefix, strings.Join(s.Scopes, ","), s.CreatedAt, cell(s.ExpiresAt), cell(s.LastUsedAt), cell(s.RevokedAt), fmt.Sprint(s.Uses), safe(s.SafeToRevoke), s.Name})
			}
			return a.list(cmd, "apiKeys", list, "prefix scopes createdAt expiresAt lastUsedAt revokedAt uses safeToRevoke name", rows)
		})
	})
	return cmd
}

func newKeyRevoke() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "revoke ORG KEY",
		Short: "End an API key for good",
		Long: `Ends an API key of the organization with the number ORG, for good. KEY is its prefix
as ` + "`leadevents key list`" + ` shows it, its id, or the whole key. Revoking again changes
nothing. The last active key with scope admin is kept unless --force is given:
without it nobody could administer the organization over HTTP.` + whichStores,
		Example: "  leadevents key revoke 42 le_7Kc9QmPxRt --config leadevents.yaml",
		Args:    exactArgs("ORG", "KEY"),
	}
	a := addAdministration(cmd)
	cmd.Flags().BoolVar(&force, "force", false, "revoke it even if it is the last active key with scope admin")
	cmd.RunE = ofOrganization(func(cmd *cobra.Command, org leadevents.OrgID, args []string) error {
		id, err := auth.ParseKeyID(args[0])
		if err != nil {
			return invalid(cmd, err)
		}
		return a.run(cmd, func(d *auth.Directory) error {
			k, err := d.RevokeKey(cmd.Context(), org, id, force)
			if err != nil && !force && leadevents.KindOf(err) == leadevents.Conflict {
				return fmt.Errorf("%w (--force)", err)
			}
			if err != nil {
				return err
			}
			explain(cmd, "API key %s (%s) of organization %d is revoked since %s; no server accepts it from 2 seconds after that on.",
				k.Prefix(), k.Name, org, k.RevokedAt.Format(leadevents.TimeFormat))
			if a.json {
				return printJSON(cmd.OutOrStdout(), k.ShowRevocation())
			}
			return nil
		})
	})
	return cmd
}
