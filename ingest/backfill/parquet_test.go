package backfill

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"

	"leadevents"
)

// parquetFile is rows as a Parquet file.
func parquetFile[T any](t testing.TB, rows []T, options ...parquet.WriterOption) []byte {
	t.Helper()
	var b bytes.Buffer
	w := parquet.NewGenericWriter[T](&b, options...)
	if _, err := w.Write(rows); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// nested has a column of every kind.
type nested struct {
	Phone      string           `parquet:"phone"`
	OccurredAt time.Time        `parquet:"occurred_at,timestamp(microsecond)"`
	Group      nestedGroup      `parquet:"group"`
	Maybe      *nestedGroup     `parquet:"maybe,optional"`
	Tags       []string         `parquet:"tags,list"`
	Plain      []int32          `parquet:"plain"`
	Groups     []nestedGroup    `parquet:"groups,list"`
	Map        map[string]int64 `parquet:"map"`
	ByNumber   map[int32]string `parquet:"by_number"`
	Price      int64            `parquet:"price,decimal(2:18)"`
	ID         [16]byte         `parquet:"id,uuid"`
	Bytes      []byte           `parquet:"bytes"`
	Day        int32            `parquet:"day,date"`
	Seen       int64            `parquet:"seen,timestamp(nanosecond)"`
	Clock      int64            `parquet:"clock,time(microsecond)"`
	Float      float64          `parquet:"float"`
	Small      float32          `parquet:"small"`
	Bool       bool             `parquet:"bool"`
	Unsigned   uint64           `parquet:"unsigned"`
	JSON       string           `parquet:"json,json"`
	Null       *int64           `parquet:"null,optional"`
}

type nestedGroup struct {
	A string  `parquet:"a"`
	B *int64  `parquet:"b,optional"`
	C []int64 `parquet:"c,list"`
}

func TestParquetNestedMetadata(t *testing.T) {
	at := time.Date(2026, 5, 12, 18, 34, 0, 123456000, time.UTC)
	seven := int64(7)
	rows, err := read(t, "f.parquet", parquetFile(t, []nested{
		{
			Phone: "+1555", OccurredAt: at,
			Group: nestedGroup{A: "x\"é", B: &seven, C: []int64{1, 2}}, Maybe: &nestedGroup{A: "y"},
			Tags: []string{"a", "", "b"}, Plain: []int32{-1, 2}, Groups: []nestedGroup{{A: "1", C: []int64{3}}, {A: "2", B: &seven}},
			Map: map[string]int64{"k\"": 1}, ByNumber: map[int32]string{5: "five"},
			Price: -29705, ID: [16]byte{0x12, 0x3e, 0x45, 0x67, 0xe8, 0x9b, 0x12, 0xd3, 0xa4, 0x56, 0x42, 0x66, 0x14, 0x17, 0x40, 0x00}, Bytes: []byte{0, 255},
			Day: 20585, Seen: at.UnixNano() + 1, Clock: 3_723_000_004, Float: 0.1, Small: 0.1, Bool: true, Unsigned: math.MaxUint64, JSON: ` {"a": [1, null]}`, Null: &seven,
		},
		{Phone: "+1556", OccurredAt: at, Price: 5, JSON: "{", Float: math.Inf(1), Small: 1e-9},
	}), typed)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`1 purchase +1555 2026-05-12T18:34:00.123Z {"group":{"a":"x\"é","b":7,"c":[1,2]},"maybe":{"a":"y","b":null,"c":[]},"tags":["a","","b"],"plain":[-1,2],` +
			`"groups":[{"a":"1","b":null,"c":[3]},{"a":"2","b":7,"c":[]}],"map":{"k\"":1},"by_number":{"5":"five"},"price":-297.05,` +
			`"id":"123e4567-e89b-12d3-a456-426614174000","bytes":"AP8=","day":"2026-05-12","seen":"2026-05-12T18:34:00.123456001Z","clock":"01:02:03.000004",` +
			`"float":0.1,"small":0.1,"bool":true,"unsigned":18446744073709551615,"json":{"a":[1,null]},"null":7}`,
		`2 purchase +1556 2026-05-12T18:34:00.123Z {"group":{"a":"","b":null,"c":[]},"tags":[],"plain":[],"groups":[],"map":{},"by_number":{},"price":0.05,` +
			`"id":"00000000-0000-0000-0000-000000000000","bytes":"","day":"1970-01-01","seen":"1970-01-01T00:00:00.000000000Z","clock":"00:00:00.000000",` +
			`"float":null,"small":1e-09,"bool":false,"unsigned":0,"json":"{"}`,
	}
	if diff := cmp.Diff(want, shorts(rows)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if want := `{"phone":"+1555","occurred_at":"2026-05-12T18:34:00.123456Z","group":`; !strings.HasPrefix(rows[0].Raw, want) || !strings.HasSuffix(rows[0].Raw, `"null":7}`) {
		t.Errorf("Raw is %s", rows[0].Raw)
	}
	// And the same comes out of Raw.
	again, err := read(t, "f.ndjson", []byte(rows[0].Raw), typed)
	if err != nil || len(again) != 1 || again[0].Meta != rows[0].Meta || again[0].Millis != rows[0].Millis {
		t.Errorf("again %+v, %v", again, err)
	}
}

func TestParquetTimes(t *testing.T) {
	type local struct {
		Phone string `parquet:"phone"`
		Time  int64  `parquet:"time,timestamp(millisecond:local)"`
	}
	type date struct {
		Phone string `parquet:"phone"`
		Date  int32  `parquet:"date,date"`
	}
	type text struct {
		Phone string  `parquet:"phone"`
		TS    *string `parquet:"ts,optional"`
	}
	type seconds struct {
		Phone int64 `parquet:"phone"`
		TS    int32 `parquet:"ts"`
	}
	type float struct {
		Phone []byte  `parquet:"phone"`
		TS    float64 `parquet:"ts"`
	}
	type impala struct {
		Phone string           `parquet:"phone"`
		TS    deprecated.Int96 `parquet:"ts"`
	}
	const ms = 1778610840000
	stamp := "2026-05-12 18:34:00"
	utc, berlin := Mapping{FixedType: "f", TimeZone: time.UTC}, Mapping{FixedType: "f", TimeZone: zone(t, "Europe/Berlin")}
	none := Mapping{FixedType: "f"}
	for _, c := range []struct {
		name    string
		content []byte
		mapping Mapping
		want    string // or the hint
	}{
		{"local", parquetFile(t, []local{{"+15551234567", ms}}), none, hintZone},
		{"local", parquetFile(t, []local{{"+15551234567", ms}}), berlin, "2026-05-12T16:34:00.000Z"},
		{"date", parquetFile(t, []date{{"+15551234567", 20585}}), none, hintZone},
		{"date", parquetFile(t, []date{{"+15551234567", 20585}}), utc, "2026-05-12T00:00:00.000Z"},
		{"before 1970", parquetFile(t, []date{{"+15551234567", -1}}), utc, hintRange},
		{"text", parquetFile(t, []text{{"+15551234567", &stamp}}), berlin, "2026-05-12T16:34:00.000Z"},
		{"null", parquetFile(t, []text{{"+15551234567", nil}}), berlin, leadevents.ReasonMissingOccurredAt},
		{"seconds", parquetFile(t, []seconds{{15551234567, ms / 1000}}), none, "2026-05-12T18:34:00.000Z"},
		{"float", parquetFile(t, []float{{[]byte("+15551234567"), ms/1000 + 0.25}}), none, "2026-05-12T18:34:00.250Z"},
		{"int96", parquetFile(t, []impala{{"+15551234567", deprecated.Int96{0, 0, 2440588 + 20585}}}), none, "2026-05-12T00:00:00.000Z"},
	} {
		rows, err := read(t, "f.parquet", c.content, c.mapping)
		if err != nil || len(rows) != 1 {
			t.Errorf("%s: %v, %v", c.name, rows, err)
			continue
		}
		if got := rows[0].OccurredAt + rows[0].Hint; got != c.want && !(rows[0].Refused == c.want && got == "") && !(c.name == "seconds" && got == c.want+hintNational) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestParquetColumns(t *testing.T) {
	type export struct {
		Phone      string  `parquet:"phoneE164"`
		Type       *string `parquet:"eventType,optional"`
		OccurredAt int64   `parquet:"occurredAt,timestamp"`
		Metadata   string  `parquet:"metadata"`
		Batch      string  `parquet:"batchId"`
	}
	signup := "signup"
	content := parquetFile(t, []export{
		{"+1555", &signup, 1778610840000, `{"a": 1}`, "7"},
		{"+1556", &signup, 1778610840000, ``, "7"},
		{"+15551234567", &signup, 1778610840000, `[]`, "7"},
		{"+15551234567", nil, 1778610840000, `{}`, "7"},
		{"+1555\xff", &signup, 1778610840000, `{}`, "7"},
		{"+1555", &signup, 1778610840000, "{\"\xff\":1}", "7"},
		{"+1555", &signup, 1778610840000, `{"a":"` + strings.Repeat("x", MaxLine) + `"}`, "7"},
	})
	rows, err := read(t, "f.parquet", content, Mapping{})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`1 signup +1555 2026-05-12T18:34:00.000Z {"a":1}`, `2 signup +1556 2026-05-12T18:34:00.000Z `, `3! invalid metadata`, `4! missing eventType`,
		`5! not UTF-8`, `6! not UTF-8`, `7! ` + refusedLong,
	}
	if diff := cmp.Diff(want, shorts(rows)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if want := `{"phoneE164":"+1555","eventType":"signup","occurredAt":"2026-05-12T18:34:00.000Z","metadata":{"a":1},"batchId":"7"}`; rows[0].Raw != want {
		t.Errorf("Raw is %s, want %s", rows[0].Raw, want)
	}
	rows, err = read(t, "f.parquet", content, Mapping{FixedType: "f", Metadata: []string{"batch_id", "phoneE164"}})
	if err != nil || rows[0].Meta != `{"batchId":"7","phoneE164":"+1555"}` {
		t.Errorf("chosen: %+v, %v", rows[0], err)
	}
	for says, m := range map[string]Mapping{`no column "tel"`: {FixedType: "f", Phone: "tel"}, "has other columns inside: --phone-column": {FixedType: "f", Phone: "group", OccurredAt: "occurred_at"}} {
		file := content
		if m.OccurredAt != "" {
			file = parquetFile(t, []nested{{}})
		}
		if _, err := read(t, "f.parquet", file, m); leadevents.KindOf(err) != leadevents.InvalidRequest || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
	if rows, err := read(t, "f.parquet", parquetFile(t, []export{}), Mapping{}); err != nil || rows != nil {
		t.Errorf("no rows: %v, %v", rows, err)
	}
}

func TestParquetDecimals(t *testing.T) {
	for _, c := range []struct {
		bytes []byte
		scale int
		want  string
	}{
		{[]byte{0}, 2, "0.00"}, {[]byte{0xFF}, 2, "-0.01"}, {[]byte{0x01, 0x00}, 0, "256"}, {[]byte{0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}, 3, "2361183241434822606.847"},
		{[]byte{0x80, 0, 0, 0, 0, 0, 0, 0, 0}, 20, "-23.61183241434822606848"}, {nil, 1, "0.0"},
	} {
		v := parquet.ByteArrayValue(c.bytes)
		if got := string(appendDecimal([]byte("x"), &v, c.scale)); got != "x"+c.want {
			t.Errorf("%x, scale %d: %s, want %s", c.bytes, c.scale, got, c.want)
		}
	}
	for bits, want := range map[uint16]string{0x3C00: "1", 0xC000: "-2", 0x3555: "0.33325195", 0: "0", 1: "5.9604645e-08", 0x7C00: "null"} {
		v := parquet.FixedLenByteArrayValue([]byte{byte(bits), byte(bits >> 8)})
		if got := string(appendFloat16(nil, &v)); got != want {
			t.Errorf("float16 %x: %s, want %s", bits, got, want)
		}
	}
}

// Slices of a row are its own until the next, over row groups and pages.
func TestParquetManyPages(t *testing.T) {
	var events []benchEvent
	for i := range 20_000 {
		events = append(events, benchEvent{fmt.Sprintf("+1555%07d", i), int64(i) * 1e6, fmt.Sprint(i), int64(i)})
	}
	rows, err := read(t, "f.parquet", parquetFile(t, events, parquet.MaxRowsPerRowGroup(3_000), parquet.PageBufferSize(1_000), parquet.Compression(&parquet.Snappy)), typed)
	if err != nil || len(rows) != len(events) {
		t.Fatal(len(rows), err)
	}
	for i, row := range rows {
		if row.Phone != events[i].Phone || row.Meta != fmt.Sprintf(`{"orderId":"%d","amountUsd":%d}`, i, i) || int64(row.Millis) != events[i].OccurredAt {
			t.Fatalf("row %d is %+v", i, row)
		}
	}
}
