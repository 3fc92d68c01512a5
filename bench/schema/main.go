package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"leadevents/clickhouse/embedded"
)

func main() {
	embedded.Main() // does not return in the engine's process
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench/schema:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	rows := flag.Uint64("rows", 20_000_000, "rows in each table")
	rounds := flag.Int("rounds", 5, "how often each operation is measured")
	address := flag.String("clickhouse", "", "native `host:port` of a ClickHouse to use, its user default without a password; without it an engine of its own")
	only := flag.String("only", "", "comma-separated `names` of the variants to compare with the base; all without it, none with -")
	codecs := flag.Bool("codecs", true, "compare the codecs of each column too")
	flag.Parse()

	auth := clickhouse.Auth{}
	if *address == "" {
		dir, err := os.MkdirTemp("", "leadevents-bench-schema-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		engine, err := embedded.Start(ctx, embedded.Config{DataDir: dir})
		if err != nil {
			return err
		}
		// The folder is thrown away: nothing is lost if this takes too long.
		defer engine.Stop(context.WithoutCancel(ctx))
		e := engine.Endpoint()
		*address, auth.Username, auth.Password = e.Native, e.User, e.Password
	}
	outside, err := clickhouse.Open(&clickhouse.Options{Addr: []string{*address}, Auth: auth})
	if err != nil {
		return err
	}
	defer outside.Close()
	auth.Database = fmt.Sprintf("bench_schema_%d", os.Getpid())
	if err := outside.Exec(ctx, "CREATE DATABASE "+auth.Database); err != nil {
		return err
	}
	defer outside.Exec(context.WithoutCancel(ctx), "DROP DATABASE "+auth.Database)
	inside, err := clickhouse.Open(&clickhouse.Options{Addr: []string{*address}, Auth: auth, ReadTimeout: time.Hour})
	if err != nil {
		return err
	}
	defer inside.Close()

	e, err := newExperiment(inside, *rows, *only)
	if err != nil {
		return err
	}
	if *codecs {
		if err := e.compareCodecs(ctx); err != nil {
			return err
		}
	}
	if err := e.load(ctx); err != nil {
		return err
	}
	if err := e.reportSizes(ctx, e.variants); err != nil {
		return err
	}
	if err := e.measure(ctx, *rounds); err != nil {
		return err
	}
	e.reportTimes()
	return nil
}

func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05 ")+format+"\n", args...)
}

// reportTimes prints medians in ms, a line an operation, a column a variant.
func (e *experiment) reportTimes() {
	var operations []string
	for key := range e.times {
		operation, _, _ := strings.Cut(key, operationSep)
		if !slices.Contains(operations, operation) {
			operations = append(operations, operation)
		}
	}
	slices.Sort(operations)
	fmt.Print("| ms, median |")
	for _, v := range e.variants {
		fmt.Printf(" %s |", v.name)
	}
	fmt.Println("\n|---" + strings.Repeat("|---:", len(e.variants)) + "|")
	for _, operation := range operations {
		fmt.Printf("| %s |", operation)
		for _, v := range e.variants {
			fmt.Printf(" %.3g |", float64(e.median(operation, v.name).Microseconds())/1000)
		}
		fmt.Println()
	}
}

// reportSizes prints the bytes a row of each column and of the whole table.
func (e *experiment) reportSizes(ctx context.Context, tables []variant) error {
	fmt.Print("| bytes a row |")
	for _, v := range tables {
		fmt.Printf(" %s |", v.name)
	}
	fmt.Println("\n|---" + strings.Repeat("|---:", len(tables)) + "|")
	for _, name := range append(slices.Clone(columns), "index, marks, skip index", "all", "all but metadata", "parts") {
		fmt.Printf("| %s |", name)
		for i := range tables {
			value, err := e.size(ctx, tables[i].table(), name)
			if err != nil {
				return fmt.Errorf("size of %s: %w", tables[i].name, err)
			}
			fmt.Printf(" %.3g |", value)
		}
		fmt.Println()
	}
	return nil
}

func (e *experiment) size(ctx context.Context, table, what string) (size float64, err error) {
	const ofParts = "FROM system.parts WHERE active AND database = currentDatabase() AND table = {table:String}"
	sql := "SELECT sum(column_data_compressed_bytes) / sum(rows) FROM system.parts_columns WHERE active AND database = currentDatabase() AND table = {table:String} AND column = {what:String}"
	switch what {
	case "index, marks, skip index":
		sql = "SELECT (sum(bytes_on_disk) - sum(data_compressed_bytes)) / sum(rows) " + ofParts
	case "all":
		sql = "SELECT sum(bytes_on_disk) / sum(rows) " + ofParts
	case "all but metadata":
		metadata, err := e.size(ctx, table, "metadata")
		if err != nil {
			return 0, err
		}
		all, err := e.size(ctx, table, "all")
		return all - metadata, err
	case "parts":
		sql = "SELECT toFloat64(count()) " + ofParts
	}
	err = e.conn.QueryRow(clickhouse.Context(ctx, clickhouse.WithParameters(clickhouse.Parameters{"table": table, "what": what})), sql).Scan(&size)
	return size, err
}
