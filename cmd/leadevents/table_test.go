package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/mattn/go-runewidth"
)

// No line is wider than its terminal, nothing of an event is an order to it, and what
// is no terminal gets all of it.
func TestTheTableFitsItsTerminal(t *testing.T) {
	events := []listedEvent{
		{PhoneE164: "+15551234567", EventType: "mastery_purchase", OccurredAt: "2026-05-12T18:34:00.000Z", Metadata: json.RawMessage(`{"orderId":"ord_9F2","amountUsd":297,"plan":{"name":"gold"},"note":"` + strings.Repeat("é", 80) + `"}`)},
		{PhoneE164: "+442079460000", EventType: "\x1b[31mred" + strings.Repeat("日", 60), OccurredAt: "2026-05-12T18:34:00.000Z", Metadata: json.RawMessage("{\"a\":\"\u009b31m\"}")},
	}
	for _, width := range []int{0, 30, 60, 79, 80, 100, 120, 200} {
		var out bytes.Buffer
		if err := printEvents(tableOf(&out, width, eventColumns, "eventType", "metadata"), events); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			if n := runewidth.StringWidth(strings.TrimRight(line, "\n")); width >= 79 && n > width {
				t.Errorf("%d wide: %d columns: %s", width, n, line)
			}
		}
		if strings.ContainsAny(out.String(), "\x1b\u009b") {
			t.Errorf("%d wide: an order to the terminal: %q", width, out.String())
		}
		if !strings.Contains(out.String(), "2026-05-12T18:34:00.000Z") || !strings.Contains(out.String(), "+15551234567") {
			t.Errorf("%d wide:\n%s", width, &out)
		}
		if whole := strings.Contains(out.String(), strings.Repeat("é", 80)); whole != (width < 79) {
			t.Errorf("%d wide: the metadata is whole: %v\n%s", width, whole, &out)
		}
	}
}

func TestTablesOnATerminal(t *testing.T) {
	long := strings.Repeat("x", 50)
	for _, c := range []struct {
		claim  string
		width  int
		header string
		rows   [][]string
		want   string
	}{
		{"numbers stand to the right, ids and phones do not, nothing is neutral", 80, "name n usd batch_id phone", [][]string{{"a", "1", "-", "7", "1"}, {"日本", "1,234", "12.50", "12", "15551234567"}, {"b", "", "<0.1", sqlNull, ""}}, `
name      n    usd  batch_id  phone
a         1      -  7         1
日本  1,234  12.50  12        15551234567
b             <0.1  NULL
`},
		{"a long text gives way, and what is beside it does not", 40, "id text", [][]string{{"1", long}, {"2", "short"}}, `
id  text
1   xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…
2   short
`},
		{"what does not fit is a record a row, of which nothing is cut", 40, "at id text", [][]string{{"2026-05-12T18:34:00.000Z", "0123456789", long}, {"2026-05-13T18:34:00.000Z", "0", ""}}, `
at    2026-05-12T18:34:00.000Z
id    0123456789
text  ` + long + `

at    2026-05-13T18:34:00.000Z
id    0
text
`},
		{"no rows", 80, "at id", nil, `
at  id
`},
	} {
		var out bytes.Buffer
		table := tableOf(&out, c.width, strings.Fields(c.header))
		for _, row := range c.rows {
			table.add(row)
		}
		if err := table.end(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(strings.TrimPrefix(c.want, "\n"), out.String()); diff != "" {
			t.Errorf("%s (want -, got +):\n%s", c.claim, diff)
		}
	}
}

// Rows behind those that decided the widths are printed as they come.
func TestALongTableIsPrintedAsItComes(t *testing.T) {
	var out bytes.Buffer
	table := tableOf(&out, 80, []string{"n"})
	for i := range 100 * columnRows {
		table.add([]string{fmt.Sprint(i)})
	}
	if out.Len() == 0 {
		t.Error("nothing is printed before the end")
	}
	if err := table.end(); err != nil || table.rows != 100*columnRows || !strings.HasSuffix(out.String(), "\n99999\n") || strings.Count(out.String(), "\n") != 100*columnRows+1 {
		t.Errorf("%v: %d rows, %d lines", err, table.rows, strings.Count(out.String(), "\n"))
	}
}

func TestFindingsOnATerminal(t *testing.T) {
	const findings = "ok       settings    all known\n" +
		"warning  master key  it is not set, so no organization can use hmac mode, as it could\n" +
		"                     → set LEADEVENTS_MASTER_KEY to what `openssl rand -hex 32` prints, and keep it safe\n\n2 findings.\n"
	const want = "ok       settings    all known\n" +
		"warning  master key  it is not set, so no organization can use hmac mode, as it\n" +
		"                     could\n" +
		"                     → set LEADEVENTS_MASTER_KEY to what `openssl rand -hex 32`\n" +
		"                       prints, and keep it safe\n\n2 findings.\n"
	if diff := cmp.Diff(want, hanging(findings, true)); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
	if hanging(findings, false) != findings {
		t.Error("lines are wrapped for a script")
	}
}
