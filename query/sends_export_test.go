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

	"github.com/parquet-go/parquet-go"

	"leadevents"
	"leadevents/query/audience"
)

// exported are n leads, some with an externalId that needs care in every format.
func exported(n int) (phones []leadevents.Phone, ids []string) {
	awkward := []string{"", "crm-1", `say "hi", ok`, "two\nlines", " space ", "é <&> \u2028", "=1+1", "'"}
	for i := range n {
		phones = append(phones, leadevents.Phone(15550000000+i))
		ids = append(ids, awkward[i%len(awkward)])
	}
	return phones, ids
}

func export(t *testing.T, format string, phones []leadevents.Phone, ids []string, piece int) []byte {
	t.Helper()
	var out bytes.Buffer
	file := leadsFormats[format].begin(&out)
	for len(phones) > 0 {
		n := min(piece, len(phones))
		// A piece is only valid during the call.
		p, i := slices.Clone(phones[:n]), slices.Clone(ids[:n])
		if err := file.write(p, i); err != nil {
			t.Fatal(err)
		}
		clear(p)
		clear(i)
		phones, ids = phones[n:], ids[n:]
	}
	if err := file.end(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// readLeads reads a file back.
func readLeads(t *testing.T, format string, file []byte) (phones, ids []string) {
	t.Helper()
	switch format {
	case "ndjson":
		lines := strings.Split(strings.TrimSuffix(string(file), "\n"), "\n")
		for _, line := range lines[:len(lines)-1] {
			var l struct {
				PhoneE164  string
				ExternalID *string
			}
			if err := json.Unmarshal([]byte(line), &l); err != nil {
				t.Fatal(err)
			}
			phones = append(phones, l.PhoneE164)
			if ids = append(ids, ""); l.ExternalID != nil {
				ids[len(ids)-1] = *l.ExternalID
			}
		}
		if want := fmt.Sprintf(`{"end":true,"leads":%d}`, len(phones)); lines[len(lines)-1] != want {
			t.Errorf("the last line is %s, want %s", lines[len(lines)-1], want)
		}
	case "csv":
		records, err := csv.NewReader(bytes.NewReader(file)).ReadAll()
		if err != nil || !slices.Equal(records[0], []string{"phoneE164", "externalId"}) {
			t.Fatal(records[0], err)
		}
		for _, r := range records[1:] {
			phones, ids = append(phones, r[0]), append(ids, r[1])
		}
	case "parquet":
		r := parquet.NewGenericReader[parquetLead](bytes.NewReader(file))
		rows := make([]parquetLead, r.NumRows())
		if n, err := r.Read(rows); n != len(rows) || err != nil && err != io.EOF {
			t.Fatal(n, err)
		}
		for _, row := range rows {
			phones = append(phones, row.PhoneE164)
			if ids = append(ids, ""); row.ExternalID != nil {
				ids[len(ids)-1] = *row.ExternalID
			}
		}
	}
	return phones, ids
}

// Every format says the same of every lead, and the same bytes in whatever pieces
// the leads come.
func TestExportedLeadsAreReadBack(t *testing.T) {
	for format := range leadsFormats {
		for _, n := range []int{0, 1, 20, 1000} {
			phones, ids := exported(n)
			file := export(t, format, phones, ids, max(n, 1))
			for _, piece := range []int{1, 7, 999} {
				if !bytes.Equal(export(t, format, phones, ids, piece), file) {
					t.Errorf("%s of %d leads in pieces of %d has other bytes", format, n, piece)
				}
			}
			gotPhones, gotIDs := readLeads(t, format, file)
			if len(gotPhones) != n || n > 0 && !slices.Equal(gotIDs, ids) {
				t.Errorf("%s: %d leads %.200q, want %d %.200q", format, len(gotPhones), gotIDs, n, ids)
			}
			for i, p := range gotPhones {
				if p != phones[i].String() {
					t.Errorf("%s: lead %d is %s, want %s", format, i, p, phones[i])
				}
			}
		}
	}
}

// Parquet is written in row groups of a fixed size, whatever the pieces, so that
// neither side holds more than one.
func TestParquetHasFixedRowGroups(t *testing.T) {
	phones, ids := exported(2*parquetRowGroup + 5)
	file := export(t, "parquet", phones, ids, 10_000)
	if !bytes.Equal(file, export(t, "parquet", phones, ids, 33_333)) {
		t.Error("other pieces are other bytes")
	}
	f, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	var sizes []int64
	for _, g := range f.RowGroups() {
		sizes = append(sizes, g.NumRows())
	}
	if !slices.Equal(sizes, []int64{parquetRowGroup, parquetRowGroup, 5}) {
		t.Errorf("row groups of %v", sizes)
	}
}

// Equal sets of leads have one hash, others another, however they are split.
func TestSetsOfLeadsAreToldApart(t *testing.T) {
	hash := func(mode string, phones []leadevents.Phone, ids ...string) [32]byte {
		l := ListedLeads{Phones: slices.Clone(phones), ExternalIDs: slices.Clone(ids)}
		l.normalize()
		return audience.HashLeads(mode, l.Phones, l.ExternalIDs)
	}
	if hash("include", []leadevents.Phone{3, 1, 3}, "b", "a", "b") != hash("include", []leadevents.Phone{1, 3}, "a", "b") {
		t.Error("order and repetition make a difference")
	}
	seen := map[[32]byte]int{}
	for i, h := range [][32]byte{
		hash("include", nil), hash("exclude", nil), hash("include", []leadevents.Phone{1}), hash("include", []leadevents.Phone{1, 2}), hash("include", nil, "1"),
		hash("include", nil, "ab"), hash("include", nil, "a", "b"), hash("include", nil, "A", "b"), hash("include", []leadevents.Phone{1}, "a"),
	} {
		if other, twice := seen[h]; twice {
			t.Errorf("sets %d and %d have one hash", other, i)
		}
		seen[h] = i
	}
}
