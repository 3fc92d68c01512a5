package backfill

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"leadevents"
)

func cutterOf(t *testing.T, at Position, n uint64, l limits, make func(i uint64, row *Row)) *cutter {
	t.Helper()
	return &cutter{
		source: &fileOfRows{ctx: t.Context(), at: at.Row, n: n, make: make},
		run:    "abcdefghijkl", org: 7, limits: l, files: []File{{Name: "f"}}, spare: &spares{},
	}
}

// calls are the calls that are made from a position on: their keys and what is sent.
func calls(t *testing.T, c *cutter) (spans []*span, sent []string) {
	t.Helper()
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = encoder.Close() }()
	for {
		s, err := c.next(t.Context())
		if errors.Is(err, io.EOF) {
			return spans, sent
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range s.batches {
			sent = append(sent, b.key+string(encoder.EncodeAll(b.body, nil)))
		}
		for _, r := range s.refused {
			sent = append(sent, string(r.text))
		}
		spans = append(spans, s)
	}
}

// A run that goes on sends what it would have sent: the same bytes under the same keys.
func TestWhatIsCutDependsOnTheRowsAlone(t *testing.T) {
	for _, c := range []struct {
		types  int
		limits limits
	}{
		{1, limits{BatchRows: 100, BatchBytes: 1 << 20, SpanRows: 500, SpanBytes: 4 << 20, SpanTypes: 100}},
		{5, limits{BatchRows: 100, BatchBytes: 1 << 20, SpanRows: 700, SpanBytes: 4 << 20, SpanTypes: 100}},
		{50, limits{BatchRows: 100, BatchBytes: 1 << 20, SpanRows: 700, SpanBytes: 4 << 20, SpanTypes: 20}},
		{2, limits{BatchRows: 1000, BatchBytes: 3000, SpanRows: 7000, SpanBytes: 9000, SpanTypes: 20}},
	} {
		const n = 3_000
		spans, whole := calls(t, cutterOf(t, Position{}, n, c.limits, mixed(c.types)))
		if len(spans) < 5 {
			t.Fatalf("%d spans: nothing is cut", len(spans))
		}
		rows, seen := 0, map[string]bool{}
		for i, s := range spans {
			if s.at.Row != uint64(rows) {
				t.Fatalf("span %d begins at row %d, want %d", i, s.at.Row, rows)
			}
			if rows += s.rows; s.next.Row != uint64(rows) {
				t.Fatalf("behind span %d is row %d, want %d", i, s.next.Row, rows)
			}
			for _, b := range s.batches {
				if seen[b.key] {
					t.Errorf("two batches have the key %s", b.key)
				}
				seen[b.key] = true
				holdsLimits(t, b, c.limits)
			}
			if i%(len(spans)/5) != 0 {
				continue // five of them will do
			}
			_, rest := calls(t, cutterOf(t, s.at, n, c.limits, mixed(c.types)))
			if want := whole[len(whole)-len(rest):]; strings.Join(rest, "\n") != strings.Join(want, "\n") {
				t.Fatalf("%d types: from row %d on other calls are made", c.types, s.at.Row)
			}
		}
		if rows != n {
			t.Errorf("%d rows of %d are in spans", rows, n)
		}
	}
}

// holdsLimits reads a batch as the server does.
func holdsLimits(t *testing.T, b *batch, l limits) {
	t.Helper()
	var body struct {
		OrganizationID leadevents.OrgID
		EventType      string
		Events         []json.RawMessage
	}
	if err := json.Unmarshal(b.body, &body); err != nil || body.OrganizationID != 7 || body.EventType != b.eventType {
		t.Fatalf("%v: %s", err, b.body)
	}
	if len(body.Events) != len(b.rows) || len(b.rows) > l.BatchRows || len(b.body) > l.BatchBytes {
		t.Errorf("a batch of %d rows, %d bytes", len(b.rows), len(b.body))
	}
	for i, event := range body.Events {
		if !bytes.Equal(event, b.event(i)) {
			t.Fatalf("event %d is %s, want %s", i, b.event(i), event)
		}
		if part := b.part(i, i+1); !json.Valid(part) || !bytes.Contains(part, event) {
			t.Fatalf("the part of event %d is %s", i, part)
		}
	}
}

// With the limits of the contract, calls are few and about equally full.
func TestBatchesAreFilled(t *testing.T) {
	const n = 220_000
	spans, _ := calls(t, cutterOf(t, Position{}, n, standardLimits, func(i uint64, row *Row) {
		row.EventType, row.Phone, row.OccurredAt, row.Raw = "signup", []byte("+15551234567"), []byte("2026-05-12T18:34:00Z"), []byte(`{"a":1}`)
	}))
	var rows []int
	for _, s := range spans {
		for _, b := range s.batches {
			rows = append(rows, len(b.rows))
		}
	}
	if len(spans) != 2 || fmt.Sprint(rows) != "[50000 50000 50000 50000 20000]" {
		t.Errorf("%d spans, calls of %v rows", len(spans), rows)
	}
	spans, _ = calls(t, cutterOf(t, Position{}, 5_000, standardLimits, func(i uint64, row *Row) {
		row.EventType, row.Phone, row.OccurredAt, row.Raw = "signup", []byte("+15551234567"), []byte("2026-05-12T18:34:00Z"), []byte(`{"a":1}`)
		row.Metadata = []byte(`{"note":"` + strings.Repeat("x", 8_000) + `"}`)
	}))
	for _, s := range spans {
		for _, b := range s.batches[:len(s.batches)-1] {
			if n := len(b.body); n > 9<<20 || n < 9<<20-10_000 {
				t.Errorf("a body has %d bytes", n)
			}
		}
	}
}

// A file without order comes to the server in pieces of time: each call of a span is of the times
// behind those of the call before, and rows of one moment keep their order.
func TestASpanIsSortedBeforeItIsCut(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	const n = 10_000
	times := make([]leadevents.Millis, n)
	c := cutterOf(t, Position{}, n, limits{BatchRows: 1000, BatchBytes: 1 << 20, SpanRows: 5000, SpanBytes: 4 << 20, SpanTypes: 10}, func(i uint64, row *Row) {
		times[i] = leadevents.Millis(1_000_000_000_000 + random.Int64N(1_000)) // several of each moment
		row.EventType, row.Phone, row.At = string(rune('a'+i%2)), []byte("+15551234567"), times[i]
		row.OccurredAt = []byte(times[i].String())
		row.Raw = fmt.Appendf(nil, `{"row":%d}`, i)
		row.Line = i + 1
	})
	spans, _ := calls(t, c)
	if len(spans) != 2 || len(spans[0].batches) != 6 { // two types, three calls of each: 2,500 rows
		t.Fatalf("%d spans", len(spans))
	}
	seen := map[uint64]bool{}
	for _, s := range spans {
		raws := s.raw.reader()
		type last struct {
			at   leadevents.Millis
			line uint64
		}
		before := map[string]last{}
		for _, b := range s.batches {
			for i, r := range b.rows {
				row := last{times[r.line-1], r.line}
				if was := before[b.eventType]; was.at > row.at || was.at == row.at && was.line > row.line {
					t.Fatalf("%v comes before %v", was, row)
				}
				before[b.eventType] = row
				if seen[r.line] {
					t.Fatalf("line %d is sent twice", r.line)
				}
				seen[r.line] = true
				if !bytes.Contains(b.event(i), []byte(row.at.String())) {
					t.Fatalf("line %d is sent as %s", r.line, b.event(i))
				}
				if raw, err := raws.raw(r.raw); err != nil || string(raw) != fmt.Sprintf(`{"row":%d}`, r.line-1) {
					t.Fatalf("line %d reads %s, %v", r.line, raw, err)
				}
			}
		}
	}
	if len(seen) != n {
		t.Errorf("%d rows of %d are sent", len(seen), n)
	}
}

func TestRowsAreReadAgainAsTheyWere(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	r := (&spares{}).rawRows()
	for round := range 2 { // the second time in the memory of the first
		r.reset()
		var want [][]byte
		for i := range 3_000 {
			raw := fmt.Appendf(nil, `{"n":%d,"x":"%s"}`, i, strings.Repeat("ab", random.IntN(300)*random.IntN(2)*(1+round)))
			if i == 1_000 {
				raw = bytes.Repeat([]byte("long"), 300_000)
			}
			want = append(want, raw)
			r.add(raw)
		}
		r.close()
		if len(r.blocks) < 3 {
			t.Fatalf("%d blocks: nothing is tested", len(r.blocks))
		}
		reader := r.reader()
		for n := range 6_000 {
			i := n / 2
			if n%2 == 1 {
				i = random.IntN(len(want))
			}
			if got, err := reader.raw(uint32(i)); err != nil || !bytes.Equal(got, want[i]) {
				t.Fatalf("row %d reads %.40s, want %.40s (%v)", i, got, want[i], err)
			}
		}
		if _, err := reader.raw(uint32(len(want))); err == nil {
			t.Fatal("a row behind the last one is read")
		}
	}
}

func TestThePaceFollowsTheAnswers(t *testing.T) {
	now := time.Unix(0, 0)
	p := newPace(4)
	p.now = func() time.Time { return now }
	width := func(want int) {
		t.Helper()
		if int(p.window) != want {
			t.Errorf("the window is %.1f, want %d", p.window, want)
		}
	}
	width(firstWindow)
	for range 20 {
		p.answered(time.Second)
	}
	width(4)
	p.answered(slowAnswer + time.Second)
	width(3)
	p.answered(slowAnswer + time.Second) // sent together with the first
	width(3)
	now = now.Add(2 * time.Second)
	p.answered(slowAnswer + time.Second)
	width(2)
	now = now.Add(2 * time.Second)
	p.refused(0)
	p.refused(0) // together with the first
	width(1)
	now = now.Add(2 * time.Second)
	p.refused(time.Minute)
	width(1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.enter(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a call went within the pause that a 429 asked for: %v", err)
	}
	now = now.Add(time.Minute)
	if err := p.enter(t.Context()); err != nil || p.inFlight() != 1 {
		t.Errorf("%v, %d in flight", err, p.inFlight())
	}
	if err := p.enter(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a second call went: %v", err)
	}
	p.leave()
	if err := p.enter(t.Context()); err != nil {
		t.Error(err)
	}
}
