package query

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/parquet-go/parquet-go"

	"leadevents"
)

// eventFormat writes events as a file of one format.
type eventFormat struct {
	contentType string
	begin       func(w io.Writer) eventWriter
}

// eventWriter is one file.
type eventWriter interface {
	write(events []leadevents.StoredEvent) error
	end() error
}

var eventFormats = map[string]eventFormat{
	"ndjson":  {"application/x-ndjson", func(w io.Writer) eventWriter { return &ndjsonEvents{w: w} }},
	"csv":     {"text/csv; charset=utf-8", newCSVEvents},
	"parquet": {"application/vnd.apache.parquet", newParquetEvents},
}

// EventFormats are the names of the formats that events are exported in.
func EventFormats() []string { return []string{"ndjson", "csv", "parquet"} }

// appendEvent appends an event as the API shows it.
func appendEvent(b []byte, e *leadevents.StoredEvent) ([]byte, error) {
	b = e.Phone.AppendTo(append(b, `{"phoneE164":"`...))
	b, err := jsontext.AppendQuote(append(b, `","eventType":`...), e.EventType)
	if err != nil {
		return nil, fmt.Errorf("write an event type as JSON: %w", err)
	}
	b = appendMoment(append(b, `,"occurredAt":"`...), e.OccurredAt)
	b = append(b, `","metadata":`...)
	if !json.Valid(e.Metadata) || !utf8.Valid(e.Metadata) {
		// What ingest stores is JSON; a script may have stored what is not. (jsontext is
		// stricter than ingest: it refuses names that stand twice and lone surrogates.)
		if b, err = jsontext.AppendQuote(b, bytes.ToValidUTF8(e.Metadata, []byte("\uFFFD"))); err != nil {
			return nil, fmt.Errorf("write metadata as JSON: %w", err)
		}
	} else {
		b = append(b, e.Metadata...)
	}
	b = appendMoment(append(b, `,"ingestedAt":"`...), e.IngestedAt)
	b = strconv.AppendUint(append(b, `","batchId":"`...), uint64(e.Batch), 10)
	return append(b, `"}`...), nil
}

func appendMoment(b []byte, m leadevents.Millis) []byte {
	return m.Time().AppendFormat(b, leadevents.TimeFormat)
}

// ndjsonEvents writes a line an event, and one that says that it was all.
type ndjsonEvents struct {
	w      io.Writer
	buf    []byte
	events uint64
}

func (f *ndjsonEvents) write(events []leadevents.StoredEvent) (err error) {
	f.buf = f.buf[:0]
	for i := range events {
		if f.buf, err = appendEvent(f.buf, &events[i]); err != nil {
			return err
		}
		f.buf = append(f.buf, '\n')
	}
	f.events += uint64(len(events))
	_, err = f.w.Write(f.buf)
	return err
}

func (f *ndjsonEvents) end() error {
	_, err := fmt.Fprintf(f.w, "{\"end\":true,\"events\":%d}\n", f.events)
	return err
}

// csvEvents is CSV by RFC 4180, with the metadata as JSON text. That it is whole is told
// by the end of the chunked answer, as for leads of a send.
type csvEvents struct {
	w   io.Writer
	buf []byte
}

func newCSVEvents(w io.Writer) eventWriter {
	return &csvEvents{w: w, buf: []byte("phoneE164,eventType,occurredAt,metadata,ingestedAt,batchId\r\n")}
}

func (f *csvEvents) write(events []leadevents.StoredEvent) error {
	b := f.buf
	for i := range events {
		e := &events[i]
		b = appendField(append(e.Phone.AppendTo(b), ','), e.EventType)
		b = append(appendMoment(append(b, ','), e.OccurredAt), ',')
		b = appendField(b, e.Metadata)
		b = append(appendMoment(append(b, ','), e.IngestedAt), ',')
		b = append(strconv.AppendUint(b, uint64(e.Batch), 10), "\r\n"...)
	}
	f.buf = b
	return f.end()
}

func (f *csvEvents) end() error {
	_, err := f.w.Write(f.buf)
	f.buf = f.buf[:0]
	return err
}

// appendField appends a field of CSV, in quotes where it must be.
func appendField[T string | []byte](b []byte, field T) []byte {
	quote := false
	for i := range len(field) {
		if c := field[i]; c == '"' || c == ',' || c == '\r' || c == '\n' {
			quote = true
			break
		}
	}
	if !quote {
		return append(b, field...)
	}
	b = append(b, '"')
	for i := range len(field) {
		if field[i] == '"' {
			b = append(b, '"')
		}
		b = append(b, field[i])
	}
	return append(b, '"')
}

// parquetEvent is a row. Times are numbers of milliseconds, marked as such; types and
// batches repeat, so they are written once a row group.
type parquetEvent struct {
	PhoneE164  string `parquet:"phoneE164"`
	EventType  string `parquet:"eventType,dict"`
	OccurredAt int64  `parquet:"occurredAt,timestamp(millisecond)"`
	Metadata   string `parquet:"metadata,json"`
	IngestedAt int64  `parquet:"ingestedAt,timestamp(millisecond)"`
	BatchID    string `parquet:"batchId,dict"`
}

// A row group is written when it is full, and held until then: by rows as for leads, and
// by bytes, for a hundred thousand rows with metadata of 8 KB are a gigabyte. So are
// the rows on their way there.
const (
	parquetGroupBytes = 32 << 20 // of texts
	parquetPieceBytes = 4 << 20
)

type parquetEvents struct {
	w    *parquet.GenericWriter[parquetEvent]
	rows []parquetEvent // up to parquetPiece

	size                  int // of the texts in rows
	groupRows, groupBytes int // of the row group, as far as it is written
}

// newParquetEvents compresses with Snappy: 0.38 µs of a processor a row instead of 0.72
// with Zstandard, which makes files of two thirds the size.
func newParquetEvents(w io.Writer) eventWriter {
	return &parquetEvents{
		w:    parquet.NewGenericWriter[parquetEvent](w, parquet.MaxRowsPerRowGroup(parquetRowGroup), parquet.Compression(&parquet.Snappy)),
		rows: make([]parquetEvent, 0, parquetPiece),
	}
}

func (f *parquetEvents) write(events []leadevents.StoredEvent) error {
	for len(events) > 0 {
		n := 0
		for n < len(events) && len(f.rows)+n < parquetPiece && f.size < parquetPieceBytes {
			f.size += textsOf(&events[n])
			n++
		}
		f.append(events[:n])
		events = events[n:]
		if len(f.rows) == parquetPiece || f.size >= parquetPieceBytes {
			if err := f.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// textsOf is the most that an event's texts are long, but for its type.
func textsOf(e *leadevents.StoredEvent) int { return 2*20 + 1 + len(e.Metadata) }

// append makes rows of events. Phones and batches are texts in one piece of memory, for
// one allocation a piece instead of two a row.
func (f *parquetEvents) append(events []leadevents.StoredEvent) {
	size := 0
	for i := range events {
		size += textsOf(&events[i])
	}
	texts := make([]byte, 0, size)
	ends := make([][3]int, len(events))
	for i := range events {
		texts = events[i].Phone.AppendTo(texts)
		ends[i][0] = len(texts)
		texts = append(texts, events[i].Metadata...)
		ends[i][1] = len(texts)
		texts = strconv.AppendUint(texts, uint64(events[i].Batch), 10)
		ends[i][2] = len(texts)
	}
	all, from := string(texts), 0
	for i := range events {
		e, at := &events[i], ends[i]
		f.rows = append(f.rows, parquetEvent{
			PhoneE164: all[from:at[0]], EventType: e.EventType, OccurredAt: int64(e.OccurredAt),
			Metadata: all[at[0]:at[1]], IngestedAt: int64(e.IngestedAt), BatchID: all[at[1]:at[2]],
		})
		from = at[2]
	}
}

func (f *parquetEvents) flush() error {
	if _, err := f.w.Write(f.rows); err != nil {
		return fmt.Errorf("write Parquet: %w", err)
	}
	f.groupRows, f.groupBytes = f.groupRows+len(f.rows), f.groupBytes+f.size
	clear(f.rows) // of their texts
	f.rows, f.size = f.rows[:0], 0
	if f.groupRows < parquetRowGroup && f.groupBytes < parquetGroupBytes {
		return nil
	}
	if err := f.w.Flush(); err != nil {
		return fmt.Errorf("write Parquet: %w", err)
	}
	f.groupRows, f.groupBytes = 0, 0
	return nil
}

func (f *parquetEvents) end() error {
	if err := f.flush(); err != nil {
		return err
	}
	if err := f.w.Close(); err != nil {
		return fmt.Errorf("end Parquet: %w", err)
	}
	return nil
}
