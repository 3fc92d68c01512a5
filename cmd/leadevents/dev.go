package main

import (
	"github.com/spf13/cobra"

	"leadevents/cmd/internal/app"
)

func newDev() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:     "dev",
		Short:   "Run everything on this machine: ClickHouse, Redis and the server",
		GroupID: "run",
		Long: `Starts a ClickHouse and a Redis of its own on free loopback ports with their files
under the data folder, makes the tables and organization 1 with a key, and
serves. When it is ready it prints how to send a first event, and writes where
everything is to DIR/dev.json.

Ctrl-C stops all three in order. A second start on the folder finds all data
again, also after a crash; only one dev at a time can run on a folder. With
--rotate-master-key a start makes another key for the stored signing secrets.`,
		Example: `  leadevents dev
  leadevents dev --data-dir /var/tmp/try --listen 127.0.0.1:9999`,
		Args: noArgs,
	}
	flags := addSettingsFlags(cmd).addListen(cmd)
	var rotate bool
	cmd.Flags().BoolVar(&rotate, "rotate-master-key", false, "make another master key for the folder, and encrypt the stored signing secrets anew")
	cmd.Flags().StringVar(&dir, "data-dir", "./leadevents-data", "keep all files in `DIR`; made if need be")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if dir == "" { // "$UNSET": not the folder that happens to be the current one
			return usagef(cmd, "--data-dir is empty: name a folder")
		}
		loaded, err := flags.load(cmd)
		if err != nil {
			return err
		}
		log, err := app.NewLogger(loaded.Log, cmd.ErrOrStderr())
		if err != nil {
			return err
		}
		app.LimitMemory(loaded.Settings)
		return app.Dev(cmd.Context(), loaded.Settings, app.DevOptions{DataDir: dir, Out: cmd.OutOrStdout(), Log: log, RotateMasterKey: rotate})
	}
	return cmd
}
