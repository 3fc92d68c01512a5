// Command leadevents is the lead event store: the server, the server with
// stores of its own for one machine, and everything to administer them.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"leadevents/audit"
	"leadevents/clickhouse/embedded"
)

func main() {
	// Before anything else: `dev` starts this same binary as its ClickHouse.
	embedded.Main()
	os.Exit(run(os.Args[1:]))
}

// sameSignal is how long after a signal another one is the same: timeout(1), npm and others signal
// the process that they started and then its group, so that it arrives twice.
const sameSignal = time.Second

// afterTheFirst gives signals their default meaning again, by restore, a moment after the first
// of them has ended ctx, and with it everything in order: a later one ends us at once.
func afterTheFirst(ctx context.Context, restore func()) {
	context.AfterFunc(ctx, func() { time.AfterFunc(sameSignal, restore) })
}

// run is main without the exit, so that tests can call it.
func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	afterTheFirst(ctx, stop)

	ctx = audit.WithActor(ctx, shellUser()) // what dev makes by itself, too

	root := newRoot()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "leadevents:", err)
	}
	return exitCode(err)
}
