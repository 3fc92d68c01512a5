package loadgen

import (
	"encoding/json"
	"strconv"

	"leadevents"
)

// Requests is how many calls n events are: the last one may be short.
func (g *Generator) Requests(n uint64) uint64 {
	return (n + g.cfg.BatchRows - 1) / g.cfg.BatchRows
}

// AppendRequest appends the body of call number batch of a load of n events in all
// (API.md 1): its events are batch × BatchRows and on.
func (g *Generator) AppendRequest(b []byte, batch, n uint64) []byte {
	b = append(b, `{"organizationId":`...)
	b = strconv.AppendUint(b, uint64(g.cfg.Org), 10)
	b = append(b, `,"eventType":`...)
	b = appendString(b, g.EventType(batch))
	b = append(b, `,"events":[`...)
	first := batch * g.cfg.BatchRows
	var e Event
	for i := first; i < min(first+g.cfg.BatchRows, n); i++ {
		if i > first {
			b = append(b, ',')
		}
		g.Event(i, &e)
		b = e.AppendJSON(b)
	}
	return append(b, "]}"...)
}

// AppendJSON appends the event as an element of events, and as a line of NDJSON.
// Metadata that is absent is left out.
func (e *Event) AppendJSON(b []byte) []byte {
	b = append(b, `{"phoneE164":"`...)
	b = e.appendPhone(b)
	b = append(b, `","occurredAt":"`...)
	b = e.OccurredAt.Time().AppendFormat(b, leadevents.TimeFormat)
	b = append(b, '"')
	if string(e.Metadata) != noMetadata {
		b = append(b, `,"metadata":`...)
		b = append(b, e.Metadata...)
	}
	return append(b, '}')
}

// CSVHeader is the header row above lines of [Event.AppendCSV].
const CSVHeader = "phoneE164,occurredAt,metadata\n"

// AppendCSV appends the event as a line of CSV, with its line break.
func (e *Event) AppendCSV(b []byte) []byte {
	b = e.appendPhone(b)
	b = append(b, ',')
	b = e.OccurredAt.Time().AppendFormat(b, leadevents.TimeFormat)
	b = append(b, ',')
	if string(e.Metadata) != noMetadata {
		b = append(b, '"')
		for _, c := range e.Metadata {
			if c == '"' {
				b = append(b, '"')
			}
			b = append(b, c)
		}
		b = append(b, '"')
	}
	return append(b, '\n')
}

// appendPhone appends the phone in E.164, or too short to be one.
func (e *Event) appendPhone(b []byte) []byte {
	if e.Rejected {
		return append(b, "+1555"...)
	}
	return e.Phone.AppendTo(b)
}

func appendString(b []byte, s string) []byte {
	quoted, _ := json.Marshal(s) // a string always marshals
	return append(b, quoted...)
}

// Counts is what a store that is right answers for events first … first+count−1,
// sent to it for the first time: received = inserted + duplicates + rejected.
// It holds every key in memory, about 50 bytes each.
func (g *Generator) Counts(first, count uint64) (inserted, duplicates, rejected uint64) {
	seen := make(map[leadevents.Key]struct{}, count)
	var e Event
	for i := first; i < first+count; i++ {
		g.Event(i, &e)
		if e.Rejected {
			rejected++
			continue
		}
		seen[g.Key(&e)] = struct{}{}
	}
	inserted = uint64(len(seen))
	return inserted, count - rejected - inserted, rejected
}
