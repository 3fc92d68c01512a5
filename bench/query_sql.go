package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/valyala/fasthttp"

	"leadevents/clickhouse/analyst"
)

// goalSQL is how much the SQL endpoint may add to ClickHouse's own time for a small
// statement.
const goalSQL = 15 * time.Millisecond

type querySQLBench struct {
	binary       string
	rows, rounds int
}

func newQuerySQL(wrap wrapper) *cobra.Command {
	var b querySQLBench
	cmd := &cobra.Command{
		Use:   "query-sql",
		Short: "what POST /api/v1/sql adds to ClickHouse's own time for small statements",
		Args:  cobra.NoArgs,
		RunE:  wrap(func(ctx context.Context, r *report) error { return b.run(ctx, r) }),
	}
	cmd.Flags().StringVar(&b.binary, "binary", "bin/leadevents", "the `file` of the server")
	cmd.Flags().IntVar(&b.rows, "rows", 1_000_000, "events of the organization")
	cmd.Flags().IntVar(&b.rounds, "rounds", 100, "how often each is measured")
	return cmd
}

func (b *querySQLBench) run(ctx context.Context, r *report) (err error) {
	s, err := startServer(ctx, b.binary, "log.requests=false")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	if err := s.note(ctx, r); err != nil {
		return err
	}
	conn, err := connectClickHouse(s.ClickHouse.Native, s.ClickHouse.User, s.ClickHouse.Password, s.ClickHouse.Database)
	if err != nil {
		return err
	}
	defer conn.Close()
	// Past the server: what is measured is reading. 10 types, a lead has 10 events.
	err = conn.Exec(ctx, fmt.Sprintf(`INSERT INTO lead_events (organization_id, event_type, phone, occurred_at, metadata, ingested_at, batch_id)
		SELECT 1, 'type_' || toString(number %% 10), 15550000000 + intDiv(number, 10), toDateTime64('2026-01-01 00:00:00', 3, 'UTC') + toIntervalSecond(number %% 10000000), '{"amountUsd":' || toString(number %% 1000) || '}', now64(3), 1
		FROM numbers(%d)`, b.rows))
	if err != nil {
		return fmt.Errorf("store events: %w", err)
	}
	r.linef("%d events of one organization, as background merges leave them.", b.rows)
	return benchQuerySQL(ctx, r, s, b.rounds)
}

// benchQuerySQL asks small statements over HTTP and, beside it, ClickHouse itself, as
// the same database user over the same view: what is between them is the server's.
func benchQuerySQL(ctx context.Context, r *report, s *server, rounds int) error {
	statements := []struct{ name, text string }{
		{"a constant", "SELECT 1"},
		{"a lead's events of a type", "SELECT event_type, occurred_at, metadata FROM events WHERE event_type = 'type_3' AND phone = 15550000042 AND occurred_at < '2026-01-02'"},
		{"an hour of a type, by minute", "SELECT toStartOfMinute(occurred_at) AS t, count() FROM events WHERE event_type = 'type_3' AND occurred_at >= '2026-01-02' AND occurred_at < '2026-01-02 01:00:00' GROUP BY t ORDER BY t"},
	}
	account := analyst.Pooled(s.ClickHouse.Password, 0) // the first organization's that asks
	direct := &fasthttp.HostClient{Addr: s.ClickHouse.HTTP, MaxConns: 4, ReadTimeout: time.Minute, WriteTimeout: time.Minute}
	var contestants []contestant
	for _, statement := range statements {
		var server, own []byte
		contestants = append(contestants,
			contestant{"server: " + statement.name, func(int) (trial, error) {
				return trial{run: func(context.Context) (err error) { server, err = s.sql(statement.text); return err }}, nil
			}},
			contestant{"ClickHouse: " + statement.name, func(int) (trial, error) {
				return trial{
					run: func(context.Context) (err error) { own, err = askDirect(direct, account, statement.text); return err },
					check: func() error {
						if server != nil && string(server) != string(own) {
							return fmt.Errorf("the answers to %q differ", statement.text)
						}
						return nil
					},
				}, nil
			}})
	}
	conn, err := connectClickHouse(s.ClickHouse.Native, s.ClickHouse.User, s.ClickHouse.Password, s.ClickHouse.Database)
	if err != nil {
		return err
	}
	defer conn.Close()
	// What the server does beside: by themselves, for comparison.
	contestants = append(contestants,
		contestant{"step: the tree", func(int) (trial, error) {
			return trial{run: func(context.Context) error {
				_, err := askDirect(direct, account, "EXPLAIN AST "+statements[2].text)
				return err
			}}, nil
		}},
		contestant{"step: the entry", func(int) (trial, error) {
			return trial{run: func(ctx context.Context) error {
				return conn.Exec(ctx, "INSERT INTO audit_log (organization_id, at, entry, outcome, action, actor_type) VALUES (2, now64(3), rand64(), 'begun', 'sql.query', 'command')")
			}}, nil
		}})
	if _, err := s.sql("SELECT 1"); err != nil { // which makes the account
		return err
	}
	samples, err := compete(ctx, rounds, contestants, nil)
	if err != nil {
		return err
	}
	var rows [][]string
	missed := false
	for _, statement := range statements {
		ours, theirs := samples["server: "+statement.name], samples["ClickHouse: "+statement.name]
		added := ours.median() - theirs.median()
		verdict := "yes"
		if added > goalSQL {
			verdict, missed = "NO", true
		}
		rows = append(rows, []string{statement.name, ours.String(), theirs.String(), ms(added), verdict})
	}
	r.table([]string{"statement", "POST /api/v1/sql, ms", "ClickHouse over HTTP, ms", "added, ms", fmt.Sprintf("at most %s", ms(goalSQL))}, rows)
	r.linef("Alone: EXPLAIN AST of the last %s ms; an entry of the audit log, on the disk, %s ms (it is written beside the tree and the statement).",
		samples["step: the tree"], samples["step: the entry"])
	if missed {
		return fmt.Errorf("the SQL endpoint adds more than %s", goalSQL)
	}
	return nil
}

// sql asks the server.
func (s *server) sql(statement string) ([]byte, error) {
	request, response := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(request)
	defer fasthttp.ReleaseResponse(response)
	request.SetRequestURI(s.URL + "/api/v1/sql?format=csv")
	request.Header.SetMethod(fasthttp.MethodPost)
	request.Header.SetContentType("application/json")
	request.Header.Set("Authorization", "Bearer "+s.APIKey)
	request.SetBodyString(fmt.Sprintf(`{"query":%q}`, statement))
	if err := s.client.Do(request, response); err != nil {
		return nil, fmt.Errorf("ask %q: %w", statement, err)
	}
	if response.StatusCode() != fasthttp.StatusOK {
		return nil, fmt.Errorf("ask %q: %d %s", statement, response.StatusCode(), response.Body())
	}
	return append([]byte{}, response.Body()...), nil
}

// askDirect asks ClickHouse as an analyst's user.
func askDirect(client *fasthttp.HostClient, as analyst.Account, statement string) ([]byte, error) {
	request, response := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(request)
	defer fasthttp.ReleaseResponse(response)
	request.SetRequestURI("http://" + client.Addr + "/?default_format=CSVWithNames&database=" + as.Database)
	request.Header.SetMethod(fasthttp.MethodPost)
	request.Header.Set("X-ClickHouse-User", as.User)
	request.Header.Set("X-ClickHouse-Key", as.Password)
	request.SetBodyString(statement)
	if err := client.Do(request, response); err != nil {
		return nil, fmt.Errorf("ask ClickHouse %q: %w", statement, err)
	}
	if body := strings.TrimSpace(string(response.Body())); response.StatusCode() != fasthttp.StatusOK {
		return nil, fmt.Errorf("ask ClickHouse %q: %d %s", statement, response.StatusCode(), body)
	}
	return append([]byte{}, response.Body()...), nil
}
