package app

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"leadevents/clickhouse"
	"leadevents/configs"
)

// storedRow is a row of lead_events as SQL shows it.
type storedRow struct {
	Phone        uint64
	At, Metadata string
}

func rowsIn(t *testing.T, s configs.Settings, eventType string) []storedRow {
	t.Helper()
	db, err := clickhouse.Open(clickhouse.Config{
		Addrs: s.ClickHouse.Addrs, Database: s.ClickHouse.Database, User: s.ClickHouse.User, Password: s.ClickHouse.Password.Reveal(),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	rows, err := db.Conn().Query(t.Context(), `SELECT phone, toString(occurred_at), metadata FROM lead_events FINAL WHERE organization_id = 42 AND event_type = ? ORDER BY occurred_at, phone`, eventType)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var all []storedRow
	for rows.Next() {
		var r storedRow
		if err := rows.Scan(&r.Phone, &r.At, &r.Metadata); err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// What was accepted is in ClickHouse as the contract says it is kept.
func TestWhatIsStored(t *testing.T) {
	from, s := served(t)
	const phone = `"+15551234567"`
	deep := strings.Repeat(`{"a":`, 63) + `{}` + strings.Repeat(`}`, 63)
	for _, tc := range []struct{ name, row, at, metadata string }{
		{"milliseconds", rowOf(phone, `"2026-05-12T18:34:00.123Z"`, `null`), "2026-05-12 18:34:00.123", "{}"},
		{"nanoseconds are cut", rowOf(phone, `"2026-05-12T18:34:00.123999999Z"`, `null`), "2026-05-12 18:34:00.123", "{}"},
		{"a tenth", rowOf(phone, `"2026-05-12T18:34:00.1Z"`, `null`), "2026-05-12 18:34:00.100", "{}"},
		{"an offset ahead", rowOf(phone, `"2026-01-01T00:30:00+02:00"`, `null`), "2025-12-31 22:30:00.000", "{}"},
		{"an offset behind", rowOf(phone, `"2026-05-12T18:34:00-05:30"`, `null`), "2026-05-13 00:04:00.000", "{}"},
		{"a leap day", rowOf(phone, `"2024-02-29T23:59:59.999Z"`, `null`), "2024-02-29 23:59:59.999", "{}"},
		{"the first of all times", rowOf(phone, `"1970-01-01T00:00:00Z"`, `null`), "1970-01-01 00:00:00.000", "{}"},
		{"the last of all times", rowOf(phone, `"2099-12-31T23:59:59.999999Z"`, `null`), "2099-12-31 23:59:59.999", "{}"},
		{"no metadata", `{"phoneE164":` + phone + `,"occurredAt":"2026-05-12T18:34:00Z"}`, "2026-05-12 18:34:00.000", "{}"},
		{"compact metadata", rowOf(phone, `"2026-05-12T18:34:00Z"`, " { \"b\" : [ 1 , 2.50 ] ,\n\t\"a\" : \"x  y\" , \"a\" : null } "), "2026-05-12 18:34:00.000", `{"b":[1,2.50],"a":"x  y","a":null}`},
		{"metadata as sent", rowOf(phone, `"2026-05-12T18:34:00Z"`, `{"\u0061":"\ud83d\ude00 😀 \"\\","n":12345678901234567890.10e+1}`), "2026-05-12 18:34:00.000", `{"\u0061":"\ud83d\ude00 😀 \"\\","n":12345678901234567890.10e+1}`},
		{"64 levels", rowOf(phone, `"2026-05-12T18:34:00Z"`, deep), "2026-05-12 18:34:00.000", deep},
		{"of a field twice, the last", `{"phoneE164":7,"phoneE164":` + phone + `,"occurredAt":"x","occurredAt":"2026-05-12T18:34:00Z","metadata":1,"metadata":{"a":1}}`, "2026-05-12 18:34:00.000", `{"a":1}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a, _ := from.ingest(callBody("stored: "+tc.name, tc.row), sending{})
			want := []storedRow{{15551234567, tc.at, tc.metadata}}
			if diff := cmp.Diff(want, rowsIn(t, s, "stored: "+tc.name)); diff != "" {
				t.Errorf("%s\nwant (-), stored (+):\n%s", a.body, diff)
			}
		})
	}

	t.Run("eventType is kept as sent", func(t *testing.T) {
		for _, eventType := range []string{strings.Repeat("😀", 128), "Signup", "signup", " signup", "\u0000 \" \\ ' {x:UInt8} %"} {
			if a, r := from.ingest(callBody(eventType, rowOf(phone, `"2026-05-12T18:34:00Z"`, `null`)), sending{}); r.Inserted != 1 {
				t.Errorf("%q: %s", eventType, a.body)
			}
			if got := len(rowsIn(t, s, eventType)); got != 1 {
				t.Errorf("%q: %d rows", eventType, got)
			}
		}
	})

	// Rows whose badness is large or deep are rows all the same.
	t.Run("one bad row never harms another", func(t *testing.T) {
		const at = `"2026-05-12T18:34:00Z"`
		good := func(n string) string { return rowOf(`"+4915112345`+n+`"`, at, `{}`) }
		a, r := from.ingest(callBody("harmless",
			good("001"),
			rowOf(phone, at, `{"a":`+strings.Repeat("[", 1_000_000)+strings.Repeat("]", 1_000_000)+`}`),
			good("002"),
			rowOf(phone, at, `{"a":"`+strings.Repeat("x", 5_000_000)+`"}`),
			good("003"),
			rowOf(`"`+strings.Repeat("5", 1_000_000)+`"`, at, `{}`),
			rowOf(phone, `"`+strings.Repeat("2026", 100_000)+`"`, `{}`),
			good("004"),
			`[[[{"phoneE164":"+15551234567"}]]]`,
			good("005"),
		), sending{})
		var reasons []string
		for _, reject := range r.Rejects {
			reasons = append(reasons, reject.Reason)
		}
		want := []string{"invalid metadata", "metadata too large", "invalid phoneE164", "invalid occurredAt", "invalid event"}
		if diff := cmp.Diff(want, reasons); diff != "" || r.Inserted != 5 || len(rowsIn(t, s, "harmless")) != 5 {
			t.Errorf("%.300s\n%s", a.body, diff)
		}
	})
}
