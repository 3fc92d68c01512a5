package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"leadevents/query/audience"
)

// analyst runs `events` against a server that answers as the test says.
func analyst(t *testing.T, answer http.HandlerFunc, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	root := newRoot()
	var out, problems bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&problems)
	root.SetArgs(append([]string{"events", "--url", server.URL, "--key", "k"}, args...))
	err = root.ExecuteContext(context.Background())
	return out.String(), problems.String(), err
}

// What was broken off is an error, exit code 1, whatever was printed of it.
func TestABrokenExportIsAnError(t *testing.T) {
	for _, c := range []struct {
		format, text string
		cut          bool
	}{
		{"ndjson", "{}\n", true},
		{"ndjson", "{}\n", false}, // something between has made an end of it
		{"ndjson", `{"end":true,"events":0}`, false},
		{"csv", "phoneE164\r\n", true},
		{"parquet", "PAR1", true},
	} {
		_, _, err := analyst(t, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, c.text)
			if c.cut {
				_ = http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			}
		}, "--format", c.format)
		if err == nil || exitCode(err) != exitFailed || !strings.Contains(err.Error(), "broken off") {
			t.Errorf("%s %q: %v", c.format, c.text, err)
		}
	}
	whole := "{}\n{\"end\":true,\"events\":1}\n"
	out, _, err := analyst(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, whole) }, "--format", "ndjson")
	if err != nil || out != whole {
		t.Errorf("%q, %v", out, err)
	}
}

// Dates are those of UTC, --last ends at --to, and errors name the flags.
func TestTimesOfAShell(t *testing.T) {
	var asked url.Values
	none := func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.Query()
		_, _ = io.WriteString(w, `{"events":[],"nextCursor":null}`)
	}
	for args, want := range map[string]string{
		"--from 2026-05-01":                               "2026-05-01T00:00:00.000Z ",
		"--from 2026-05-01T02:00:00+02:00":                "2026-05-01T00:00:00.000Z ",
		"--to 2026-05-01 --last 36h":                      "2026-04-29T12:00:00.000Z 2026-05-01T00:00:00.000Z",
		"--from 2026-05-01 --to 2026-06-01T00:00:00.001Z": "2026-05-01T00:00:00.000Z 2026-06-01T00:00:00.001Z",
	} {
		_, _, err := analyst(t, none, strings.Fields(args)...)
		if got := asked.Get("from") + " " + asked.Get("to"); err != nil || got != want {
			t.Errorf("%s asks for %q, %v; want %q", args, got, err, want)
		}
	}
	for args, want := range map[string]string{
		"--from yesterday":            `--from is "yesterday": it must be a time such as 2026-05-12T18:34:00Z, or a date`,
		"--phone 12":                  `--phone is "12": it must be a possible phone number, such as`,
		"--last 1w":                   `--last is "1w": it must be a time such as 120m`,
		"--last 1d --from 2026-05-01": "--last and --from both say when the range begins",
		"--where amountUsd~over~5":    "--where[0].op must be one of",
	} {
		flags := strings.Fields(args)
		for i := range flags {
			flags[i] = strings.ReplaceAll(flags[i], "~", " ")
		}
		_, _, err := analyst(t, none, flags...)
		if _, ok := errors.AsType[*usageError](err); !ok || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %s", args, err, want)
		}
	}
}

// The table is of as many requests as it takes, also where pages are short or empty.
func TestTheTableGoesOnBehindShortPages(t *testing.T) {
	var asked []string
	out, said, err := analyst(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Query().Get("limit")+" "+r.URL.Query().Get("cursor"))
		event := fmt.Sprintf(`{"phoneE164":"+1555%d","eventType":"a","occurredAt":"2026-05-12T18:34:00.000Z","metadata":{"n":1}}`, len(asked))
		switch len(asked) {
		case 1:
			_, _ = fmt.Fprintf(w, `{"events":[%s],"nextCursor":"x"}`, event)
		case 2:
			_, _ = io.WriteString(w, `{"events":[],"nextCursor":"y"}`)
		default:
			_, _ = fmt.Fprintf(w, `{"events":[%s,%s],"nextCursor":"z"}`, event, event)
		}
	}, "--limit", "3", "--where", "a.eq eq 5", "--where", `[{"path":"b","op":"exists","value":true}]`)
	if err != nil || strings.Join(asked, ",") != "3 ,2 x,2 y" || strings.Count(out, "+1555") != 3 || !strings.Contains(said, "There are more") {
		t.Errorf("%v: asked %q, said %q\n%s", err, asked, said, out)
	}
}

func TestConditionsOfAShell(t *testing.T) {
	for text, want := range map[string]string{
		"amountUsd gte 100":       `[{"path":"amountUsd","op":"gte","value":100}]`,
		" plan.name  eq   gold  ": `[{"path":"plan.name","op":"eq","value":"gold"}]`,
		`code eq "5"`:             `[{"path":"code","op":"eq","value":"5"}]`,
		`eq eq eq`:                `[{"path":"eq","op":"eq","value":"eq"}]`,
		`name eq two words`:       `[{"path":"name","op":"eq","value":"two words"}]`,
		`a in [1,"x"]`:            `[{"path":"a","op":"in","value":[1,"x"]}]`,
		`[{"path":"a","op":"exists","value":true}]`: `[{"path":"a","op":"exists","value":true}]`,
	} {
		conditions, err := conditionsOf([]string{text})
		if got := string(audience.AppendConditions(nil, conditions)); err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", text, got, err, want)
		}
	}
}

func TestEventsRefusesWrongUsage(t *testing.T) {
	for _, args := range [][]string{
		{"--format", "xml"}, {"--limit", "0"}, {"--limit", "10001"}, {"--format", "csv", "--limit", "5"}, {"--phone", ""}, {"--phone", "12"},
		{"--types", "--type", "a"}, {"--types", "--format", "csv"}, {"--from", "yesterday"}, {"--where", "a eq"}, {"--where", "a like 5"}, {"--where", "[{"}, {"more"},
	} {
		_, _, err := analyst(t, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("asked %s", r.URL) }, args...)
		if _, ok := errors.AsType[*usageError](err); !ok {
			t.Errorf("%q: %v", args, err)
		}
	}
}
