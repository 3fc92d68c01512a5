package main

import (
	"github.com/spf13/cobra"
)

// newRoot is the command line: a list of its verbs, each in a file of its own.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "leadevents",
		Short: "Store lead events exactly once, and ask who to keep when a send fires",
		Long: `leadevents stores "this phone number did event X at time T" exactly once and
answers how many were new. ClickHouse holds the truth, Redis remembers what was
stored recently.

Start here, with everything on this machine:

  leadevents dev

It starts its own ClickHouse and Redis and prints how to send a first event.
Against stores that run elsewhere:

  leadevents check   --config leadevents.yaml    is everything in place?
  leadevents migrate --config leadevents.yaml    make the tables
  leadevents serve   --config leadevents.yaml    serve

Ask a server that runs, with its address and a key of your organization in
LEADEVENTS_URL and LEADEVENTS_API_KEY:

  leadevents events --types     what is there?
  leadevents sql                ask in SQL

Settings are looked for in flags, then in LEADEVENTS_* variables, then in the
YAML file, then in the defaults.

Exit codes: 0 done, 1 failed, 2 wrong usage or settings, 3 done but some rows were
rejected.`,
		Args:                       subcommands,
		RunE:                       help,
		SilenceErrors:              true, // main prints them, once
		SilenceUsage:               true,
		SuggestionsMinimumDistance: 2,
		CompletionOptions:          cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &usageError{err, cmd.CommandPath()}
	})
	root.SetUsageFunc(usage)
	root.SetHelpFunc(printHelp)
	root.AddGroup(
		&cobra.Group{ID: "run", Title: "Run the server:"},
		&cobra.Group{ID: "look", Title: "Prepare and examine:"},
		&cobra.Group{ID: "work", Title: "Work with a running server:"},
		&cobra.Group{ID: "admin", Title: "Administer:"},
	)
	root.AddCommand(
		newDev(), newServe(),
		newMigrate(), newCheck(), newReady(), newVersion(),
		newBackfill(), newMaterialize(), newEvents(), newReport(), newSQL(),
		newOrg(), newKey(), newSigningKey(), newAudit(), newLead(), newRotateMasterKey(),
	)
	root.SetHelpCommandGroupID("look")
	return root
}
