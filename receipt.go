package leadevents

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
	CreatedAt      Millis
	FinishedAt     Millis
}

// RowReject is one row of a call that was not accepted.
type RowReject struct {
	Index    int    // position in the call's events, from 0
	Phone    string // as sent, at most 64 characters
	HasPhone bool   // false: phoneE164 was not a string
	Reason   string // one of the contract's words
}

// IdempotencyRecord says which batch answers for an Idempotency-Key.
type IdempotencyRecord struct {
	Batch     BatchID
	BodyHash  [16]byte
	CreatedAt Millis
}

// BatchFilter says which batches are asked for; zero values ask for all.
type BatchFilter struct {
	From, To       Millis // created at; To is not included, zero for no end
	EventType      string
	State          BatchState
	KeyID          string
	BodyHash       *[16]byte
	IdempotencyKey string
}

// Holds says whether a receipt meets the filter.
func (f BatchFilter) Holds(r Receipt) bool {
	return r.CreatedAt >= f.From && (f.To == 0 || r.CreatedAt < f.To) &&
		(f.EventType == "" || f.EventType == r.EventType) &&
		(f.State == "" || f.State == r.State) &&
		(f.KeyID == "" || f.KeyID == r.KeyID) &&
		(f.BodyHash == nil || *f.BodyHash == r.BodyHash) &&
		(f.IdempotencyKey == "" || f.IdempotencyKey == r.IdempotencyKey)
}

// BatchPosition is a place in the list of batches, newest first; zero is its begin.
type BatchPosition struct {
	CreatedAt Millis
	Batch     BatchID
}
