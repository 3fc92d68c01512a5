package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"leadevents"
	"leadevents/auth"
	"leadevents/cmd/internal/app"
	"leadevents/configs"
)

// administration is what org, key and signing-key have in common: their commands
// change what the stores hold, and every running server follows.
//
// What a script reads goes to standard output: a key or secret alone on its line,
// a table, or with --json the JSON of API.md 6. What explains it goes to standard
// error.
type administration struct {
	settings *settingsFlags
	json     bool
}

// whichStores is part of every help text of administration.
const whichStores = `

The stores are those of the settings, as for ` + "`leadevents serve`" + `, or with --data-dir
those of a running ` + "`leadevents dev`" + `. Servers need no restart: a change holds in
every one of them within 2 seconds.`

func addAdministration(cmd *cobra.Command) *administration {
	a := &administration{settings: addSettingsFlags(cmd).addDataDir(cmd)}
	cmd.Flags().BoolVar(&a.json, "json", false, "print JSON, as the HTTP API does")
	return a
}

// run gives do the organizations and keys of the stores.
func (a *administration) run(cmd *cobra.Command, do func(*auth.Directory) error) error {
	return a.with(cmd, func(s configs.Settings, log *slog.Logger) error {
		return app.Administer(cmd.Context(), s, log, do)
	})
}

// with gives do the settings of the stores, and a log. What it refuses as an invalid
// request was a wrong command line.
func (a *administration) with(cmd *cobra.Command, do func(configs.Settings, *slog.Logger) error) error {
	loaded, err := a.settings.load(cmd)
	if err != nil {
		return err
	}
	log, err := app.NewLogger(loaded.Log, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	err = do(loaded.Settings, log)
	if unreached(err) != nil && a.settings.dataDir == "" {
		err = fmt.Errorf("%w (for a running `leadevents dev`: --data-dir DIR)", err)
	}
	return invalid(cmd, err)
}

// invalid makes an invalid request the usage error of a command.
func invalid(cmd *cobra.Command, err error) error {
	if err != nil && leadevents.KindOf(err) == leadevents.InvalidRequest {
		return &usageError{err, cmd.CommandPath()}
	}
	return err
}

// ofOrganization is a command whose first argument is an organization's number; do
// gets it and the arguments behind it.
func ofOrganization(do func(cmd *cobra.Command, org leadevents.OrgID, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		org, err := auth.ParseOrgID(args[0])
		if err != nil {
			return invalid(cmd, err)
		}
		return do(cmd, org, args[1:])
	}
}

// list prints what a list tells: rows as a table, or all under its name as JSON.
func (a *administration) list(cmd *cobra.Command, name string, all any, header string, rows [][]string) error {
	if a.json {
		return printJSON(cmd.OutOrStdout(), map[string]any{name: all})
	}
	return printTable(cmd.OutOrStdout(), header, rows)
}

// explain tells people what happened; scripts do not read it.
func explain(cmd *cobra.Command, format string, args ...any) {
	_, _ = fmt.Fprintf(cmd.ErrOrStderr(), format+"\n", args...)
}

// reveal prints a key or secret, alone or in its JSON. It exists nowhere else, so
// if that fails, lost says what is to be done.
func (a *administration) reveal(cmd *cobra.Command, secret auth.Secret, answer any, lost string) error {
	if a.json {
		if err := printJSON(cmd.OutOrStdout(), answer); err != nil {
			return fmt.Errorf("%w: %s", err, lost)
		}
		return nil
	}
	if _, err := fmt.Fprintln(cmd.OutOrStdout(), secret.Reveal()); err != nil {
		return fmt.Errorf("print it: %w: %s", err, lost)
	}
	return nil
}

func printJSON(w io.Writer, answer any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false) // names are read by people too
	e.SetIndent("", "  ")
	if err := e.Encode(answer); err != nil {
		return fmt.Errorf("print the answer: %w", err)
	}
	return nil
}

// safe is whether nobody would miss a key.
func safe(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

// cell is a time that may never have come.
func cell(at *string) string {
	if at == nil {
		return "-"
	}
	return *at
}
