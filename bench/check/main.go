package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := newRoot().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench/check:", err)
		os.Exit(1)
	}
}

func newRoot() *cobra.Command {
	var (
		file string
		keep bool
	)
	root := &cobra.Command{
		Use:           "check",
		Short:         "Hold allocations and instructions of the hot paths to their record",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if keep {
				return recordAnew(cmd.Context(), cmd.OutOrStdout(), file)
			}
			return check(cmd.Context(), cmd.OutOrStdout(), file)
		},
	}
	root.Flags().StringVar(&file, "file", "bench/check/record.json", "the `file` of the record")
	root.Flags().BoolVar(&keep, "record", false, "write what is measured to the record instead of comparing it")
	return root
}

// check measures and compares; its error says what became worse.
func check(ctx context.Context, out io.Writer, file string) error {
	recorded, err := readRecord(file)
	if err != nil {
		return err
	}
	now, err := measure(ctx, ".", hotPaths)
	if err != nil {
		return err
	}
	if err := measureAgain(ctx, ".", recorded, now, hotPaths); err != nil {
		return err
	}
	return tell(out, recorded, now, hotPaths)
}

// measureAgain gives paths that became worse a second try, whose costs count where they
// are less: what else ran in a process can only add to them.
func measureAgain(ctx context.Context, root string, recorded, now record, paths []path) error {
	var doubtful []path
	for _, p := range paths {
		was, known := recorded.Paths[p.name()]
		single := func(c cost) record { return record{recorded.Go, recorded.Arch, map[string]cost{p.name(): c}} }
		if worse, _ := compare(single(was), single(now.Paths[p.name()])); known && len(worse) > 0 {
			doubtful = append(doubtful, p)
		}
	}
	if len(doubtful) == 0 {
		return nil
	}
	again, err := measure(ctx, root, doubtful)
	if err != nil {
		return err
	}
	for name, c := range again.Paths {
		first := now.Paths[name]
		now.Paths[name] = cost{min(first.Allocations, c.Allocations), min(first.Instructions, c.Instructions)}
	}
	return nil
}

// tell prints all paths, what became better, and returns what became worse.
func tell(out io.Writer, recorded, now record, paths []path) error {
	if err := table(out, recorded, now, paths); err != nil {
		return err
	}
	worse, better := compare(recorded, now)
	for _, text := range better {
		if _, err := fmt.Fprintf(out, "better: %s; hold it: %s\n", text, rerecord); err != nil {
			return err
		}
	}
	if len(worse) == 0 {
		return nil
	}
	return errors.New("hot paths became worse, or are not compared:\n  " + strings.Join(worse, "\n  ") +
		"\nIf it is meant, record it, and say in the commit what it is paid for: " + rerecord)
}

func table(out io.Writer, recorded, now record, paths []path) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', tabwriter.AlignRight)
	line := func(cells ...string) { _, _ = fmt.Fprintln(w, strings.Join(cells, "\t")+"\t") } // Flush tells errors
	line("allocations", "recorded", "instructions", "recorded", "change", "a run of")
	for _, p := range paths {
		was, is := recorded.Paths[p.name()], now.Paths[p.name()]
		line(count(is.Allocations), count(was.Allocations), count(is.Instructions), count(was.Instructions), change(was.Instructions, is.Instructions), p.name())
	}
	return w.Flush()
}

func recordAnew(ctx context.Context, out io.Writer, file string) error {
	now, err := measure(ctx, ".", hotPaths)
	if err != nil {
		return err
	}
	recorded, err := readRecord(file)
	if err != nil {
		recorded = record{} // the first one
	}
	return errors.Join(table(out, recorded, now, hotPaths), now.write(file))
}
