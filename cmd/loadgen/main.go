// Command loadgen makes lead events that look real and are the same every time
// (package internal/loadgen): as files, as request bodies, as audiences, as SQL, or
// posted to a server, whose answers it adds up and checks against what is stored.
//
//	loadgen post --dev ./leadevents-data --events 1000000 --duplicates 20 --verify
//	loadgen file --events 1000000 --format csv --event-type webinar_attended > events.csv
//	loadgen bodies --events 100000 --batch 50000 --out ./bodies
//	loadgen audience --leads 10000000 | curl -T - http://…/api/v1/audiences/all/leads …
//	loadgen sql --events 20000000 --times history --years 3 | clickhouse-client
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends us at once
	if err := newRoot().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "loadgen:", err)
		os.Exit(1)
	}
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "loadgen",
		Short:         "make deterministic lead events: files, request bodies, SQL, or calls to a server",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(newPost(), newFile(), newBodies(), newAudience(), newSQL())
	return root
}
