package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"leadevents/clickhouse/analyst"
)

// goalSQL is how much the SQL endpoint may add to ClickHouse's own time for a small
// statement.
const goalSQL = 15 * time.Millisecond

// sqlRounds are enough to tell a few milliseconds apart.
const sqlRounds = 50

// benchQuerySQL asks small statements over HTTP and, beside it, ClickHouse itself, as
// the same database user over the same view: what is between them is the server's.
func benchQuerySQL(ctx context.Context, w *queryWorld) error {
	s := w.server
	var phone uint64
	var eventType, day string // of one event, of the last month
	err := w.conn.QueryRow(ctx, fmt.Sprintf("SELECT phone, CAST(event_type, 'String'), toString(toDate(occurred_at)) FROM lead_events WHERE organization_id = %d AND occurred_at >= fromUnixTimestamp64Milli(%d) LIMIT 1",
		queryOrg, w.now.Add(-30*24*time.Hour))).Scan(&phone, &eventType, &day)
	if err != nil {
		return fmt.Errorf("draw an event: %w", err)
	}
	statements := []struct{ name, text string }{
		{"a constant", "SELECT 1"},
		{"a lead's events of a type and day", fmt.Sprintf("SELECT event_type, occurred_at, metadata FROM events WHERE event_type = '%s' AND phone = %d AND toDate(occurred_at) = '%s'", eventType, phone, day)},
		{"an hour of a type, by minute", fmt.Sprintf("SELECT toStartOfMinute(occurred_at) AS t, count() FROM events WHERE event_type = '%s' AND occurred_at >= '%s' AND occurred_at < '%[2]s 01:00:00' GROUP BY t ORDER BY t", eventType, day)},
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
				return w.conn.Exec(ctx, "INSERT INTO audit_log (organization_id, at, entry, outcome, action, actor_type) VALUES (2, now64(3), rand64(), 'begun', 'sql.query', 'command')")
			}}, nil
		}})
	if _, err := s.sql("SELECT 1"); err != nil { // which makes the account
		return err
	}
	samples, err := compete(ctx, max(w.rounds, sqlRounds), contestants, nil)
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
	w.report.linef("\nSmall statements, ms: median (quartiles).")
	w.report.table([]string{"statement", "POST /api/v1/sql, ms", "ClickHouse over HTTP, ms", "added, ms", fmt.Sprintf("at most %s", ms(goalSQL))}, rows)
	w.report.linef("Alone: EXPLAIN AST of the last %s ms; an entry of the audit log, on the disk, %s ms (it is written beside the tree and the statement).",
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
