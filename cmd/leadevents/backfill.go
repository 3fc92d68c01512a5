package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"leadevents"
	"leadevents/ingest/backfill"
)

// What is written beside the first file.
const (
	stateEnding   = ".backfill.json"
	rejectsEnding = ".rejects.ndjson"
)

// memoryAim is where the collector begins to work harder. What a run holds is 80 MiB, of which
// nothing is garbage; left alone, the collector would let it grow to twice that before it looks.
const memoryAim = 130 << 20

// backfilling is what the command line asks for.
type backfilling struct {
	server       *serverFlags
	urls         []string
	organization uint64
	config       backfill.Config
	timeZone     string
	noMetadata   bool

	undo, status string
	force, yes   bool
	json         bool
}

func newBackfill() *cobra.Command {
	b := &backfilling{server: &serverFlags{keyless: true}}
	cmd := &cobra.Command{
		Use:     "backfill FILE…",
		Short:   "Load files of events, of any size, that can be stopped and gone on with",
		GroupID: "work",
		Long: `Loads CSV, NDJSON and Parquet, plain, gzip or zstd, from files, directories, globs or
standard input (-). Which columns are the phone, the time and the event type is guessed
by their names, or said by flags; the others become the metadata.

Begin with --dry-run: it stores nothing and says what would come of every row, with the
first lines of those that would be rejected and what might mend them.

A run can be stopped (Ctrl-C waits for what is in flight; a second one does not) or be
killed: the same command goes on where it was, and neither loses nor doubles a row. How
far it is stands in FILE.backfill.json. A file or setting that is not the one that the run
began with is refused; standard input is given whole again. Counts are exact over all attempts within 24 hours of each other.

Rows that are rejected go to FILE.rejects.ndjson with line, reason and row. Mend what
stands in "row", and load that file with the same flags.

All calls of a run carry its id: --status prints what the server has of it, and --undo
removes what it inserted and nothing that was there before.

Exit codes: 0 done, 1 failed or stopped, 2 wrong usage, 3 done but some rows were
rejected.`,
		Example: `  leadevents backfill leads.csv.gz --event-type signup --region US --dry-run
  leadevents backfill leads.csv.gz --event-type signup --region US
  leadevents backfill exports/ --type-column event --time-format millis --url https://a.example --url https://b.example
  psql … | leadevents backfill - --event-type signup --state my.backfill.json
  leadevents backfill --undo k3x9m2p7q4wz`,
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&b.urls, "url", nil, "a server's `URL` (or "+urlEnv+"; default http://127.0.0.1:8080); several are asked in turn")
	b.server.addCredentialFlags(cmd)
	flags.Uint64Var(&b.organization, "organization", 0, "the `NUMBER` of the organization (default: the key's; needed with "+signingEnv+", by which calls are signed)")
	m := &b.config.Mapping
	flags.StringVar(&m.FixedType, backfill.FlagEventType, "", "the `TYPE` of rows that have none")
	flags.StringVar(&m.EventType, backfill.FlagTypeColumn, "", "the `COLUMN` of the event type")
	flags.StringVar(&m.Phone, backfill.FlagPhone, "", "the `COLUMN` of the phone")
	flags.StringVar(&m.OccurredAt, backfill.FlagOccurredAt, "", "the `COLUMN` of the time")
	flags.StringVar(&m.TimeFormat, backfill.FlagTimeFormat, "", "the `FORMAT` of times: rfc3339, seconds, millis, micros, nanos, or a layout such as %d.%m.%Y %H:%M (default: seen by each)")
	flags.StringVar(&b.timeZone, backfill.FlagTimeZone, "", "the `ZONE` of times that have none, such as Europe/Berlin")
	flags.StringVar(&m.Region, backfill.FlagRegion, "", "the `REGION` of national numbers, such as US")
	flags.StringSliceVar(&m.Metadata, backfill.FlagMetadata, nil, "the `COLUMNS` that are stored, separated by commas (default: all others)")
	flags.BoolVar(&b.noMetadata, backfill.FlagNoMetadata, false, "store no other columns")
	flags.BoolVar(&m.Typed, backfill.FlagTyped, false, "store numbers, true and false of CSV as such, not as texts")
	flags.BoolVar(&b.config.DryRun, "dry-run", false, "store nothing, and report what would be")
	flags.StringVar(&b.config.Run, "run", "", "the run's `ID` (default: made)")
	flags.StringVar(&b.config.StatePath, "state", "", "the checkpoint's `FILE` (default: the first file's name with "+stateEnding+")")
	flags.StringVar(&b.config.RejectsPath, "rejects", "", "the `FILE` of rejected rows (default: the first file's name with "+rejectsEnding+")")
	flags.BoolVar(&b.config.Restart, "restart", false, "begin a new run, whatever the checkpoint says")
	flags.BoolVar(&b.config.Again, "again", false, "begin a new run if the last one is done")
	flags.IntVar(&b.config.Concurrency, "concurrency", 0, fmt.Sprintf("calls in flight at most, a `NUMBER` to %d; fewer when the server is slow (default %d)", backfill.MaxConcurrency, backfill.DefaultConcurrency))
	flags.DurationVar(&b.config.Patience, "patience", 10*time.Minute, "the `TIME` for which a call without an answer, the first one too, is sent again; 0 is for ever")
	flags.BoolVar(&b.json, "json", false, "print progress and totals as JSON, a line each")
	flags.StringVar(&b.undo, "undo", "", "undo the run with this `ID`")
	flags.BoolVar(&b.force, "force", false, "with --undo: also where a materialized send has used its rows")
	flags.BoolVar(&b.yes, "yes", false, "with --undo: do not ask")
	flags.StringVar(&b.status, "status", "", "print the totals of the run with this `ID`")
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return invalid(cmd, b.run(cmd, args)) }
	return cmd
}

func (b *backfilling) run(cmd *cobra.Command, args []string) error {
	// Of a script's variable that is not set.
	for _, name := range []string{"state", "rejects", "run", "undo", "status", backfill.FlagEventType, backfill.FlagTypeColumn, backfill.FlagPhone, backfill.FlagOccurredAt, backfill.FlagRegion, backfill.FlagTimeFormat, backfill.FlagTimeZone} {
		if flag := cmd.Flags().Lookup(name); flag.Changed && flag.Value.String() == "" {
			return usagef(cmd, "--%s is empty: give it a value, or leave it out", name)
		}
	}
	for name, id := range map[string]string{"--undo": b.undo, "--status": b.status} {
		if id == "" {
			continue
		}
		if err := backfill.ValidateRun(id, name); err != nil {
			return err
		}
		if len(args) > 0 || b.undo != "" && b.status != "" {
			return usagef(cmd, "%s is about a run that the server has: no files, and nothing else to do", name)
		}
	}
	switch {
	case b.undo != "":
		return b.undoRun(cmd)
	case b.status != "":
		return b.showRun(cmd)
	case len(args) == 0:
		return usagef(cmd, "no file is named: give files, directories, globs, or - for standard input")
	}
	return b.load(cmd, args)
}

// load does a run, or a dry run.
func (b *backfilling) load(cmd *cobra.Command, args []string) (err error) {
	if err := b.prepare(cmd, args); err != nil {
		return err
	}
	servers, err := b.servers(cmd)
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	b.config.Compress = !onThisMachine(servers)
	for _, s := range servers {
		b.config.Servers = append(b.config.Servers, s)
	}
	d := newDisplay(cmd, b.json)
	b.config.Say = d.say
	said := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(said)
		d.say("Stopping: what is in flight is waited for. Ctrl-C again ends at once.")
	})
	// A run that has nothing in flight ends before that is said; it is said first all the same.
	afterStopping := sync.OnceFunc(func() {
		if !stop() {
			<-said
		}
	})
	defer afterStopping()
	if b.config.Organization, err = b.organizationOf(ctx, cmd); err != nil {
		return err
	}
	var runner *backfill.Runner
	b.config.Begun = func() {
		if b.json || b.config.DryRun {
			return
		}
		begun := "begins"
		if runner.Resumed() {
			begun = fmt.Sprintf("goes on behind %s rows", thousands(runner.Progress().Counts.Rows))
		}
		d.say("Run %s %s; its checkpoint is %s.", runner.Run(), begun, printable(b.config.StatePath))
	}
	if runner, err = backfill.New(b.config); err != nil {
		return err
	}
	if runner.Done() {
		explain(cmd, "Run %s of this file is done. --again begins a new one.", runner.Run())
		return b.ended(d, runner)
	}
	debug.SetMemoryLimit(memoryAim)
	d.begin(runner.Progress)
	err = runner.Go(ctx)
	afterStopping()
	d.end()
	switch {
	case b.config.DryRun && err == nil:
		if err = b.report(cmd, runner.Report()); err == nil && runner.Progress().Counts.Rejected > 0 {
			err = &rejectedError{int64(runner.Progress().Counts.Rejected), "would be"}
		}
		return err
	case b.config.DryRun:
		return err
	case errors.Is(err, backfill.ErrStopped):
		_ = d.total("stopped", runner.Progress(), b.rejects(runner)) // the error is what counts
		return fmt.Errorf("%w: the same command goes on with run %s", err, runner.Run())
	case err != nil && runner.Begun():
		_ = d.total("failed", runner.Progress(), b.rejects(runner))
		// Not %w: what the server refuses now is no wrong command line.
		return fmt.Errorf("%v; the same command goes on with run %s", err, runner.Run())
	case err != nil:
		return err
	}
	return b.ended(d, runner)
}

// ended prints the totals of a run that is done, now or before.
func (b *backfilling) ended(d *display, runner *backfill.Runner) error {
	if err := d.total("done", runner.Progress(), b.rejects(runner)); err != nil {
		return err
	}
	if n := runner.Progress().Counts.Rejected; n > 0 {
		return &rejectedError{rows: int64(n)}
	}
	return nil
}

// rejects is the name of the file of rejected rows, if there are any.
func (b *backfilling) rejects(runner *backfill.Runner) string {
	if runner.Progress().Counts.Rejected == 0 {
		return ""
	}
	return b.config.RejectsPath
}

// prepare finds the files and what lies beside them.
func (b *backfilling) prepare(cmd *cobra.Command, args []string) error {
	c := &b.config
	if b.noMetadata && c.Mapping.Metadata != nil {
		return usagef(cmd, "--%s stores no other columns, --%s names some: one of them", backfill.FlagNoMetadata, backfill.FlagMetadata)
	}
	c.Mapping.NoMetadata = b.noMetadata
	if b.timeZone != "" {
		zone, err := time.LoadLocation(b.timeZone)
		if err != nil {
			return usagef(cmd, "--%s is %q: it must be a name such as Europe/Berlin, or UTC", backfill.FlagTimeZone, b.timeZone)
		}
		c.Mapping.TimeZone = zone
	}
	if c.Restart && c.Again {
		return usagef(cmd, "--restart and --again both begin a new run: --again only if the last one is done")
	}
	files, err := backfill.Find(withoutRejects(args))
	if err != nil {
		return err
	}
	c.Files = files
	name := files[0].Name
	if len(files) > 1 && slices.ContainsFunc(files, func(f backfill.File) bool { return f.Name == backfill.Stdin }) {
		return usagef(cmd, "standard input is read alone, not beside files")
	}
	if name == backfill.Stdin {
		if c.StatePath == "" && !c.DryRun {
			return usagef(cmd, "--state is missing: of standard input nobody knows where the checkpoint may lie")
		}
		name = strings.TrimSuffix(c.StatePath, stateEnding)
	}
	if c.StatePath == "" {
		c.StatePath = name + stateEnding
	}
	if c.RejectsPath == "" {
		c.RejectsPath = name + rejectsEnding
	}
	return nil
}

// withoutRejects leaves out what a run writes beside its files: a shell's glob finds
// it the next time.
func withoutRejects(args []string) []string {
	given := map[string]bool{}
	for _, arg := range args {
		given[filepath.Clean(arg)] = true
	}
	var left []string
	for _, arg := range args {
		clean := filepath.Clean(arg)
		if base, is := strings.CutSuffix(clean, rejectsEnding); is && given[base] {
			continue
		}
		if base, is := strings.CutSuffix(clean, stateEnding); is && given[base] {
			continue
		}
		left = append(left, arg)
	}
	return left
}

// onThisMachine says whether bytes to all servers cost nothing.
func onThisMachine(servers []*signedServer) bool {
	for _, s := range servers {
		if !isLoopback(s.url) {
			return false
		}
	}
	return true
}

// signingSecret is the secret by which calls are signed, if they are.
func signingSecret() string { return os.Getenv(signingEnv) }

// organizationOf is the organization whose events these are.
func (b *backfilling) organizationOf(ctx context.Context, cmd *cobra.Command) (org leadevents.OrgID, err error) {
	switch {
	case b.organization > 0:
		return leadevents.OrgID(b.organization), nil
	case cmd.Flags().Changed("organization"):
		return 0, usagef(cmd, "--organization is 0: it must be a positive number")
	case signingSecret() != "":
		return 0, usagef(cmd, "--organization is missing: a signature does not say whose it is")
	}
	c := &b.config
	err = backfill.Ask(ctx, c.Servers, c.Patience, c.Say, func(ctx context.Context, server backfill.Server) error {
		org, err = server.(*signedServer).organization(ctx)
		return judged(err)
	})
	return org, err
}
