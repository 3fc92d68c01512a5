package main

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// sqlFormats are what --format takes; table is made here, of csv.
var sqlFormats = []string{"table", "csv", "json", "ndjson", "parquet", "arrow"}

// maxStatement is more than any server takes; it keeps a wrong file out of memory.
const maxStatement = 1 << 20

// sqlCommand is what the command line asks for.
type sqlCommand struct {
	server *serverFlags
	file   string
	params []string
	format string

	client *client
	bound  map[string]any
}

func newSQL() *cobra.Command {
	s := &sqlCommand{}
	cmd := &cobra.Command{
		Use:     "sql [QUERY]",
		Short:   "Ask the organization's events in SQL",
		GroupID: "work",
		Long: `Runs one SELECT in ClickHouse's SQL over the organization's own events and prints the
answer. The table is events, with the columns event_type, phone, occurred_at, metadata
(JSON), ingested_at and batch_id; docs/sql.md says what may be written.

The statement is the argument, or is read from --file, or from standard input. On a
terminal without any of them statements are asked for, each ended by a semicolon, with
history and completion (Tab).

{name:Type} in a statement is a parameter, given by --param name=value. A value that
begins with [ is a JSON array.

Exit codes: 0 done, 1 failed, 2 wrong usage.`,
		Example: `  leadevents sql "SELECT event_type, count() FROM events GROUP BY 1 ORDER BY 2 DESC"
  leadevents sql --file report.sql --param from=2026-05-01 --format parquet > report.parquet
  leadevents sql --data-dir ./leadevents-data`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef(cmd, "%s takes one statement: write it in quotes", cmd.CommandPath())
			}
			return nil
		},
	}
	s.server = addServerFlags(cmd)
	flags := cmd.Flags()
	flags.StringVarP(&s.file, "file", "f", "", "read the statement from `FILE`")
	flags.StringArrayVar(&s.params, "param", nil, "the value of {name:Type} in the statement, as `NAME=VALUE`; may be repeated")
	flags.StringVar(&s.format, "format", "", "the `FORMAT`: "+strings.Join(sqlFormats, ", ")+" (default: table on a terminal, else csv)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return invalid(cmd, s.run(cmd, args)) }
	return cmd
}

func (s *sqlCommand) run(cmd *cobra.Command, args []string) (err error) {
	if s.format == "" {
		s.format = "csv"
		if isTerminal(cmd.OutOrStdout()) {
			s.format = "table"
		}
	}
	if !slices.Contains(sqlFormats, s.format) {
		return usagef(cmd, "--format is %q: it must be one of %s", s.format, strings.Join(sqlFormats, ", "))
	}
	if s.file != "" && len(args) > 0 {
		return usagef(cmd, "the statement is given twice: as an argument, and by --file")
	}
	if s.bound, err = readParams(cmd, s.params); err != nil {
		return err
	}
	if s.client, err = s.server.open(cmd); err != nil {
		return err
	}
	var text []byte
	switch {
	case len(args) > 0:
		text = []byte(args[0])
	case s.file != "":
		file, err := os.Open(s.file)
		if err != nil {
			return usagef(cmd, "--file: %v", err)
		}
		defer func() { _ = file.Close() }()
		if text, err = io.ReadAll(io.LimitReader(file, maxStatement)); err != nil {
			return fmt.Errorf("read %s: %w", s.file, err)
		}
	case isTerminal(cmd.InOrStdin()):
		return s.converse(cmd)
	default:
		if text, err = io.ReadAll(io.LimitReader(cmd.InOrStdin(), maxStatement)); err != nil {
			return fmt.Errorf("read standard input: %w", err)
		}
	}
	return s.ask(cmd, string(text), cmd.OutOrStdout())
}

// readParams reads NAME=VALUE. Values are texts, which ClickHouse reads as the
// statement's types; arrays are JSON.
func readParams(cmd *cobra.Command, given []string) (map[string]any, error) {
	bound := map[string]any{}
	for _, p := range given {
		name, value, ok := strings.Cut(p, "=")
		if !ok || name == "" {
			return nil, usagef(cmd, "--param is %q: it must be NAME=VALUE", p)
		}
		bound[name] = value
		if strings.HasPrefix(value, "[") {
			if !json.Valid([]byte(value)) {
				return nil, usagef(cmd, "--param %s: a value that begins with [ must be a JSON array, such as [1,2] or [\"a\"]", name)
			}
			bound[name] = json.RawMessage(value)
		}
	}
	return bound, nil
}

// ask runs a statement and copies its answer. One that was cut off is an error,
// whatever its format.
func (s *sqlCommand) ask(cmd *cobra.Command, text string, out io.Writer) error {
	body, err := json.Marshal(map[string]any{"query": text, "params": s.bound})
	if err != nil {
		return fmt.Errorf("write a request: %w", err)
	}
	format := s.format
	if format == "table" {
		format = "csv"
	}
	response, err := s.client.insist(cmd.Context(), http.MethodPost, "/api/v1/sql?format="+format, "application/json", body)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if s.format == "table" {
		err = printAnswer(out, response.Body)
	} else {
		_, err = io.Copy(out, response.Body)
	}
	if err != nil {
		return fmt.Errorf("the answer is not complete: %w", err)
	}
	return nil
}

// printAnswer prints CSV with a header as a table.
func printAnswer(out io.Writer, in io.Reader) error {
	rows := csv.NewReader(in)
	rows.FieldsPerRecord, rows.LazyQuotes = -1, true
	header, err := rows.Read()
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return err
	}
	t := newTable(out, header)
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return errors.Join(err, t.end())
		}
		t.add(row)
	}
	if err := t.end(); err != nil {
		return err
	}
	noun := "rows"
	if t.rows == 1 {
		noun = "row"
	}
	_, err = fmt.Fprintf(out, "(%d %s)\n", t.rows, noun)
	return err
}
