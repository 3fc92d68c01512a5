package main

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/zstd"
	"github.com/spf13/cobra"

	"leadevents/internal/loadgen"
)

// compressions are the encodings of files and bodies, with their file ending.
var compressions = map[string]string{"none": "", "gzip": ".gz", "zstd": ".zst"}

// compressed wraps w; closing it does not close w.
func compressed(w io.Writer, how string) (io.WriteCloser, error) {
	switch how {
	case "none":
		return plain{w}, nil
	case "gzip":
		return gzip.NewWriter(w), nil
	case "zstd":
		return zstd.NewWriter(w)
	}
	return nil, fmt.Errorf("compression %q is none of none, gzip and zstd", how)
}

type plain struct{ io.Writer }

func (plain) Close() error { return nil }

func newFile() *cobra.Command {
	var (
		l                   load
		format, compression string
	)
	cmd := &cobra.Command{
		Use:   "file",
		Short: "write events as CSV or NDJSON to standard output, as `leadevents backfill` reads them",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			g, err := l.generator()
			if err != nil {
				return err
			}
			return writeFile(cmd.OutOrStdout(), g, l.first, l.events, format, compression)
		},
	}
	l.flags(cmd)
	cmd.Flags().StringVar(&format, "format", "ndjson", "ndjson or csv; neither names the event type: choose one with --event-type")
	cmd.Flags().StringVar(&compression, "compression", "none", "none, gzip or zstd")
	return cmd
}

func writeFile(w io.Writer, g *loadgen.Generator, first, events uint64, format, compression string) error {
	out, err := compressed(w, compression)
	if err != nil {
		return err
	}
	buffered := bufio.NewWriterSize(out, 1<<16)
	var line []byte
	switch format {
	case "csv":
		line = append(line, loadgen.CSVHeader...)
	case "ndjson":
	default:
		return fmt.Errorf("--format %q is neither ndjson nor csv", format)
	}
	var e loadgen.Event
	for i := first; i < first+events; i++ {
		g.Event(i, &e)
		if format == "csv" {
			line = e.AppendCSV(line)
		} else {
			line = append(e.AppendJSON(line), '\n')
		}
		if _, err := buffered.Write(line); err != nil {
			return fmt.Errorf("write event %d: %w", i, err)
		}
		line = line[:0]
	}
	if err := errors.Join(buffered.Flush(), out.Close()); err != nil {
		return fmt.Errorf("end the file: %w", err)
	}
	return nil
}

func newBodies() *cobra.Command {
	var (
		l                load
		out, compression string
	)
	cmd := &cobra.Command{
		Use:   "bodies",
		Short: "write ready request bodies of --batch events, one a file, into a folder",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			g, err := l.generator()
			if err != nil {
				return err
			}
			return writeBodies(g, &l, out, compression)
		},
	}
	l.flags(cmd)
	cmd.Flags().StringVar(&out, "out", "bodies", "`folder` to write into, made if need be")
	cmd.Flags().StringVar(&compression, "compression", "none", "none, gzip or zstd")
	return cmd
}

func writeBodies(g *loadgen.Generator, l *load, folder, compression string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("make the folder of the bodies: %w", err)
	}
	var body []byte
	for batch := l.first / l.batch; batch < g.Requests(l.first+l.events); batch++ {
		body = g.AppendRequest(body[:0], batch, l.first+l.events)
		path := filepath.Join(folder, fmt.Sprintf("%06d.json%s", batch, compressions[compression]))
		f, err := os.Create(path)
		if err != nil {
			return fmt.Errorf("make a body's file: %w", err)
		}
		w, err := compressed(f, compression)
		if err == nil {
			_, err = w.Write(body)
			err = errors.Join(err, w.Close())
		}
		if err = errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
	}
	return nil
}

func newSQL() *cobra.Command {
	var (
		l     load
		table string
	)
	cmd := &cobra.Command{
		Use:   "sql",
		Short: "print an INSERT SELECT by which ClickHouse makes the events itself, past the ledger",
		Long:  "Print an INSERT SELECT by which ClickHouse makes the events itself: for benchmarks. It goes past the\nledger, so use it on a database that no server uses, or on events older than the horizon.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			g, err := l.generator()
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), g.InsertSQL(table, l.first, l.events)+";")
			return err
		},
	}
	l.flags(cmd)
	cmd.Flags().StringVar(&table, "table", "lead_events", "the `table` to insert into")
	return cmd
}
