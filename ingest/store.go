package ingest

import (
	"context"
	"time"

	"leadevents"
	"leadevents/ingest/ledger"
)

// Store holds the truth (ClickHouse). Its errors of type *leadevents.Error are
// final for the attempt; after any other the outcome is unknown.
type Store interface {
	Prober
	// InsertEvents stores rows and waits for them. After an error any part of
	// them may be there; the identical rows under the same token add only what
	// is missing.
	InsertEvents(ctx context.Context, rows *leadevents.Rows, token, queryID string) error
	// Kill ends the query queryID and waits until it has ended.
	Kill(ctx context.Context, queryID string) error
	// FindKeys reads every stored version of the keys (phones[i], occurredAt[i]).
	FindKeys(ctx context.Context, org leadevents.OrgID, eventType string, phones []uint64, occurredAt []int64) ([]leadevents.StoredKey, error)
	// SaveContests makes contests durable.
	SaveContests(ctx context.Context, contests []leadevents.Contest) error
	// Contests reads the contests that a batch won or lost.
	Contests(ctx context.Context, org leadevents.OrgID, batch leadevents.BatchID) ([]leadevents.Contest, error)
	// SaveReceipts makes receipts, with their rejects, durable.
	SaveReceipts(ctx context.Context, receipts []leadevents.Receipt) error
	// FindIdempotencyKey reads which batch answers for a key, created at or
	// after since.
	FindIdempotencyKey(ctx context.Context, org leadevents.OrgID, key string, since leadevents.Millis) (leadevents.IdempotencyRecord, bool, error)
	// SaveIdempotencyKey makes durable which batch answers for a key.
	SaveIdempotencyKey(ctx context.Context, org leadevents.OrgID, key string, record leadevents.IdempotencyRecord) error
	// Receipt reads a batch's receipt with its first rejects.
	Receipt(ctx context.Context, org leadevents.OrgID, batch leadevents.BatchID, rejects int) (leadevents.Receipt, bool, error)
}

// Ledger remembers which batch owns which key (Redis); see package ledger.
type Ledger interface {
	Prober
	Peek(ctx context.Context, keys []leadevents.Key, claim leadevents.BatchID, owners []leadevents.BatchID) (ledger.View, error)
	Absent(v ledger.View, occurredAt leadevents.Millis) bool
	StoredMeansDuplicate(v ledger.View, ingestedAt leadevents.Millis) bool
	Seal(ctx context.Context, v ledger.View, keys []leadevents.Key, tokens []leadevents.BatchID, keep time.Duration, owners []leadevents.BatchID) ([]leadevents.Contest, error)
	Confirm(ctx context.Context, v ledger.View, org leadevents.OrgID, batch leadevents.BatchID) error
	Deadline() time.Duration
	// Lock takes a named lock for at most d; false if another holds it.
	Lock(ctx context.Context, name string, d time.Duration) (unlock func(), ok bool, err error)
}
