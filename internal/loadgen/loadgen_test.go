package loadgen

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nyaruka/phonenumbers"

	"leadevents"
)

var now = leadevents.MillisOf(time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC))

func generator(t testing.TB, change func(*Config)) *Generator {
	t.Helper()
	cfg := Config{Seed: 7, Org: 42, Leads: 20_000, BatchRows: 100, Times: History(now, 3, 0), Repeats: 50, Rejects: 5}
	if change != nil {
		change(&cfg)
	}
	g, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestNewRefuses(t *testing.T) {
	for claim, change := range map[string]func(*Config){
		"no organization":       func(c *Config) { c.Org = 0 },
		"too many event types":  func(c *Config) { c.EventTypes = make([]string, 65) },
		"too many leads":        func(c *Config) { c.Leads = 1<<32 + 1 },
		"no time range":         func(c *Config) { c.Times = Times{} },
		"a time range backward": func(c *Config) { c.Times = Times{From: now, To: now - 1} },
		"times beyond 2100":     func(c *Config) { c.Times.To = leadevents.MaxOccurredAt + 1 },
		"only repeats":          func(c *Config) { c.Repeats = 1000 },
		"only rejects":          func(c *Config) { c.Rejects = 1000 },
	} {
		cfg := Config{Org: 1, Times: Live(now)}
		change(&cfg)
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: no error", claim)
		}
	}
}

func TestTheSameSeedGivesTheSameBytes(t *testing.T) {
	a, b := generator(t, nil), generator(t, nil)
	other := generator(t, func(c *Config) { c.Seed = 8 })
	for batch := range uint64(20) {
		// In another order and into a used buffer: an event depends on nothing but its number.
		one := a.AppendRequest(nil, batch, 2000)
		b.AppendRequest(nil, 19-batch, 2000)
		if !bytes.Equal(one, b.AppendRequest([]byte{}, batch, 2000)) {
			t.Fatalf("call %d differs between two generators of one seed", batch)
		}
		if bytes.Equal(one, other.AppendRequest(nil, batch, 2000)) {
			t.Fatalf("call %d is the same with another seed", batch)
		}
	}
}

func TestEveryCompletionOfEveryPrefixIsAValidMobileNumber(t *testing.T) {
	if n := len(countries()); n != 30 {
		t.Errorf("%d countries, want 30", n)
	}
	total, n := 0, 0
	for _, c := range countries() {
		total += c.slots
		for range c.slots {
			r := ranges[n]
			n++
			for k := range uint64(40) {
				phone := leadevents.Phone(r.first + scramble(k)%r.size).String()
				number, err := phonenumbers.Parse(phone, "")
				switch {
				case err != nil:
					t.Fatalf("%s of %s does not parse: %v", phone, c.region, err)
				case !phonenumbers.IsValidNumberForRegion(number, c.region):
					t.Fatalf("%s is not a valid number of %s", phone, c.region)
				case phonenumbers.Format(number, phonenumbers.E164) != phone:
					t.Fatalf("%s is not E.164 of itself", phone)
				}
				if kind := phonenumbers.GetNumberType(number); kind != phonenumbers.MOBILE && kind != phonenumbers.FIXED_LINE_OR_MOBILE {
					t.Fatalf("%s is not a mobile number", phone)
				}
			}
		}
	}
	if total != slots {
		t.Errorf("the countries share %d slots, want %d", total, slots)
	}
}

func TestRejectedPhonesAreRejected(t *testing.T) {
	phone := string((&Event{Rejected: true}).appendPhone(nil))
	if number, err := phonenumbers.Parse(phone, ""); err == nil && phonenumbers.IsPossibleNumber(number) {
		t.Errorf("%s is possible", phone)
	}
}

func TestRequestsAreWhatTheAPITakes(t *testing.T) {
	g := generator(t, nil)
	events := 0
	for batch := range g.Requests(2050) {
		var body struct {
			OrganizationID uint64 `json:"organizationId"`
			EventType      string
			Events         []struct {
				PhoneE164  string
				OccurredAt time.Time
				Metadata   map[string]any
			}
		}
		decoder := json.NewDecoder(bytes.NewReader(g.AppendRequest(nil, batch, 2050)))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&body); err != nil {
			t.Fatalf("call %d: %v", batch, err)
		}
		if body.OrganizationID != 42 || body.EventType != g.EventType(batch) {
			t.Fatalf("call %d is of organization %d and type %q", batch, body.OrganizationID, body.EventType)
		}
		for i, sent := range body.Events {
			var e Event
			g.Event(batch*100+uint64(i), &e)
			if leadevents.MillisOf(sent.OccurredAt) != e.OccurredAt || sent.PhoneE164 != string(e.appendPhone(nil)) || (sent.Metadata == nil) != (string(e.Metadata) == noMetadata) {
				t.Fatalf("event %d of call %d is %+v, made was %+v", i, batch, sent, e)
			}
		}
		events += len(body.Events)
	}
	if events != 2050 {
		t.Errorf("%d events in all calls, want 2050", events)
	}
}

func TestMetadataIsCompactJSON(t *testing.T) {
	for kind := range templates {
		for r := range uint64(500) {
			metadata := appendMetadata(nil, kind, scramble(r))
			var compact bytes.Buffer
			if err := json.Compact(&compact, metadata); err != nil {
				t.Fatalf("%s: %s: %v", templates[kind].eventType, metadata, err)
			}
			if !bytes.Equal(compact.Bytes(), metadata) || metadata[0] != '{' {
				t.Fatalf("%s: %s is not a compact object", templates[kind].eventType, metadata)
			}
		}
	}
}

func TestCSVReadsBack(t *testing.T) {
	g := generator(t, nil)
	text := []byte(CSVHeader)
	var e Event
	for i := range uint64(500) {
		g.Event(i, &e)
		text = e.AppendCSV(text)
	}
	rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for i, row := range rows[1:] {
		g.Event(uint64(i), &e)
		metadata := string(e.Metadata)
		if metadata == noMetadata {
			metadata = ""
		}
		if row[0] != string(e.appendPhone(nil)) || row[1] != e.OccurredAt.String() || row[2] != metadata {
			t.Fatalf("line %d is %q, made was %+v", i+1, row, e)
		}
	}
}

func TestTimesLieWhereAsked(t *testing.T) {
	for claim, times := range map[string]Times{
		"live": Live(now), "horizon": Horizon(now), "history": History(now, 5, 0), "history in order": History(now, 5, 3000),
	} {
		g := generator(t, func(c *Config) { c.Times, c.Repeats = times, 0 })
		var e Event
		before := leadevents.Millis(0)
		for i := range uint64(3000) {
			g.Event(i, &e)
			if e.OccurredAt < times.From || e.OccurredAt >= times.To {
				t.Fatalf("%s: event %d occurred at %s, outside of %s to %s", claim, i, e.OccurredAt, times.From, times.To)
			}
			if e.Arrived < e.OccurredAt {
				t.Fatalf("%s: event %d arrived at %s, before it occurred at %s", claim, i, e.Arrived, e.OccurredAt)
			}
			if times.InOrder > 0 && e.OccurredAt < before {
				t.Fatalf("%s: event %d occurred before the one before it", claim, i)
			}
			before = e.OccurredAt
		}
	}
	if newest := History(now, 3, 0).To; newest > now.Add(-72*time.Hour) {
		t.Errorf("history ends at %s, within the horizon", newest)
	}
}

func TestDistributionsAreSkewed(t *testing.T) {
	g := generator(t, func(c *Config) { c.BatchRows, c.Repeats = 1, 0 })
	const n = 200_000
	types, leads, kept := map[string]int{}, map[leadevents.Phone]int{}, 0
	var e Event
	for i := range uint64(n) {
		g.Event(i, &e)
		types[e.EventType]++
		leads[e.Phone]++
		if !e.Rejected {
			kept++
		}
	}
	if share := float64(types["page_view"]) / n; share < 0.30 || share > 0.34 {
		t.Errorf("the first type has %.3f of the events, want about 0.32", share)
	}
	if len(types) != 12 || types["refund_requested"] == 0 {
		t.Errorf("types are %v, want 12 of them", types)
	}
	counts := make([]int, 0, len(leads))
	for _, c := range leads {
		counts = append(counts, c)
	}
	slices.Sort(counts)
	busiest := 0
	for _, c := range counts[len(counts)-200:] { // 1 % of the pool
		busiest += c
	}
	if share := float64(busiest) / n; share < 0.09 || share > 0.13 {
		t.Errorf("the busiest 1 %% of the leads have %.3f of the events, want about 0.10", share)
	}
	if share := float64(n-kept) / n; share < 0.004 || share > 0.006 {
		t.Errorf("%.4f of the events are rejected, want about 0.005", share)
	}
}

func TestRepeatsHaveTheirShare(t *testing.T) {
	for _, repeats := range []uint64{0, 50, 500} {
		for _, rows := range []uint64{1, 100, 5000} {
			g := generator(t, func(c *Config) { c.Repeats, c.BatchRows, c.Rejects = repeats, rows, 0 })
			const n = 300_000
			inserted, duplicates, rejected := g.Counts(0, n)
			if inserted+duplicates+rejected != n || rejected != 0 {
				t.Fatalf("counts %d, %d, %d do not sum to %d", inserted, duplicates, rejected, n)
			}
			want := float64(repeats*(1000-repeats)) / 1e6
			// A repeat of a repeat may meet a third: up to a fifth more at a half.
			if got := float64(duplicates) / n; got < want*0.9 || got > want*1.35 {
				t.Errorf("%d per mille repeats in calls of %d: %.4f duplicates, want about %.4f", repeats, rows, got, want)
			}
		}
	}
}

func TestEventTypesOfOnesOwn(t *testing.T) {
	g := generator(t, func(c *Config) { c.EventTypes = []string{"only \"one\"' \\type 🎉"} })
	var body struct{ EventType string }
	if err := json.Unmarshal(g.AppendRequest(nil, 3, 400), &body); err != nil {
		t.Fatal(err)
	}
	if body.EventType != "only \"one\"' \\type 🎉" {
		t.Errorf("the event type is %q", body.EventType)
	}
}

func Example() {
	g, err := New(Config{Seed: 1, Org: 42, BatchRows: 1, Times: Live(now)})
	if err != nil {
		panic(err)
	}
	fmt.Printf("%s\n", g.AppendRequest(nil, 1, 2))
	// Output:
	// {"organizationId":42,"eventType":"page_view","events":[{"phoneE164":"+18788698335","occurredAt":"2026-11-24T11:56:40.685Z"}]}
}
