package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/mattn/go-runewidth"
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
		var findings bytes.Buffer
		broken, err := app.WriteFindings(&findings, app.Check(cmd.Context(), loaded.Settings))
		if err == nil {
			_, err = io.WriteString(out, hanging(findings.String(), isTerminal(out)))
		}
		if err == nil && broken > 0 {
			err = fmt.Errorf("%d findings need something done: see the lines with →", broken)
		}
		return err
	}
	return cmd
}

// hanging wraps findings for a terminal, in the column of their texts. What is no
// terminal gets a line each, for grep.
func hanging(findings string, terminal bool) string {
	if !terminal {
		return findings
	}
	column := len("warning  clickhouse  ") // as app.WriteFindings has it
	var b strings.Builder
	for line := range strings.Lines(findings) {
		if runewidth.StringWidth(line) <= helpWidth || len(line) < column {
			b.WriteString(line)
			continue
		}
		at := column
		if strings.HasPrefix(line[column:], "→ ") {
			at += 2
		}
		b.WriteString(line[:column])
		fill(&b, column, at, line[column:])
		b.WriteString("\n")
	}
	return b.String()
}
