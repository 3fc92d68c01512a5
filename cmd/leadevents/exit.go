package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"leadevents/configs"
)

// The exit codes of the contract (API.md 7).
const (
	exitDone     = 0
	exitFailed   = 1
	exitUsage    = 2
	exitRejected = 3
)

// exitCodes is the one table from errors to exit codes; the first kind that is
// found in an error's chain decides, and any other error is exitFailed.
var exitCodes = []struct {
	is   func(error) bool
	code int
}{
	{isA[*usageError], exitUsage},
	{isA[*configs.Faults], exitUsage}, // a wrong setting is a wrong invocation
	{isA[*configs.Unreadable], exitUsage},
	{isA[*rejectedError], exitRejected},
}

func exitCode(err error) int {
	if err == nil {
		return exitDone
	}
	for _, row := range exitCodes {
		if row.is(err) {
			return row.code
		}
	}
	return exitFailed
}

func isA[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// usageError is a command line that makes no sense.
type usageError struct {
	err     error
	command string // whose help to read
}

func (e *usageError) Error() string {
	return fmt.Sprintf("%v\nRun `%s --help` to see what is possible.", e.err, e.command)
}

func (e *usageError) Unwrap() error { return e.err }

func usagef(cmd *cobra.Command, format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...), cmd.CommandPath()}
}

// rejectedError says that everything was done, but that some rows were rejected.
type rejectedError struct {
	rows int64
	were string // "": of 1 it is "was"
}

func (e *rejectedError) Error() string {
	row, were := "rows", "were"
	if e.rows == 1 {
		row, were = "row", "was"
	}
	if e.were != "" {
		were = e.were
	}
	return fmt.Sprintf("done, but %d %s %s rejected", e.rows, row, were)
}

// noArgs is cobra.NoArgs with our exit code.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef(cmd, "%s takes no arguments, but got %q", cmd.CommandPath(), args[0])
	}
	return nil
}

// exactArgs wants one argument for each name.
func exactArgs(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return usagef(cmd, "%s is missing: %s", names[len(args)], cmd.UseLine())
		case len(args) > len(names):
			return usagef(cmd, "%s takes %s, but got %q too", cmd.CommandPath(), strings.Join(names, " and "), args[len(names)])
		}
		return nil
	}
}

// subcommands is for a command that only groups others.
func subcommands(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := ""
	cmd.SuggestionsMinimumDistance = cmd.Root().SuggestionsMinimumDistance // cobra does not hand it down
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = fmt.Sprintf("; did you mean %s?", near[0])
	}
	return usagef(cmd, "%s has no command %q%s", cmd.CommandPath(), args[0], hint)
}

// help is what a command that only groups others does by itself.
func help(cmd *cobra.Command, _ []string) error { return cmd.Help() }
