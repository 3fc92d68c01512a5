package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"leadevents"
)

// runAnswer is what the server tells of a run.
type runAnswer struct {
	Run           string `json:"run"`
	State         string `json:"state"`
	Batches       uint64 `json:"batches"`
	UndoneBatches uint64 `json:"undoneBatches"`
	Received      uint64 `json:"received"`
	Inserted      uint64 `json:"inserted"`
	Duplicates    uint64 `json:"duplicates"`
	Rejected      uint64 `json:"rejected"`
	FirstAt       string `json:"firstAt"`
	LastAt        string `json:"lastAt"`
	Error         string `json:"error,omitempty"`
}

func runPath(id string) string { return "/api/v1/runs/" + url.PathEscape(id) }

// runServer is the server that is asked about runs: the first, with a key.
func (b *backfilling) runServer(cmd *cobra.Command) (*client, error) {
	flags := *b.server
	flags.keyless = false
	if len(b.urls) > 0 {
		flags.url = b.urls[0]
	}
	return flags.open(cmd)
}

// showRun prints what the server has of a run.
func (b *backfilling) showRun(cmd *cobra.Command) error {
	c, err := b.runServer(cmd)
	if err != nil {
		return err
	}
	var run runAnswer
	if err := c.call(cmd.Context(), http.MethodGet, runPath(b.status), nil, &run); err != nil {
		return err
	}
	return b.printRun(cmd, run)
}

func (b *backfilling) printRun(cmd *cobra.Command, run runAnswer) error {
	if b.json {
		return printJSON(cmd.OutOrStdout(), run)
	}
	number := func(n uint64) string { return strconv.FormatUint(n, 10) }
	return printTable(cmd.OutOrStdout(), "what is", [][]string{
		{"run", run.Run}, {"state", run.State}, {"batches", number(run.Batches)}, {"undone batches", number(run.UndoneBatches)},
		{"received", number(run.Received)}, {"inserted", number(run.Inserted)}, {"duplicates", number(run.Duplicates)}, {"rejected", number(run.Rejected)},
		{"first", run.FirstAt}, {"last", run.LastAt},
	})
}

// undoRun removes what a run has inserted, and waits until that is done.
func (b *backfilling) undoRun(cmd *cobra.Command) error {
	c, err := b.runServer(cmd)
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	var run runAnswer
	if err := c.call(ctx, http.MethodGet, runPath(b.undo), nil, &run); err != nil {
		return err
	}
	if run.State != "undone" {
		if err := b.confirm(cmd, run); err != nil {
			return err
		}
		path := runPath(b.undo)
		if b.force {
			path += "?force=true"
		}
		if err := c.call(ctx, http.MethodDelete, path, nil, &run); err != nil {
			if leadevents.KindOf(err) == leadevents.Conflict && !b.force {
				return fmt.Errorf("%w (--force undoes it all the same)", err)
			}
			return err
		}
	}
	shown := uint64(0)
	for pause := 20 * time.Millisecond; run.State != "undone"; pause = min(2*pause, time.Second) {
		select {
		case <-ctx.Done():
			return fmt.Errorf("the undo of run %s goes on on the server: %w", b.undo, context.Cause(ctx))
		case <-time.After(pause):
		}
		run = runAnswer{}
		if err := c.call(ctx, http.MethodGet, runPath(b.undo), nil, &run); err != nil {
			return fmt.Errorf("the undo of run %s goes on on the server: %w", b.undo, err)
		}
		if run.State != "undone" && run.State != "undoing" {
			return fmt.Errorf("the undo of run %s has ended, and the run is %s: %d of %d batches are undone; --undo again goes on (%s)", b.undo, run.State, run.UndoneBatches, run.Batches, run.Error)
		}
		if run.UndoneBatches > shown {
			shown = run.UndoneBatches
			explain(cmd, "undoing: %d of %d batches", shown, run.Batches)
		}
	}
	return b.printRun(cmd, run)
}

// confirm asks a person at a terminal.
func (b *backfilling) confirm(cmd *cobra.Command, run runAnswer) error {
	if b.yes {
		return nil
	}
	if !isTerminal(cmd.InOrStdin()) {
		return usagef(cmd, "--undo removes %d rows and nobody can be asked here: --yes says that it is meant", run.Inserted)
	}
	_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "Run %s inserted %s rows in %s batches. Undo it? [y/N] ", run.Run, thousands(run.Inserted), thousands(run.Batches))
	answer, err := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if answer = strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
		return fmt.Errorf("nothing was undone")
	}
	return nil
}
