package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"leadevents/clickhouse/embedded"
)

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Tell which version this is",
		GroupID: "look",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprint(cmd.OutOrStdout(), versionText())
			return err
		},
	}
}

// versionText is what the binary knows of itself; a build outside of a checkout
// has no revision.
func versionText() string {
	version, revision, modified := "(devel)", "unknown", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		version = info.Main.Version
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision":
				revision = s.Value
			case s.Key == "vcs.modified" && s.Value == "true":
				modified = " (modified)"
			}
		}
	}
	return fmt.Sprintf("leadevents %s\nrevision   %s%s\nGo         %s %s/%s\nClickHouse %s (embedded, for dev)\n",
		version, revision, modified, runtime.Version(), runtime.GOOS, runtime.GOARCH, embedded.Version())
}
