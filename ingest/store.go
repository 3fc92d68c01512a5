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
	// FindDiffering reads those of the keys that are stored with metadata of another hash
	// (xxHash64) than hashes[i], with what they are stored with.
	FindDiffering(ctx context.Context, org leadevents.OrgID, eventType string, phones []uint64, occurredAt []int64, hashes []uint64) ([]leadevents.StoredMetadata, error)
	// SaveStates adds the states of keys whose rows are stored.
	SaveStates(ctx context.Context, org leadevents.OrgID, eventType string, phones []uint64, occurredAt []int64) error
	// RepairStates adds the states of the rows of a stretch; see ledger.Archive.
	RepairStates(ctx context.Context, s ledger.Stretch, receipted bool) error
	// LackReceipts returns those of the batches that have no receipt; their At is
	// not looked at.
	LackReceipts(ctx context.Context, batches []ledger.Landed) ([]ledger.Landed, error)
	// SaveContests makes contests durable.
	SaveContests(ctx context.Context, contests []leadevents.Contest) error
	// ContestsOf reads the contests that batches won or lost.
	ContestsOf(ctx context.Context, batches []leadevents.BatchRef) ([]leadevents.Contest, error)
	// SaveReceipts makes receipts, with their rejects, durable.
	SaveReceipts(ctx context.Context, receipts []leadevents.Receipt) error
	// FindIdempotencyKeys reads which batches answer for keys, of those created at
	// or after since; a key that nobody used is not in the answer.
	FindIdempotencyKeys(ctx context.Context, keys []leadevents.IdempotencyKey, since leadevents.Millis) (map[leadevents.IdempotencyKey]leadevents.IdempotencyRecord, error)
	// SaveIdempotencyKeys makes durable which batch answers for each key.
	SaveIdempotencyKeys(ctx context.Context, keys []leadevents.IdempotencyKey, records []leadevents.IdempotencyRecord) error
	// ReceiptsOf reads the receipts of batches, each with its first rejects; a batch
	// without one is not in the answer.
	ReceiptsOf(ctx context.Context, batches []leadevents.BatchRef, rejects int) (map[leadevents.BatchRef]leadevents.Receipt, error)
}

// Ledger remembers which batch owns which key (Redis); see package ledger.
type Ledger interface {
	Prober
	Peek(ctx context.Context, keys []leadevents.Key, claims, owners []leadevents.BatchID) (ledger.View, error)
	Absent(v ledger.View, occurredAt leadevents.Millis) bool
	StoredMeansDuplicate(v ledger.View, ingestedAt leadevents.Millis) bool
	Orphan(v ledger.View, occurredAt, ingestedAt leadevents.Millis) bool
	Seal(ctx context.Context, v ledger.View, keys []leadevents.Key, tokens []leadevents.BatchID, keep time.Duration, owners []leadevents.BatchID) ([]leadevents.Contest, error)
	Confirm(ctx context.Context, v ledger.View, org leadevents.OrgID, batch leadevents.BatchID) error
	Deadline() time.Duration
	// Leave says that this process ends, and that no row of it lacks its state.
	Leave(ctx context.Context) error
	// Lock takes named locks for at most d; false where another holds it.
	Lock(ctx context.Context, names []string, d time.Duration) (held []bool, unlock func(), err error)
}
