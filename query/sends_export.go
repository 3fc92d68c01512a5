package query

import (
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/parquet-go/parquet-go"

	"leadevents"
)

// leadsFormat writes leads as a file of one format. The same leads are the same
// bytes: nothing in them tells when they were written, or in which pieces they came.
type leadsFormat struct {
	contentType string
	begin       func(w io.Writer) leadsWriter
}

// leadsWriter is one file.
type leadsWriter interface {
	write(phones []leadevents.Phone, externalIDs []string) error
	end() error
}

var leadsFormats = map[string]leadsFormat{
	"ndjson":  {"application/x-ndjson", func(w io.Writer) leadsWriter { return &ndjsonLeads{w: w} }},
	"csv":     {"text/csv; charset=utf-8", newCSVLeads},
	"parquet": {"application/vnd.apache.parquet", newParquetLeads},
}

// ndjsonLeads writes a line a lead, and one that says that it was all.
type ndjsonLeads struct {
	w     io.Writer
	buf   []byte
	leads uint64
}

func (f *ndjsonLeads) write(phones []leadevents.Phone, externalIDs []string) error {
	f.buf = f.buf[:0]
	for i, p := range phones {
		f.buf = p.AppendTo(append(f.buf, `{"phoneE164":"`...))
		f.buf = append(f.buf, `","externalId":`...)
		if id := externalIDs[i]; id == "" {
			f.buf = append(f.buf, "null"...)
		} else {
			var err error
			if f.buf, err = jsontext.AppendQuote(f.buf, id); err != nil {
				return fmt.Errorf("write an externalId as JSON: %w", err)
			}
		}
		f.buf = append(f.buf, "}\n"...)
	}
	f.leads += uint64(len(phones))
	_, err := f.w.Write(f.buf)
	return err
}

func (f *ndjsonLeads) end() error {
	_, err := fmt.Fprintf(f.w, "{\"end\":true,\"leads\":%d}\n", f.leads)
	return err
}

// csvLeads is CSV by RFC 4180. It has no last line of its own: a chunked answer
// that was cut off has no end, which every HTTP client tells. Not encoding/csv,
// which would write a line feed inside of an externalId as two characters.
type csvLeads struct {
	w   io.Writer
	buf []byte
}

func newCSVLeads(w io.Writer) leadsWriter {
	return &csvLeads{w: w, buf: []byte("phoneE164,externalId\r\n")}
}

func (f *csvLeads) write(phones []leadevents.Phone, externalIDs []string) error {
	for i, p := range phones {
		f.buf = append(p.AppendTo(f.buf), ',')
		if id := externalIDs[i]; strings.ContainsAny(id, "\",\r\n") {
			f.buf = append(append(append(f.buf, '"'), strings.ReplaceAll(id, `"`, `""`)...), '"')
		} else {
			f.buf = append(f.buf, id...)
		}
		f.buf = append(f.buf, "\r\n"...)
	}
	return f.end()
}

func (f *csvLeads) end() error {
	_, err := f.w.Write(f.buf)
	f.buf = f.buf[:0]
	return err
}

// parquetRowGroup is how many leads stand together: 3 MB in memory with
// externalIds of 20 bytes, and the most that a reader has to hold at once.
const parquetRowGroup = 100_000

// parquetPiece is how many rows are written at once. Where pages end depends on it,
// so it does not depend on the pieces in which leads come. Divides parquetRowGroup.
const parquetPiece = 10_000

// parquetLead is a row. Readers find an externalId that is not there as null.
type parquetLead struct {
	PhoneE164  string  `parquet:"phoneE164"`
	ExternalID *string `parquet:"externalId,optional"`
}

type parquetLeads struct {
	w    *parquet.GenericWriter[parquetLead]
	rows []parquetLead // up to parquetPiece
}

func newParquetLeads(w io.Writer) leadsWriter {
	return &parquetLeads{
		w:    parquet.NewGenericWriter[parquetLead](w, parquet.MaxRowsPerRowGroup(parquetRowGroup), parquet.Compression(&parquet.Zstd)),
		rows: make([]parquetLead, 0, parquetPiece),
	}
}

func (f *parquetLeads) write(phones []leadevents.Phone, externalIDs []string) error {
	for i, p := range phones {
		row := parquetLead{PhoneE164: p.String()}
		if id := externalIDs[i]; id != "" {
			row.ExternalID = &id
		}
		if f.rows = append(f.rows, row); len(f.rows) == parquetPiece {
			if err := f.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *parquetLeads) flush() error {
	if _, err := f.w.Write(f.rows); err != nil {
		return fmt.Errorf("write Parquet: %w", err)
	}
	f.rows = f.rows[:0]
	return nil
}

func (f *parquetLeads) end() error {
	if err := f.flush(); err != nil {
		return err
	}
	if err := f.w.Close(); err != nil {
		return fmt.Errorf("end Parquet: %w", err)
	}
	return nil
}
