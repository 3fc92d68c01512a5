package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"
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
		"amountUsd gte 100":       `[{"op":"gte","path":"amountUsd","value":100}]`,
		" plan.name  eq   gold  ": `[{"op":"eq","path":"plan.name","value":"gold"}]`,
		`code eq "5"`:             `[{"op":"eq","path":"code","value":"5"}]`,
		`eq eq eq`:                `[{"op":"eq","path":"eq","value":"eq"}]`,
		`name eq two words`:       `[{"op":"eq","path":"name","value":"two words"}]`,
		`a in [1,"x"]`:            `[{"op":"in","path":"a","value":[1,"x"]}]`,
		`[{"path":"a","op":"exists","value":true}]`: `[{"path":"a","op":"exists","value":true}]`,
	} {
		got, err := (&listing{where: []string{text}}).conditions()
		if err != nil || got != want {
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

// No line is wider than its terminal, nothing of an event is an order to it, and what
// is no terminal gets all of it.
func TestTheTableFitsItsTerminal(t *testing.T) {
	events := []listedEvent{
		{PhoneE164: "+15551234567", EventType: "mastery_purchase", OccurredAt: "2026-05-12T18:34:00.000Z", Metadata: json.RawMessage(`{"orderId":"ord_9F2","amountUsd":297,"plan":{"name":"gold"},"note":"` + strings.Repeat("é", 80) + `"}`)},
		{PhoneE164: "+442079460000", EventType: "\x1b[31mred" + strings.Repeat("x", 60), OccurredAt: "2026-05-12T18:34:00.000Z", Metadata: json.RawMessage("{\"a\":\"\u009b31m\"}")},
	}
	for _, width := range []int{0, 30, 60, 79, 80, 100, 120, 200} {
		var out bytes.Buffer
		if err := printEvents(&out, width, events); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); width > 0 && n > width {
				t.Errorf("%d wide: %d characters: %s", width, n, line)
			}
		}
		if strings.ContainsAny(out.String(), "\x1b\u009b") {
			t.Errorf("%d wide: an order to the terminal: %q", width, out.String())
		}
		if !strings.Contains(out.String(), "2026-05-12") || width >= 60 && !strings.Contains(out.String(), "+15551234567") || width == 0 && !strings.Contains(out.String(), strings.Repeat("é", 80)) {
			t.Errorf("%d wide:\n%s", width, &out)
		}
	}
}
