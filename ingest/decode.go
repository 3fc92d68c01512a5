package ingest

import (
	"bytes"
	"math"
	"unicode/utf8"

	"leadevents"
	"leadevents/internal/rawjson"
	"leadevents/journal"
	"leadevents/retention"
)

// Limits of one ingest call and of one of its rows (API.md 1).
const (
	MaxEventTypeLength = 128   // code points of eventType
	MaxMetadataBytes   = 8_192 // metadata of one event as compact JSON
	MaxMetadataDepth   = 64    // nesting of metadata, itself the first level
)

// The reasons a row can be rejected for, in the order they are examined: the
// first that applies is the one reported.
const (
	ReasonInvalidEvent      = leadevents.ReasonInvalidEvent
	ReasonInvalidPhone      = leadevents.ReasonInvalidPhone
	ReasonMissingOccurredAt = leadevents.ReasonMissingOccurredAt
	ReasonInvalidOccurredAt = leadevents.ReasonInvalidOccurredAt
	ReasonInvalidMetadata   = leadevents.ReasonInvalidMetadata
	ReasonMetadataTooLarge  = "metadata too large"
	// Of rows that are right, and not taken: see refuse.go.
	ReasonExpired = retention.ReasonExpired
	ReasonErased  = journal.ReasonErased
)

// Reasons lists every reject reason in the order they are examined, for
// metrics, tables and their tests.
func Reasons() []string {
	return []string{
		ReasonInvalidEvent, ReasonInvalidPhone, ReasonMissingOccurredAt,
		ReasonInvalidOccurredAt, ReasonInvalidMetadata, ReasonMetadataTooLarge,
		ReasonExpired, ReasonErased,
	}
}

// Request is a decoded ingest call. It belongs to the Decoder that made it: the
// slices, and the metadata of the events, are valid until that decoder's next
// Decode or Reset, and only as long as the body is. EventType and the phones
// of the rejects are copies and may be kept.
type Request struct {
	Org       leadevents.OrgID
	EventType string                 // 1 to MaxEventTypeLength code points, unescaped
	Received  int                    // elements of events: len(Events) + len(Rejects)
	Events    []leadevents.Event     // the accepted rows, in the order sent
	Index     []uint32               // Index[i] is the place of Events[i] in the array sent, from 0
	Rejects   []leadevents.RowReject // all rejected rows, in the order sent
}

// Decoder turns bodies into requests. The zero value is ready; it may be used
// again and again, keeping its buffers, but by one goroutine at a time.
//
// A body is read in two passes, so that a call that is refused as a whole costs
// no more than reading it:
//
//  1. scan checks that all of it is JSON and notes, for each event, where its
//     phone, time and metadata stand (32 bytes a row). Whatever is wrong with
//     the call as a whole is known after it.
//  2. judge reads each row's fields from those places, and accepts or rejects
//     the row.
//
// Tried on the benchmark's body (50,000 events, 6.2 MB; two shared cores) and
// slower than this: see the table in decode_bench_test.go.
type Decoder struct {
	scan    scanner
	request Request
	compact []byte      // metadata that had white space, without it
	plain   []byte      // one unescaped string at a time
	phones  []byte      // phones of the rejects, one after the other
	cuts    []phoneSpan // where in phones each reject's is
}

// phoneSpan is a reject's phone in Decoder.phones.
type phoneSpan struct{ start, end int }

// Decode reads an ingest body: decompressed, and within the body limit that
// the caller enforces. The errors are *leadevents.Error of kind InvalidJSON
// (the body is not JSON, or not unambiguous) or InvalidRequest (it is, but not
// an ingest call). A body that is both is InvalidJSON.
//
// Inside one event a repeated field counts as its last appearance, as JSON
// decoders usually have it; at the top level it is refused.
func (d *Decoder) Decode(body []byte) (*Request, error) {
	d.compact, d.phones, d.cuts = d.compact[:0], d.phones[:0], d.cuts[:0]
	d.request = Request{Events: d.request.Events[:0], Index: d.request.Index[:0], Rejects: d.request.Rejects[:0]}
	if uint64(len(body)) > math.MaxUint32 { // places are kept in 32 bits
		return nil, leadevents.Errorf(leadevents.InvalidRequest, "the body has %d bytes; the decoder takes at most %d", len(body), uint32(math.MaxUint32))
	}
	if err := d.scan.run(body); err != nil {
		return nil, err
	}
	if err := d.head(body); err != nil {
		return nil, err
	}
	d.judge(body)
	return &d.request, nil
}

// Buffers above these sizes are given back to the collector by Reset: what a
// call of 50,000 events of 200 bytes needs stays, what only an unusual body
// needs does not (memory is bounded by calls at once, not by the largest ever).
const (
	keepRows  = leadevents.MaxEvents
	keepBytes = 1 << 20
	keepNames = 1 << 10
)

// Reset drops all references to the last body and request, and buffers of
// unusual size, so that the decoder can wait in a pool.
func (d *Decoder) Reset() {
	d.scan.reset()
	clear(d.request.Events[:cap(d.request.Events)])
	clear(d.request.Rejects[:cap(d.request.Rejects)])
	d.request = Request{
		Events:  keep(d.request.Events, keepRows),
		Index:   keep(d.request.Index, keepRows),
		Rejects: keep(d.request.Rejects, keepRows/16),
	}
	d.compact = keep(d.compact, keepBytes)
	d.plain = keep(d.plain, keepBytes/16)
	d.phones = keep(d.phones, keepBytes/16)
	d.cuts = keep(d.cuts, keepRows/16)
}

// keep is the emptied buffer, or nil if it is larger than limit elements.
func keep[T any](s []T, limit int) []T {
	if cap(s) > limit {
		return nil
	}
	return s[:0]
}

// head reads the three top-level fields, without looking into the events.
func (d *Decoder) head(body []byte) error {
	s := &d.scan
	if !s.isObject {
		return leadevents.Errorf(leadevents.InvalidRequest, "the body must be a JSON object with organizationId, eventType and events")
	}
	org, err := readOrganization(s.organization.Of(body))
	if err != nil {
		return err
	}
	eventType, err := d.readEventType(s.eventType.Of(body))
	if err != nil {
		return err
	}
	switch events := s.events.Of(body); {
	case isAbsent(events):
		return leadevents.Errorf(leadevents.InvalidRequest, "events is missing; it must be an array of 1 to %d events", leadevents.MaxEvents)
	case events[0] != '[':
		return leadevents.Errorf(leadevents.InvalidRequest, "events must be an array of 1 to %d events", leadevents.MaxEvents)
	case s.received < 1 || s.received > leadevents.MaxEvents:
		return leadevents.Errorf(leadevents.InvalidRequest, "events has %d elements; it must have 1 to %d", s.received, leadevents.MaxEvents)
	}
	d.request.Org, d.request.EventType, d.request.Received = org, eventType, s.received
	return nil
}

// readOrganization reads the value of organizationId. Only integer syntax is
// taken: 1.0 and 1e0 are refused, as encoding/json does for an integer.
func readOrganization(raw []byte) (leadevents.OrgID, error) {
	if isAbsent(raw) {
		return 0, leadevents.Errorf(leadevents.InvalidRequest, "organizationId is missing; it must be a positive integer")
	}
	if org, ok := parseOrganization(raw); ok {
		return org, nil
	}
	return 0, leadevents.Errorf(leadevents.InvalidRequest, "organizationId must be a positive integer, at most %d, written as a JSON number without fraction or exponent", int64(math.MaxInt64))
}

// parseOrganization reads the digits of an organization's id: 1 to 2^63-1,
// without a leading zero.
func parseOrganization(digits []byte) (leadevents.OrgID, bool) {
	const most = len("9223372036854775807")
	if len(digits) == 0 || len(digits) > most || digits[0] == '0' {
		return 0, false
	}
	var n uint64 // 19 digits cannot overflow 64 bits
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	if n > math.MaxInt64 {
		return 0, false
	}
	return leadevents.OrgID(n), true
}

// readEventType reads the value of eventType.
func (d *Decoder) readEventType(raw []byte) (string, error) {
	if isAbsent(raw) {
		return "", leadevents.Errorf(leadevents.InvalidRequest, "eventType is missing; it must be a string of 1 to %d characters", MaxEventTypeLength)
	}
	if raw[0] != '"' {
		return "", leadevents.Errorf(leadevents.InvalidRequest, "eventType must be a string of 1 to %d characters", MaxEventTypeLength)
	}
	text := d.unescaped(raw)
	if n := utf8.RuneCount(text); n < 1 || n > MaxEventTypeLength {
		return "", leadevents.Errorf(leadevents.InvalidRequest, "eventType has %d characters; it must have 1 to %d", n, MaxEventTypeLength)
	}
	return string(text), nil
}

// judge accepts or rejects each row that the scan found.
func (d *Decoder) judge(body []byte) {
	rows, req := d.scan.rows, &d.request
	if cap(req.Events) < len(rows) {
		req.Events = make([]leadevents.Event, 0, len(rows))
		req.Index = make([]uint32, 0, len(rows))
	}
	for i := range rows {
		row := &rows[i]
		event, reason := d.event(body, row)
		if reason == "" {
			req.Events = append(req.Events, event)
			req.Index = append(req.Index, uint32(i))
			continue
		}
		reject := leadevents.RowReject{Index: i, Reason: reason}
		var cut phoneSpan
		if phone := row.phone.Of(body); len(phone) > 0 && phone[0] == '"' {
			reject.HasPhone = true
			cut.start = len(d.phones)
			d.phones = rawjson.AppendUnescaped(d.phones, phone[1:len(phone)-1], leadevents.MaxRejectPhone)
			cut.end = len(d.phones)
		}
		req.Rejects = append(req.Rejects, reject)
		d.cuts = append(d.cuts, cut)
	}
	// One string for all of them: 50,000 bad rows are one allocation, not
	// 50,000. It is at most 50,000 · 64 code points · 4 bytes = 12.8 MB, and no
	// longer than the body.
	phones := string(d.phones)
	for i, cut := range d.cuts {
		req.Rejects[i].Phone = phones[cut.start:cut.end]
	}
}

// event reads one row, or tells the first reason against it, in the order of
// Reasons.
func (d *Decoder) event(body []byte, row *rowSpans) (leadevents.Event, string) {
	var event leadevents.Event
	if !row.isObject {
		return event, ReasonInvalidEvent
	}

	phone := row.phone.Of(body)
	if len(phone) == 0 || phone[0] != '"' {
		return event, ReasonInvalidPhone
	}
	var ok bool
	if event.Phone, ok = leadevents.ParsePhoneBytes(d.unescaped(phone)); !ok {
		return event, ReasonInvalidPhone
	}

	at := row.occurredAt.Of(body)
	if isAbsent(at) || len(at) == len(`""`) && at[0] == '"' {
		return event, ReasonMissingOccurredAt
	}
	if at[0] != '"' {
		return event, ReasonInvalidOccurredAt
	}
	if event.OccurredAt, ok = leadevents.ParseMillis(at[1 : len(at)-1]); !ok {
		// A time may be escaped like any other string ("\u0032026-…"); nobody
		// does it, so only what did not parse is looked at again.
		if event.OccurredAt, ok = leadevents.ParseMillis(d.unescaped(at)); !ok {
			return event, ReasonInvalidOccurredAt
		}
	}

	metadata := row.metadata.Of(body)
	switch {
	case isAbsent(metadata):
		event.Metadata = d.compacted([]byte("{}"))
	case metadata[0] != '{' || row.tooDeep:
		return event, ReasonInvalidMetadata
	case len(metadata)-int(row.space) > MaxMetadataBytes:
		return event, ReasonMetadataTooLarge
	case row.space > 0:
		event.Metadata = d.compacted(metadata)
	default:
		event.Metadata = metadata[:len(metadata):len(metadata)]
	}
	return event, ""
}

// isAbsent tells a field that was not sent, or sent as null.
func isAbsent(raw []byte) bool { return len(raw) == 0 || raw[0] == 'n' }

// unescaped is the text of a string literal with its quotes. It is valid until
// the next call.
func (d *Decoder) unescaped(literal []byte) []byte {
	raw := literal[1 : len(literal)-1]
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw
	}
	d.plain = rawjson.AppendUnescaped(d.plain[:0], raw, math.MaxInt)
	return d.plain
}

// compacted is an object without the white space between its tokens. All
// compacted metadata of a request stands in one buffer; where that grows, the
// earlier slices keep the array they were cut from.
func (d *Decoder) compacted(object []byte) []byte {
	start := len(d.compact)
	d.compact = rawjson.AppendCompact(d.compact, object)
	return d.compact[start:len(d.compact):len(d.compact)]
}
