package backfill

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
	if len(body.Events) != len(b.rows) || len(b.rows) > l.BatchRows || len(b.body) > l.BatchBytes || len(b.raw) > l.BatchBytes {
		t.Errorf("a batch of %d rows, %d bytes, %d raw", len(b.rows), len(b.body), len(b.raw))
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

// With the limits of the contract, batches are as full as they may be.
func TestBatchesAreFilled(t *testing.T) {
	const n = 120_000
	spans, _ := calls(t, cutterOf(t, Position{}, n, standardLimits, func(i uint64, row *Row) {
		row.EventType, row.Phone, row.OccurredAt, row.Raw = "signup", []byte("+15551234567"), []byte("2026-05-12T18:34:00Z"), []byte(`{"a":1}`)
	}))
	var rows []int
	for _, s := range spans {
		rows = append(rows, s.rows)
	}
	if fmt.Sprint(rows) != "[50000 50000 20000]" {
		t.Errorf("spans of %v rows", rows)
	}
	spans, _ = calls(t, cutterOf(t, Position{}, 5_000, standardLimits, func(i uint64, row *Row) {
		row.EventType, row.Phone, row.OccurredAt, row.Raw = "signup", []byte("+15551234567"), []byte("2026-05-12T18:34:00Z"), []byte(`{"a":1}`)
		row.Metadata = []byte(`{"note":"` + strings.Repeat("x", 8_000) + `"}`)
	}))
	for _, s := range spans[:len(spans)-1] {
		if n := len(s.batches[0].body); n > 9<<20 || n < 9<<20-10_000 {
			t.Errorf("a body has %d bytes", n)
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
