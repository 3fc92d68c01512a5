package ingest

import (
	"fmt"
	"strings"
	"testing"
)

// benchmarkBody is 50,000 events in 6.2 MB, as clients send them: canonical
// phones, times in Z, small metadata.
func benchmarkBody(separator string) []byte {
	b := []byte(`{"organizationId":42,"eventType":"mastery_purchase","events":[`)
	for i := range 50_000 {
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, `{"phoneE164":"+1555%07d",%[2]s"occurredAt":"2026-05-%02dT%02d:%02d:%02dZ",%[2]s"metadata":{"orderId":%[2]s"ord_%06X",%[2]s"amountUsd":%[2]s%d}}`,
			i*197%10_000_000, separator, i%28+1, i%24, i%60, i*7%60, i, i%1000)
	}
	return append(b, `]}`...)
}

// BenchmarkDecode decodes 50,000 events in 6.2 MB, and one.
func BenchmarkDecode(b *testing.B) {
	for _, c := range []struct {
		name   string
		events int
		body   func() []byte
	}{
		{"compact", 50_000, func() []byte { return benchmarkBody("") }},
		{"spaced", 50_000, func() []byte { return benchmarkBody(" ") }}, // as Python's json.dumps writes it
		{"rejected", 50_000, func() []byte {
			return []byte(callOf(strings.Repeat(`{"phoneE164":"+1555123456x"},`, 49_999) + `{}`))
		}},
		{"one event", 1, func() []byte {
			return []byte(callOf(`{"phoneE164":"+15551234567","occurredAt":"2026-05-12T18:34:00Z","metadata":{"orderId":"ord_9F2","amountUsd":297}}`))
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			body := c.body()
			var d Decoder
			decode := func() {
				if request, err := d.Decode(body); err != nil || request.Received != c.events {
					b.Fatal(err)
				}
			}
			decode() // what a Decoder keeps is made once
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				decode()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(c.events), "ns/event")
		})
	}
}

// BenchmarkScan is the first pass of Decode alone.
func BenchmarkScan(b *testing.B) {
	body := benchmarkBody("")
	var s scanner
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if err := s.run(body); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecodeHostile has bodies of 10 MB that are made to cost much.
func BenchmarkDecodeHostile(b *testing.B) {
	names := []byte(`{`)
	for i := 0; len(names) < 10_000_000; i++ {
		names = fmt.Appendf(names, `"%x":1,`, i)
	}
	escaped := []byte(`{`)
	for i := 0; len(escaped) < 10_000_000; i++ {
		escaped = fmt.Appendf(escaped, `"\u0041%x":1,`, i)
	}
	for name, body := range map[string][]byte{
		"a million names":         append(names, `"":1}`...),
		"as many escaped":         append(escaped, `"":1}`...),
		"five million events":     []byte(callOf(strings.Repeat("1,", 5_000_000) + "1")),
		"open brackets":           []byte(`{"events":[{"metadata":` + strings.Repeat("[", 10_000_000)),
		"one escaped event type":  []byte(`{"organizationId":1,"events":[1],"eventType":"` + strings.Repeat(`\u0041`, 1_600_000) + `"}`),
		"one phone":               []byte(callOf(`{"phoneE164":"` + strings.Repeat(`\u002b1`, 1_400_000) + `"}`)),
		"one text":                []byte(`"` + strings.Repeat("x", 10_000_000) + `"`),
		"one text of quotes":      []byte(`"` + strings.Repeat(`\"`, 5_000_000) + `"`),
		"one text of emoji":       []byte(`"` + strings.Repeat("😀", 2_500_000) + `"`),
		"50,000 phones of 150 B":  []byte(callOf(strings.Repeat(`{"phoneE164":"`+strings.Repeat("+1 (555) ", 18)+`"},`, 50_000) + "1")[:0]),
		"metadata of white space": []byte(callOf(strings.Repeat(`{"phoneE164":"+15551234567","occurredAt":"2026-05-12T18:34:00Z","metadata":{`+strings.Repeat(" ", 100)+`}},`, 49_999) + "1")),
	} {
		if len(body) == 0 {
			body = []byte(callOf(strings.Repeat(`{"phoneE164":"`+strings.Repeat("+1 (555) ", 18)+`"},`, 49_999) + "1"))
		}
		b.Run(name, func(b *testing.B) {
			var d Decoder
			b.ReportAllocs()
			for b.Loop() {
				_, _ = d.Decode(body)
				d.Reset()
			}
		})
	}
}

// BenchmarkLookupOrganization has to go past all events.
func BenchmarkLookupOrganization(b *testing.B) {
	body := benchmarkBody("")
	const head = `{"organizationId":42,`
	last := append([]byte(`{`), body[len(head):len(body)-1]...)
	last = append(last, `,"organizationId":42}`...)
	b.SetBytes(int64(len(last)))
	b.ReportAllocs()
	for b.Loop() {
		if org, ok := LookupOrganization(last); !ok || org != 42 {
			b.Fatal(org, ok)
		}
	}
}
