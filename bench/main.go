package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"leadevents/clickhouse/embedded"
)

func main() {
	embedded.Main() // does not return in the engine's process
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := newRoot().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func newRoot() *cobra.Command {
	var (
		record  bool
		results string
	)
	root := &cobra.Command{
		Use:           "bench",
		Short:         "Measure what the project claims, beside its floor; without a name: speed",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.PersistentFlags().BoolVar(&record, "record", false, "append what is printed to the results, with date, machine and commit")
	root.PersistentFlags().StringVar(&results, "results", "bench/RESULTS.md", "the `file` of the results")

	// wrap gives a benchmark its report, and keeps it when asked to.
	wrap := func(run func(context.Context, *report) error) func(*cobra.Command, []string) error {
		return func(cmd *cobra.Command, _ []string) error {
			r := &report{out: cmd.OutOrStdout()}
			if err := run(cmd.Context(), r); err != nil {
				return err
			}
			if !record {
				return nil
			}
			return r.append(results, cmd.Name())
		}
	}
	speed := newSpeed(wrap)
	root.AddCommand(speed, newIngest(wrap), newLedger(wrap), newColdCheck(wrap), newDurability(wrap), newFairness(wrap), newRecovery(wrap), newBackpressure(wrap), newAudience(wrap), newCampaign(wrap), newSlowClients(wrap), newAuth(wrap), newQuery(wrap), newBackfillBench(wrap), newSizes(wrap), newNaivePeer(), newFiberPeer())
	root.Args = cobra.NoArgs
	root.Flags().AddFlagSet(speed.Flags())
	root.RunE = func(cmd *cobra.Command, args []string) error {
		speed.SetContext(cmd.Context()) // only the command that is executed has one
		return speed.RunE(speed, args)
	}
	return root
}

// wrapper makes a benchmark a command's run.
type wrapper func(func(context.Context, *report) error) func(*cobra.Command, []string) error
