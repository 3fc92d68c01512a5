package query

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"leadevents"
)

// exportedEvents are n, with what needs care in some format.
func exportedEvents(n int) []leadevents.StoredEvent {
	types := []string{"signup", `say "hi", ok`, "two\nlines", "é <&> \u2028", "=1+1", "\x7f\t\\"}
	metadata := []string{`{}`, `{"a":1}`, `{"a":"x,\"y\"\n","b":{"c":[1e400,"<&>"]}}`, `{"a":12345678901234567890}`, `{"k":"\ud83d"}`}
	var events []leadevents.StoredEvent
	for i := range n {
		events = append(events, leadevents.StoredEvent{
			EventType: types[i%len(types)], Phone: leadevents.Phone(15550000000 + i), OccurredAt: leadevents.MaxOccurredAt - leadevents.Millis(i),
			Metadata: []byte(metadata[i%len(metadata)]), IngestedAt: leadevents.Millis(1778610840000 + i), Batch: leadevents.BatchID(1<<63 - 1 - i/3),
		})
	}
	return events
}

// exportEvents writes a file; its writer gets pieces that are gone afterwards.
func exportEvents(t *testing.T, format string, events []leadevents.StoredEvent, piece int) []byte {
	t.Helper()
	var out bytes.Buffer
	file := eventFormats[format].begin(&out)
	for part := range slices.Chunk(events, piece) {
		given := slices.Clone(part)
		for i := range given {
			given[i].Metadata = slices.Clone(given[i].Metadata)
		}
		if err := file.write(given); err != nil {
			t.Fatal(err)
		}
		for i := range given {
			for j := range given[i].Metadata {
				given[i].Metadata[j] = '!'
			}
			given[i] = leadevents.StoredEvent{}
		}
	}
	if err := file.end(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// fields are an event as every format has it.
func fields(e leadevents.StoredEvent) []string {
	return []string{e.Phone.String(), e.EventType, e.OccurredAt.String(), string(e.Metadata), e.IngestedAt.String(), e.Batch.String()}
}

// readEvents reads a file back.
func readEvents(t *testing.T, format string, file []byte) (events [][]string) {
	t.Helper()
	switch format {
	case "ndjson":
		lines := strings.Split(strings.TrimSuffix(string(file), "\n"), "\n")
		for _, line := range lines[:len(lines)-1] {
			var e struct {
				PhoneE164, EventType, OccurredAt, IngestedAt, BatchID string
				Metadata                                              json.RawMessage
			}
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			events = append(events, []string{e.PhoneE164, e.EventType, e.OccurredAt, string(e.Metadata), e.IngestedAt, e.BatchID})
		}
		if want := fmt.Sprintf(`{"end":true,"events":%d}`, len(events)); lines[len(lines)-1] != want {
			t.Errorf("the last line is %s, want %s", lines[len(lines)-1], want)
		}
	case "csv":
		records, err := csv.NewReader(bytes.NewReader(file)).ReadAll()
		if err != nil || !slices.Equal(records[0], []string{"phoneE164", "eventType", "occurredAt", "metadata", "ingestedAt", "batchId"}) {
			t.Fatal(records[0], err)
		}
		events = records[1:]
	case "parquet":
		r := parquet.NewGenericReader[parquetEvent](bytes.NewReader(file))
		rows := make([]parquetEvent, r.NumRows())
		if n, err := r.Read(rows); n != len(rows) || err != nil && err != io.EOF {
			t.Fatal(n, err)
		}
		for _, e := range rows {
			events = append(events, []string{e.PhoneE164, e.EventType, leadevents.Millis(e.OccurredAt).String(), e.Metadata, leadevents.Millis(e.IngestedAt).String(), e.BatchID})
		}
	}
	return events
}

// Every format holds every event whole, in whatever pieces they come, and is the same
// bytes each time.
func TestExportsHoldEveryEventWhole(t *testing.T) {
	for _, format := range EventFormats() {
		for _, n := range []int{0, 1, 7, parquetPiece, parquetPiece + 1, 2*parquetPiece + 5} {
			events := exportedEvents(n)
			file := exportEvents(t, format, events, 8_192)
			if again := exportEvents(t, format, events, 1_000); !bytes.Equal(file, again) {
				t.Errorf("%s of %d events depends on the pieces in which they come", format, n)
			}
			got := readEvents(t, format, file)
			if len(got) != n {
				t.Fatalf("%s has %d events of %d", format, len(got), n)
			}
			for i, e := range events {
				if diff := cmp.Diff(fields(e), got[i]); diff != "" {
					t.Fatalf("%s, event %d:\n%s", format, i, diff)
				}
			}
		}
	}
}

// Metadata that a script has stored and that is no JSON does not make a line that is none.
func TestMetadataThatIsNoJSONIsAString(t *testing.T) {
	for _, text := range []string{"", "{", "\xff", "{}{}", "nul"} {
		line, err := appendEvent(nil, &leadevents.StoredEvent{EventType: "a", Metadata: []byte(text)})
		if err != nil || !json.Valid(line) {
			t.Errorf("%q: %s, %v", text, line, err)
		}
	}
}

// BenchmarkParquetEvents is what a row of an export costs here.
func BenchmarkParquetEvents(b *testing.B) {
	events := exportedEvents(8_192)
	began := time.Now()
	file := newParquetEvents(io.Discard)
	n := 0
	for b.Loop() {
		if err := file.write(events); err != nil {
			b.Fatal(err)
		}
		n += len(events)
	}
	b.ReportMetric(float64(time.Since(began).Nanoseconds())/float64(n), "ns/row")
}

// What is held of an export does not grow with the size of its metadata: row groups end
// by bytes too.
func TestRowGroupsOfEventsAreBoundedInBytes(t *testing.T) {
	events := exportedEvents(10_000)
	large := []byte(`{"a":"` + strings.Repeat("x", 8_000) + `"}`)
	for i := range events {
		events[i].Metadata = large
	}
	file := exportEvents(t, "parquet", events, 2_048)
	read, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(read.RowGroups()); read.NumRows() != int64(len(events)) || n < 2 {
		t.Errorf("%d rows in %d groups", read.NumRows(), n)
	}
	for i, group := range read.Metadata().RowGroups {
		if group.TotalByteSize > 40<<20 || group.NumRows == 0 {
			t.Errorf("row group %d has %d rows of %d MiB", i, group.NumRows, group.TotalByteSize>>20)
		}
	}
}
