package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/mattn/go-runewidth"
	"github.com/spf13/cobra"

	"leadevents"
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
says what. Nothing is changed. The exit code is 1 when something is broken.

With --deep it also compares what was told with what is stored: receipts with the
keys of their batches, what filters ask with the events of every lead, and a sample
of the ledger with the events, beside the traffic. Seconds for millions of events,
minutes for hundreds of millions. --repair mends what filters ask and missing keys of
the ledger's sample; no event is ever removed.`,
		Example: `  leadevents check --config leadevents.yaml
  leadevents check --data-dir ./leadevents-data    the stores of a running dev
  leadevents check --deep --from 2026-05-01T00:00:00Z
  leadevents check --deep --repair`,
		Args: noArgs,
	}
	flags := addSettingsFlags(cmd).addDataDir(cmd)
	look := addDeepFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		deep, wanted, err := look.read(cmd)
		if err != nil {
			return err
		}
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
		found := app.Check(cmd.Context(), loaded.Settings)
		if wanted {
			found = append(found, app.CheckDeep(cmd.Context(), loaded.Settings, deep)...)
		}
		broken, err := app.WriteFindings(&findings, found)
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

// deepFlags are those of --deep.
type deepFlags struct {
	deep, repair bool
	from, to     string
	timeout      time.Duration
	sample       int
}

func addDeepFlags(cmd *cobra.Command) *deepFlags {
	f := &deepFlags{}
	cmd.Flags().BoolVar(&f.deep, "deep", false, "compare what was told with what is stored")
	cmd.Flags().BoolVar(&f.repair, "repair", false, "with --deep: mend what can be")
	cmd.Flags().StringVar(&f.from, "from", "", "with --deep: receipts `created` at or after, as RFC 3339")
	cmd.Flags().StringVar(&f.to, "to", "", "with --deep: receipts `created` before, as RFC 3339")
	cmd.Flags().DurationVar(&f.timeout, "timeout", time.Hour, "with --deep: the longest that it may take")
	cmd.Flags().IntVar(&f.sample, "sample", 0, "with --deep: `keys` of the ledger that are compared (reconcile.sample by default)")
	return f
}

// read says how to look deep, and whether to.
func (f *deepFlags) read(cmd *cobra.Command) (deep app.Deep, wanted bool, err error) {
	for _, name := range []string{"repair", "from", "to", "timeout", "sample"} {
		if cmd.Flags().Changed(name) && !f.deep {
			return deep, false, usagef(cmd, "--%s is for --deep", name)
		}
	}
	deep = app.Deep{Repair: f.repair, Timeout: f.timeout, Sample: f.sample}
	for _, flag := range []struct {
		name, text string
		into       *leadevents.Millis
	}{{"from", f.from, &deep.From}, {"to", f.to, &deep.To}} {
		if flag.text == "" {
			continue
		}
		at, ok := leadevents.ParseMillis([]byte(flag.text))
		if !ok {
			return deep, false, usagef(cmd, "--%s must be a time as RFC 3339 with an offset, such as 2026-05-12T18:34:00Z", flag.name)
		}
		*flag.into = at
	}
	if f.timeout <= 0 || f.sample < 0 || f.sample > 100_000 {
		return deep, false, usagef(cmd, "--timeout must be more than 0, and --sample 1 to 100000")
	}
	return deep, f.deep, nil
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
