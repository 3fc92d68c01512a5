package main

import (
	"github.com/spf13/cobra"

	"leadevents/cmd/internal/app"
)

func newReady() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "ready",
		Short:   "Ask the server with these settings on this machine whether it is ready",
		GroupID: "look",
		Long: `Asks /readyz of the server that runs on this machine with the same settings, over
HTTPS if http.tls_cert_file is set: then the server must show the certificate in
that file, whatever names are in it. Prints the answer. The exit code is 1 when the
server is not ready, or is not there: made for the health checks of containers.`,
		Example: "  leadevents ready --config leadevents.yaml",
		Args:    noArgs,
	}
	flags := addSettingsFlags(cmd).addListen(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		loaded, err := flags.load(cmd)
		if err != nil {
			return err
		}
		return app.Ready(cmd.Context(), loaded.Settings, cmd.OutOrStdout())
	}
	return cmd
}
