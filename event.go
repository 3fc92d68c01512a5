package leadevents

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"strconv"
	"time"
)

// OrgID identifies an organization; it is positive. Everything stored belongs
// to exactly one, and functions take it as an argument right after ctx.
type OrgID uint64

// String is the id in decimal.
func (o OrgID) String() string { return strconv.FormatUint(uint64(o), 10) }

// Millis is a moment in milliseconds since 1970-01-01T00:00:00Z, the precision
// of the contract. Finer digits are cut when a time is read, never rounded.
type Millis int64

// Bounds of occurredAt (API.md 1): from 1970-01-01, before 2100-01-01.
const (
	MinOccurredAt Millis = 0
	MaxOccurredAt Millis = 4102444800000 - 1
)

// TimeFormat is how times leave the API: UTC with milliseconds.
const TimeFormat = "2006-01-02T15:04:05.000Z"

// MillisOf cuts t to milliseconds.
func MillisOf(t time.Time) Millis { return Millis(t.UnixMilli()) }

// Time is the moment in UTC.
func (m Millis) Time() time.Time { return time.UnixMilli(int64(m)).UTC() }

// String is the moment as the API writes it.
func (m Millis) String() string { return m.Time().Format(TimeFormat) }

// Add moves the moment by d, cut to milliseconds.
func (m Millis) Add(d time.Duration) Millis { return m + Millis(d/time.Millisecond) }

// Event is one accepted fact about a lead. The event type is the batch's.
type Event struct {
	Phone      Phone
	OccurredAt Millis
	// Metadata is a compact JSON object, at most 8,192 bytes; "{}" where the
	// client sent none. It may alias the request's body: copy it to keep it
	// beyond the request.
	Metadata []byte
}

// Key is an event's identity: two events with one key are one event. Keys are
// compared by their exact parts; nothing is joined, so nothing can collide.
type Key struct {
	Org        OrgID
	EventType  string
	Phone      Phone
	OccurredAt Millis
}

// BatchID identifies one ingest call, and is the token its rows and keys carry.
// It is a positive, random 63-bit number: the same through all resends of the
// call, drawn anew for another call. Zero means "none".
type BatchID uint64

// NewBatchID draws a batch id from the system's random source.
func NewBatchID() BatchID { return BatchID(random63()) }

// random63 is a positive, random number below 2^63.
func random63() uint64 {
	var b [8]byte
	for {
		_, _ = rand.Read(b[:]) // never fails since Go 1.24
		if n := binary.LittleEndian.Uint64(b[:]) >> 1; n != 0 {
			return n
		}
	}
}

// String is the id in decimal, as in the batch_id column.
func (b BatchID) String() string { return strconv.FormatUint(uint64(b), 10) }

// ParseBatchID reads what String wrote.
func ParseBatchID(s string) (BatchID, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil || n == 0 || s[0] == '0' || s[0] == '+' {
		return 0, fmt.Errorf("%q is not a batch id: a positive number below 2^63 was expected", s)
	}
	return BatchID(n), nil
}

// Batch is the accepted rows of one ingest call, in the order they were sent.
type Batch struct {
	ID        BatchID
	Org       OrgID
	EventType string
	Events    []Event
}
