package backfill

import (
	"strings"
	"testing"

	"leadevents"
)

func TestColumnsThatCannotBeTold(t *testing.T) {
	const utc = "2026-05-12T18:34:00Z"
	for _, c := range []struct {
		name, file, text string
		mapping          Mapping
		says             []string
	}{
		{"no phone", "f.csv", "who,date\n", typed, []string{`f.csv has no column that is known to be the phone`, `its columns are "who", "date"`, "--phone-column"}},
		{"no header", "f.csv", "+15551234567," + utc + ",x\n", typed, []string{`"+15551234567", "` + utc + `", "x"`, "--phone-column"}},
		{"no time", "f.csv", "phone,when\n", typed, []string{"the time", `"phone", "when"`, "--time-column"}},
		{"no type", "f.csv", "phone,date\n", Mapping{}, []string{"the event type", "--event-type", "--type-column"}},
		{"two phones", "f.csv", "phone,mobile,date\n", typed, []string{"2 columns that may be the phone", `"phone", "mobile"`, "--phone-column"}},
		{"two times", "f.csv", "phone,date,created_at\n", typed, []string{`"date", "created_at"`, "--time-column"}},
		{"two types", "f.csv", "phone,date,event,type\n", Mapping{}, []string{`"event", "type"`, "--type-column"}},
		{"the same name but for its case", "f.csv", "phone,Phone,date\n", typed, []string{`"phone", "Phone"`}},
		{"a name twice", "f.csv", "phone,date,a,a\n", typed, []string{`two columns "a"`}},
		{"a named column that is not there", "f.csv", "phone,date\n", Mapping{FixedType: "f", Phone: "tel"}, []string{`no column "tel"`, "--phone-column", `"phone", "date"`}},
		{"a chosen column that is not there", "f.csv", "phone,date\n", Mapping{FixedType: "f", Metadata: []string{"a"}}, []string{`no column "a"`, "--metadata"}},
		{"a header that is not UTF-8", "f.csv", "phone,d\xe9te\n", typed, []string{"the header of"}},
		{"a header of 2 MiB", "f.csv", strings.Repeat("x", 2<<20) + "\n", typed, []string{"the header of"}},
		{"many columns", "f.csv", strings.Repeat("x", 50) + strings.Repeat(",y", 100) + "\n", typed, []string{strings.Repeat("x", 40) + "…", ", …"}},
		{"UTF-16", "f.csv", "\xFF\xFEp\x00h\x00", typed, []string{"UTF-16", "iconv -f UTF-16 -t UTF-8"}},
		{"UTF-16 without a mark", "f.csv", "p\x00h\x00o\x00", typed, []string{"iconv -f UTF-16LE -t UTF-8"}},
		{"UTF-16 of the other order without a mark", "f.csv", "\x00p\x00h\x00o", typed, []string{"iconv -f UTF-16BE -t UTF-8"}},
		{"UTF-16 of the other order", "f.ndjson", "\xFE\xFF\x00p\x00h", typed, []string{"UTF-16"}},
		{"NDJSON without a phone", "f.ndjson", `{"who":"+1555","date":"` + utc + `"}`, typed, []string{`"who", "date"`, "--phone-column"}},
		{"NDJSON with two phones, in two rows", "f.ndjson", `{"phone":"+1555","date":"` + utc + `"}` + "\n" + `{"mobile":"+1555","date":"` + utc + `"}`, typed, []string{`"phone", "mobile"`}},
		{"a named field that is not there", "f.ndjson", `{"phone":"+1555","date":"` + utc + `"}`, Mapping{FixedType: "f", Phone: "tel"}, []string{`no column "tel"`}},
		{"a JSON array", "f.json", `[{"phone":"+1555"}]`, typed, []string{"is a JSON array", "jq -c '.[]'"}},
		{"a region that is none", "f.csv", "phone,date\n", Mapping{FixedType: "f", Region: "us"}, []string{`--region "us"`}},
		{"a type of 129 characters", "f.csv", "phone,date\n", Mapping{FixedType: strings.Repeat("é", 129)}, []string{"--event-type has 129 characters"}},
		{"a time format that is none", "f.csv", "phone,date\n", Mapping{FixedType: "f", TimeFormat: "x"}, []string{`"x"`}},
	} {
		_, err := read(t, c.file, []byte(c.text), c.mapping)
		if leadevents.KindOf(err) != leadevents.InvalidRequest {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		for _, says := range c.says {
			if !strings.Contains(err.Error(), says) {
				t.Errorf("%s: %v\ndoes not say %s", c.name, err, says)
			}
		}
		if len(err.Error()) > 4_000 {
			t.Errorf("%s: %d bytes", c.name, len(err.Error()))
		}
	}
}

func TestColumnsThatAreGuessed(t *testing.T) {
	for header, want := range map[string]columns{
		"phone,date":                     {phone: "phone", occurredAt: "date"},
		"PHONE_NUMBER,Created At":        {phone: "PHONE_NUMBER", occurredAt: "Created At"},
		"msisdn,Event-Time":              {phone: "msisdn", occurredAt: "Event-Time"},
		"phone,phoneE164,occurredAt,ts":  {phone: "phoneE164", occurredAt: "occurredAt"},
		"phone_e164,phone,occurred_at,a": {phone: "phone_e164", occurredAt: "occurred_at"},
		"phone,date,metadata":            {phone: "phone", occurredAt: "date", metadata: "metadata"},
	} {
		got, err := tellColumns("f", strings.Split(header, ","), false, &typed, func(string) bool { return true })
		if err != nil || got.phone != want.phone || got.occurredAt != want.occurredAt || got.eventType != want.eventType || got.metadata != want.metadata {
			t.Errorf("%s: %+v, %v", header, got, err)
		}
	}
}

// The columns of the last file are told before the first row.
func TestAllFilesAreLookedAtFirst(t *testing.T) {
	good, bad := write(t, "a.csv", []byte("phone,date\n")), write(t, "b.csv", []byte("who,date\n"))
	_, err := Open(t.Context(), findAll(t, good, bad), typed, Position{})
	if leadevents.KindOf(err) != leadevents.InvalidRequest || !strings.Contains(err.Error(), "b.csv") {
		t.Fatal(err)
	}
	source, err := Open(t.Context(), findAll(t, bad, good), typed, Position{File: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := source.Close(); err != nil {
		t.Fatal(err)
	}
}
