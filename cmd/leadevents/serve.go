package main

import (
	"github.com/spf13/cobra"

	"leadevents/cmd/internal/app"
)

func newServe() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "serve",
		Short:   "Serve, against a ClickHouse and a Redis that run elsewhere",
		GroupID: "run",
		Long: `Serves the API against the stores of the settings. The tables must be there: run
` + "`leadevents migrate`" + ` first. A store that does not answer is no reason not to start:
/readyz tells, and requests get 503 until it does.

SIGTERM or Ctrl-C: nothing new is accepted, requests in flight are stored, sealed
and answered, then it stops. A second signal ends it at once.`,
		Example: "  leadevents serve --config leadevents.yaml",
		Args:    noArgs,
	}
	flags := addSettingsFlags(cmd).addListen(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		loaded, err := flags.load(cmd)
		if err != nil {
			return err
		}
		log, err := app.NewLogger(loaded.Log, cmd.ErrOrStderr())
		if err != nil {
			return err
		}
		app.LimitMemory(loaded.Settings)
		return app.Serve(cmd.Context(), loaded.Settings, log)
	}
	return cmd
}
