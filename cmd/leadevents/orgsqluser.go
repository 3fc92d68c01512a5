package main

import (
	"log/slog"

	"github.com/spf13/cobra"

	"leadevents"
	"leadevents/auth"
	"leadevents/cmd/internal/app"
	"leadevents/configs"
)

func newOrgSQLUser() *cobra.Command {
	var drop bool
	cmd := &cobra.Command{
		Use:   "sql-user ORG",
		Short: "Make the database user with which a BI tool reads an organization's events",
		Long: `Makes a user of ClickHouse that may do nothing but read the events of the organization
with the number ORG, for Grafana and other tools that ask ClickHouse themselves, and
prints its password, this once. Called again it gives that user another password. --drop
ends it.

docs/bi.md says how to connect a tool. It needs a ClickHouse server: that of
` + "`leadevents dev`" + ` makes no users.` + whichStores,
		Example: `  leadevents org sql-user 42 --config leadevents.yaml
  leadevents org sql-user 42 --drop --config leadevents.yaml`,
		Args: exactArgs("ORG"),
	}
	a := addAdministration(cmd)
	cmd.Flags().BoolVar(&drop, "drop", false, "end the user")
	cmd.RunE = ofOrganization(func(cmd *cobra.Command, org leadevents.OrgID, _ []string) error {
		return a.with(cmd, func(s configs.Settings, log *slog.Logger) error {
			account, err := app.SetSQLUser(cmd.Context(), s, log, org, drop)
			if err != nil {
				return err
			}
			answer := map[string]any{"organizationId": org, "user": account.User, "database": account.Database}
			if drop {
				explain(cmd, "The user %s is no more.", account.User)
				if a.json {
					return printJSON(cmd.OutOrStdout(), answer)
				}
				return nil
			}
			explain(cmd, "The user %s reads the table events in the database %s. Its password is shown this once:", account.User, account.Database)
			answer["password"] = account.Password
			return a.reveal(cmd, auth.NewSecret(account.Password), answer, "the user is there, but nobody has its password: the same command gives it another one")
		})
	})
	return cmd
}
