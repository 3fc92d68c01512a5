package leadevents

import (
	"time"
	"unicode/utf8"
)

// MaxEvents is how many events one ingest call may have.
const MaxEvents = 50_000

// BatchState is where a batch stands.
type BatchState string

// The states of a batch.
const (
	BatchRunning BatchState = "running" // begun under an Idempotency-Key, not answered yet
	BatchDone    BatchState = "done"
	BatchUndone  BatchState = "undone"
)

// Receipt is what one ingest call came to: durable before its answer.
type Receipt struct {
	Batch          BatchID
	Org            OrgID
	EventType      string
	State          BatchState
	KeyID          string   // of the API or signing key used
	IdempotencyKey string   // empty without one
	BodyHash       [16]byte // the first half of the body's SHA-256, as sent
	RunID          string   // of the backfill run that the batch belongs to, if any
	Received       int
	Inserted       int
	Duplicates     int
	Rejected       int
	Rejects        []RowReject // all of them when saved
	Conflicts      *Conflicts  // nil where nobody looked
	CreatedAt      Millis
	FinishedAt     Millis
}

// What an answer shows of the rows it rejects.
const (
	MaxRejectsShown = 50 // of one call or upload
	MaxRejectPhone  = 64 // code points of the phone
)

// Conflicts are a call's duplicates whose metadata is not what is stored.
type Conflicts struct {
	Count int
	Rows  []uint32 // the places of the first MaxConflictsShown in the call, from 0
}

// MaxConflictsShown is how many of a call's conflicts are kept.
const MaxConflictsShown = 50

// The reasons of API.md 1 that a row itself gives: who reads files refuses by
// them what could not even be sent, and a phone is rejected by its in uploads too.
const (
	ReasonInvalidEvent      = "invalid event"
	ReasonInvalidPhone      = "invalid phoneE164"
	ReasonMissingOccurredAt = "missing occurredAt"
	ReasonInvalidOccurredAt = "invalid occurredAt"
	ReasonInvalidMetadata   = "invalid metadata"
)

// RowReject is one row of a call or upload that was not accepted.
type RowReject struct {
	Index    int    // position among the rows, from 0
	Phone    string // phoneE164 as sent, unescaped, cut at 64 code points
	HasPhone bool   // false: phoneE164 was not a string, and Phone is empty
	Reason   string // one of the contract's words
}

// ShownReject is a reject in the JSON of API.md 1 and 5.
type ShownReject struct {
	Index  int     `json:"index"`
	Phone  *string `json:"phoneE164"` // null if it was not a string
	Reason string  `json:"reason"`
}

// ShownPhone is the beginning of a phone as sent, for a reject.
func ShownPhone(phone []byte) string {
	runes := 0
	for i := 0; i < len(phone); {
		if runes == MaxRejectPhone {
			return string(phone[:i])
		}
		_, n := utf8.DecodeRune(phone[i:])
		i, runes = i+n, runes+1
	}
	return string(phone)
}

// Show is the reject as clients see it; its phone is r's own.
func (r *RowReject) Show() ShownReject {
	s := ShownReject{Index: r.Index, Reason: r.Reason}
	if r.HasPhone {
		s.Phone = &r.Phone
	}
	return s
}

// IdempotencyLife is for how long an Idempotency-Key is remembered.
const IdempotencyLife = 24 * time.Hour

// IdempotencyKey is one organization's.
type IdempotencyKey struct {
	Org OrgID
	Key string
}

// BatchRef names a batch; it is its organization's.
type BatchRef struct {
	Org   OrgID
	Batch BatchID
}

// IdempotencyRecord says which batch answers for an Idempotency-Key.
type IdempotencyRecord struct {
	Batch     BatchID
	BodyHash  [16]byte
	CreatedAt Millis
}

// MaxRunID is the longest id of a run.
const MaxRunID = 64

// IsRunID tells whether a text can be the id of a run: [A-Za-z0-9_.-]{1,64}.
func IsRunID(s string) bool {
	for i := range len(s) {
		switch b := s[i]; {
		case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', '0' <= b && b <= '9', b == '_', b == '.', b == '-':
		default:
			return false
		}
	}
	return 1 <= len(s) && len(s) <= MaxRunID
}

// BatchFilter says which batches are asked for; zero values ask for all.
type BatchFilter struct {
	From, To       Millis // created at; To is not included, zero for no end
	EventType      string
	State          BatchState
	KeyID          string
	BodyHash       *[16]byte
	IdempotencyKey string
	RunID          string
}

// Holds says whether a receipt meets the filter.
func (f BatchFilter) Holds(r Receipt) bool {
	return r.CreatedAt >= f.From && (f.To == 0 || r.CreatedAt < f.To) &&
		(f.EventType == "" || f.EventType == r.EventType) &&
		(f.State == "" || f.State == r.State) &&
		(f.KeyID == "" || f.KeyID == r.KeyID) &&
		(f.BodyHash == nil || *f.BodyHash == r.BodyHash) &&
		(f.IdempotencyKey == "" || f.IdempotencyKey == r.IdempotencyKey) &&
		(f.RunID == "" || f.RunID == r.RunID)
}

// BatchPosition is a place in the list of batches, newest first; zero is its begin.
type BatchPosition struct {
	CreatedAt Millis
	Batch     BatchID
}
