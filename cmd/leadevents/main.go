// Command leadevents is the lead event store: the server, the server with
// stores of its own for one machine, and everything to administer them.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"leadevents/audit"
	"leadevents/clickhouse/embedded"
)

func main() {
	// Before anything else: `dev` starts this same binary as its ClickHouse.
	embedded.Main()
	os.Exit(run(os.Args[1:]))
}

// run is main without the exit, so that tests can call it.
func run(args []string) int {
	// The first signal ends ctx, and with it everything in order. Then the
	// signals have their default meaning again: a second one ends us at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)

	ctx = audit.WithActor(ctx, shellUser()) // what dev makes by itself, too

	root := newRoot()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "leadevents:", err)
	}
	return exitCode(err)
}
