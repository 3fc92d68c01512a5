package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"leadevents/cmd/internal/app"
)

func newCheck() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "check",
		Short:   "Print the settings in force and examine both stores",
		GroupID: "look",
		Long: `Prints every setting in force with where it came from (secrets masked), then looks
at both stores: do they answer, are they new enough, do they evict, are the
clocks together, are the tables there. Each finding that needs something done
says what. Nothing is changed. The exit code is 1 when something is broken.`,
		Example: `  leadevents check --config leadevents.yaml
  leadevents check --data-dir ./leadevents-data    the stores of a running dev`,
		Args: noArgs,
	}
	flags := addSettingsFlags(cmd).addDataDir(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		loaded, err := flags.load(cmd)
		if err != nil {
			return err
		}
		out := cmd.OutOrStdout()
		if err := loaded.Write(out); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(out); err != nil {
			return err
		}
		broken, err := app.WriteFindings(out, app.Check(cmd.Context(), loaded.Settings))
		if err == nil && broken > 0 {
			err = fmt.Errorf("%d findings need something done: see the lines with →", broken)
		}
		return err
	}
	return cmd
}
