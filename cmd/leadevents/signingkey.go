package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"leadevents"
	"leadevents/auth"
)

func newSigningKey() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "signing-key",
		Short:   "Make, list and revoke the secrets that sign webhooks in hmac mode",
		GroupID: "admin",
		Long: `A signing key is a secret that an organization's sender and this store share. In
hmac mode (` + "`leadevents org set-auth`" + `) each webhook carries the HMAC-SHA256 of its raw
body under it:

  SIGNATURE=$(printf %s "$BODY" |
    openssl dgst -sha256 -hmac "$SECRET" -r | cut -d' ' -f1)
  curl … -H "` + auth.SignatureHeader + `: sha256=$SIGNATURE" --data-raw "$BODY"

Up to ` + fmt.Sprint(auth.MaxActiveSigningKeys) + ` may be active, so that one can be replaced without a gap. They are stored
encrypted under the setting master_key.` + whichStores,
		Args: subcommands,
		RunE: help,
	}
	cmd.AddCommand(newSigningKeyCreate(), newSigningKeyList(), newSigningKeyRevoke())
	return cmd
}

func newSigningKeyCreate() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "create ORG NAME",
		Short: "Make a signing key",
		Long: `Makes a signing key for the organization with the number ORG. Its secret is printed
on standard output, this once. It is stored encrypted under the setting master_key,
which must be the servers'.` + whichStores,
		Example: `  leadevents signing-key create 42 crm --config leadevents.yaml
  SECRET=$(leadevents signing-key create 1 crm --data-dir ./leadevents-data)`,
		Args: exactArgs("ORG", "NAME"),
	}
	a := addAdministration(cmd)
	cmd.RunE = ofOrganization(func(cmd *cobra.Command, org leadevents.OrgID, args []string) error {
		return a.run(cmd, func(d *auth.Directory) error {
			k, err := d.CreateSigningKey(cmd.Context(), org, args[0])
			if err != nil {
				return err
			}
			explain(cmd, "Signing key %s (%s) of organization %d: its secret is shown this once:", k.ID, k.Name, org)
			return a.reveal(cmd, k.Secret, k.Reveal(), fmt.Sprintf("nobody has the secret: revoke it with `leadevents signing-key revoke %d %s` and make another", org, k.ID))
		})
	})
	return cmd
}

func newSigningKeyList() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list ORG",
		Short: "List an organization's signing keys",
		Long: `Lists the signing keys of the organization with the number ORG, oldest first,
revoked ones too. lastUsedAt and uses are at most some seconds behind
(auth.flush_interval). safeToRevoke says yes where nobody would miss the key: it was
not used for 30 days (auth.unused_after), and it is not the last that webhooks need.` + whichStores,
		Args: exactArgs("ORG"),
	}
	a := addAdministration(cmd)
	cmd.RunE = ofOrganization(func(cmd *cobra.Command, org leadevents.OrgID, args []string) error {
		return a.run(cmd, func(d *auth.Directory) error {
			keys, err := d.SigningKeys(cmd.Context(), org)
			if err != nil {
				return err
			}
			list := make([]auth.ShownSigningKey, 0, len(keys))
			rows := make([][]string, 0, len(keys))
			for _, k := range keys {
				s := k.Show()
				list = append(list, s)
				rows = append(rows, []string{s.ID, s.CreatedAt, cell(s.LastUsedAt), cell(s.RevokedAt), fmt.Sprint(s.Uses), safe(s.SafeToRevoke), s.Name})
			}
			return a.list(cmd, "signingKeys", list, "id createdAt lastUsedAt revokedAt uses safeToRevoke name", rows)
		})
	})
	return cmd
}

func newSigningKeyRevoke() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "revoke ORG ID",
		Short: "End a signing key for good",
		Long: `Ends a signing key of the organization with the number ORG, for good, and drops its
secret. Revoking again changes nothing. The last one of an organization in hmac mode
may be revoked too: until it has another, all its webhooks are refused.` + whichStores,
		Args: exactArgs("ORG", "ID"),
	}
	a := addAdministration(cmd)
	cmd.RunE = ofOrganization(func(cmd *cobra.Command, org leadevents.OrgID, args []string) error {
		id, err := auth.ParseSigningKeyID(args[0])
		if err != nil {
			return invalid(cmd, err)
		}
		return a.run(cmd, func(d *auth.Directory) error {
			k, silenced, err := d.RevokeSigningKey(cmd.Context(), org, id)
			if err != nil {
				return err
			}
			explain(cmd, "Signing key %s (%s) of organization %d is revoked since %s; no server accepts its signatures from 2 seconds after that on.",
				k.ID, k.Name, org, k.RevokedAt.Format(leadevents.TimeFormat))
			if silenced {
				explain(cmd, "Organization %d is in hmac mode and has no active signing key any more: its webhooks are refused until `leadevents signing-key create` makes one, or `leadevents org set-auth %d api_key`.", org, org)
			}
			if a.json {
				return printJSON(cmd.OutOrStdout(), k.ShowRevocation(silenced))
			}
			return nil
		})
	})
	return cmd
}
