package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"

	"github.com/peterh/liner"
	"github.com/spf13/cobra"
)

// historyName is the file of earlier statements in the user's configuration folder, for
// its owner alone: statements may hold phones.
const historyName = "leadevents/sql_history"

// converse asks for statements until the end of input. An error ends its statement
// alone, and so does Ctrl-C.
func (s *sqlCommand) converse(cmd *cobra.Command) error {
	line := liner.NewLiner()
	defer func() { _ = line.Close() }()
	line.SetCtrlCAborts(true)
	line.SetTabCompletionStyle(liner.TabPrints)
	words := s.words(cmd)
	line.SetWordCompleter(func(text string, at int) (head string, completions []string, tail string) {
		return complete(words, text, at)
	})
	history := historyFile()
	if file, err := os.Open(history); err == nil {
		_, _ = line.ReadHistory(file)
		_ = file.Close()
	}
	defer func() { _ = writeHistory(history, line) }()
	explain(cmd, "Statements end with a semicolon. Tab completes; \"help\" says more, \"exit\" ends.")
	for text := ""; ; {
		prompt := "sql> "
		if text != "" {
			prompt = "...> "
		}
		more, err := line.Prompt(prompt)
		switch {
		case errors.Is(err, liner.ErrPromptAborted):
			text = ""
			continue
		case errors.Is(err, io.EOF):
			explain(cmd, "") // or the shell's prompt would follow on the line
			return nil
		case err != nil:
			return fmt.Errorf("read a statement: %w", err)
		}
		word := order(more)
		if word == "exit" || word == "quit" || word == `\q` { // also where a semicolon was forgotten
			return nil
		}
		if text == "" {
			switch word {
			case "help", "?", `\?`, `\h`:
				explain(cmd, "%s", replHelp)
				continue
			case `\d`, "describe events", "desc events", "show tables":
				explain(cmd, "%s", replTable)
				continue
			}
		}
		text = strings.TrimLeft(text+"\n"+more, " \n")
		if !ended(text) {
			continue
		}
		line.AppendHistory(strings.ReplaceAll(text, "\n", " "))
		if err := s.askOnce(cmd, text); err != nil {
			explain(cmd, "%v", err)
		}
		text = ""
	}
}

// replHelp and replTable are what people ask for who know other clients.
const (
	replHelp = `A statement is one SELECT over the table events, and ends with a semicolon; it
may have several lines. \d shows the columns. Tab completes keywords, columns,
event types, the paths of their metadata, and functions. Ctrl-C gives up a
statement, exit or Ctrl-D ends. For files: leadevents sql "…" --format csv.

  SELECT event_type, count() FROM events GROUP BY event_type;
  SELECT * FROM events WHERE phone = 15551234567 ORDER BY occurred_at;`
	replTable = `The table events, each event once:

  event_type   LowCardinality(String)  as it was sent
  phone        UInt64                  +15551234567 is 15551234567
  occurred_at  DateTime64(3, 'UTC')
  metadata     String                  JSON, for JSONExtractFloat and the like
  ingested_at  DateTime64(3, 'UTC')
  batch_id     UInt64`
)

// order is a line as a word of the conversation, should it be one.
func order(line string) string {
	return strings.ToLower(strings.Join(strings.Fields(strings.TrimRight(strings.TrimSpace(line), ";")), " "))
}

// ended is whether a statement has its semicolon; a comment may follow it on the line.
func ended(text string) bool {
	last := text[strings.LastIndexByte(text, '\n')+1:]
	if at := strings.LastIndex(last, ";"); at >= 0 {
		rest := strings.TrimSpace(last[at+1:])
		return rest == "" || strings.HasPrefix(rest, "--")
	}
	return false
}

// askOnce runs a statement that Ctrl-C gives up.
func (s *sqlCommand) askOnce(cmd *cobra.Command, text string) error {
	before := cmd.Context()
	ctx, stop := signal.NotifyContext(context.WithoutCancel(before), os.Interrupt)
	defer stop()
	cmd.SetContext(ctx)
	defer cmd.SetContext(before)
	return s.ask(cmd, text, cmd.OutOrStdout())
}

// words are what can be completed: keywords, columns, and what the server lists.
func (s *sqlCommand) words(cmd *cobra.Command) []string {
	words := strings.Fields("SELECT FROM WHERE GROUP BY ORDER LIMIT OFFSET HAVING WITH UNION ALL DISTINCT JOIN LEFT ON USING AND OR NOT IN BETWEEN LIKE ILIKE IS NULL AS ASC DESC CASE WHEN THEN ELSE END OVER PARTITION INTERVAL")
	var schema struct {
		Tables []struct {
			Name    string
			Columns []struct{ Name string }
		}
		EventTypes []struct {
			EventType string
			Metadata  []struct{ Expression string }
		}
		Functions, AggregateFunctions, TableFunctions []string
	}
	if err := s.client.call(cmd.Context(), http.MethodGet, "/api/v1/sql/schema", nil, &schema); err != nil {
		explain(cmd, "Names are not completed: %v", err)
		return words
	}
	for _, t := range schema.Tables {
		words = append(words, t.Name)
		for _, c := range t.Columns {
			words = append(words, c.Name)
		}
	}
	for _, e := range schema.EventTypes {
		words = append(words, "'"+e.EventType+"'")
		for _, m := range e.Metadata {
			words = append(words, m.Expression)
		}
	}
	for _, f := range slices.Concat(schema.Functions, schema.AggregateFunctions, schema.TableFunctions) {
		words = append(words, f+"(")
	}
	slices.Sort(words)
	return slices.Compact(words)
}

// complete finds the words that begin as the text before the cursor ends.
func complete(words []string, text string, at int) (head string, completions []string, tail string) {
	runes := []rune(text)
	at = min(at, len(runes))
	begin := at
	for begin > 0 && (runes[begin-1] == '_' || runes[begin-1] == '\'' || '0' <= runes[begin-1] && runes[begin-1] <= '9' || 'A' <= runes[begin-1] && runes[begin-1] <= 'z') {
		begin--
	}
	prefix := strings.ToLower(string(runes[begin:at]))
	if prefix != "" {
		for _, w := range words {
			if strings.HasPrefix(strings.ToLower(w), prefix) {
				completions = append(completions, w)
			}
		}
	}
	return string(runes[:begin]), completions, string(runes[at:])
}

func historyFile() string {
	dir, err := os.UserConfigDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, historyName)
}

func writeHistory(path string, line *liner.State) error {
	if path == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = line.WriteHistory(file)
	return errors.Join(err, file.Close())
}
