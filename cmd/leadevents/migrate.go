package main

import (
	"github.com/spf13/cobra"

	"leadevents/cmd/internal/app"
)

func newMigrate() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "migrate",
		Short:   "Bring the database to this version's tables",
		GroupID: "look",
		Long: `Creates the database if it is missing and applies the numbered migrations that it
does not have yet. It may be run at any time, again after an interruption, and by
several processes at once. A database newer than this binary is refused.`,
		Example: "  leadevents migrate --config leadevents.yaml",
		Args:    noArgs,
	}
	flags := addSettingsFlags(cmd).addDataDir(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		loaded, err := flags.load(cmd)
		if err != nil {
			return err
		}
		log, err := app.NewLogger(loaded.Log, cmd.ErrOrStderr())
		if err != nil {
			return err
		}
		return app.Migrate(cmd.Context(), loaded.Settings, log)
	}
	return cmd
}
