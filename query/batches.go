package query

import (
	"context"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"leadevents"
)

// Store holds the truth (ClickHouse). Its errors are *leadevents.Error or bugs.
type Store interface {
	// Receipt reads a batch's receipt with its first rejects; false if there is none.
	Receipt(ctx context.Context, org leadevents.OrgID, batch leadevents.BatchID, rejects int) (leadevents.Receipt, bool, error)
	// Receipts reads receipts without their rejects, newest first, at most limit.
	Receipts(ctx context.Context, org leadevents.OrgID, which leadevents.BatchFilter, after leadevents.BatchPosition, limit int) ([]leadevents.Receipt, error)
	// FindIdempotencyKey reads which batch answers for a key, created at or
	// after since.
	FindIdempotencyKey(ctx context.Context, org leadevents.OrgID, key string, since leadevents.Millis) (leadevents.IdempotencyRecord, bool, error)
}

// Limits of the list.
const (
	MaxBatches     = 1000
	DefaultBatches = 100
)

// Batches answers for ingest calls.
type Batches struct {
	store Store
	now   func() leadevents.Millis
}

// NewBatches makes it; now is the clock by which Idempotency-Keys are forgotten.
func NewBatches(store Store, now func() leadevents.Millis) *Batches {
	return &Batches{store: store, now: now}
}

// Batch reads one with up to rejects of its rejects. An unknown id and another
// organization's are the same 404.
func (b *Batches) Batch(ctx context.Context, org leadevents.OrgID, id string, rejects int) (leadevents.Receipt, error) {
	batch, err := leadevents.ParseBatchID(id)
	if err != nil {
		return leadevents.Receipt{}, errNoBatch
	}
	receipt, found, err := b.store.Receipt(ctx, org, batch, rejects)
	if err == nil && !found {
		err = errNoBatch
	}
	return receipt, err
}

var errNoBatch = leadevents.Errorf(leadevents.NotFound, "there is no batch of that id: it is not one of this organization's, or its call was never answered 200")

// List reads batches, newest first, and the position to go on from; zero at the
// end. A call that began under an Idempotency-Key and has no receipt yet is shown
// as running where that key is asked for.
func (b *Batches) List(ctx context.Context, org leadevents.OrgID, which leadevents.BatchFilter, after leadevents.BatchPosition, limit int) ([]leadevents.Receipt, leadevents.BatchPosition, error) {
	receipts, err := b.store.Receipts(ctx, org, which, after, limit+1)
	if err != nil {
		return nil, leadevents.BatchPosition{}, err
	}
	if len(receipts) > limit {
		receipts = receipts[:limit]
		last := receipts[limit-1]
		return receipts, leadevents.BatchPosition{CreatedAt: last.CreatedAt, Batch: last.Batch}, nil
	}
	if which.IdempotencyKey == "" || len(receipts) > 0 || after != (leadevents.BatchPosition{}) {
		return receipts, leadevents.BatchPosition{}, nil
	}
	record, found, err := b.store.FindIdempotencyKey(ctx, org, which.IdempotencyKey, b.now().Add(-leadevents.IdempotencyLife))
	running := leadevents.Receipt{
		Batch: record.Batch, Org: org, State: leadevents.BatchRunning, IdempotencyKey: which.IdempotencyKey,
		BodyHash: record.BodyHash, CreatedAt: record.CreatedAt,
	}
	if err != nil || !found || !which.Holds(running) {
		return nil, leadevents.BatchPosition{}, err
	}
	return []leadevents.Receipt{running}, leadevents.BatchPosition{}, nil
}

// ParseBodyHash reads a SHA-256 in hex, whole (64 digits) or its first half (32),
// which is what receipts keep.
func ParseBodyHash(s string) (*[16]byte, error) {
	raw, err := hex.DecodeString(s)
	if err != nil || (len(raw) != 16 && len(raw) != 32) {
		return nil, leadevents.Errorf(leadevents.InvalidRequest, "bodySha256 must be the body's SHA-256 in hex: 64 digits, or the first 32 of them")
	}
	hash := [16]byte(raw[:16])
	return &hash, nil
}

// batchCursor is a position as a cursor.
func batchCursor(org leadevents.OrgID, p leadevents.BatchPosition) string {
	return writeCursor("b1", org, fmt.Sprintf("%d.%d", p.CreatedAt, p.Batch))
}

// parseBatchCursor reads what batchCursor wrote for the same organization.
func parseBatchCursor(org leadevents.OrgID, cursor string) (leadevents.BatchPosition, error) {
	position, err := readCursor("b1", org, cursor)
	if err != nil {
		return leadevents.BatchPosition{}, err
	}
	created, id, _ := strings.Cut(position, ".")
	at, err := strconv.ParseInt(created, 10, 64)
	if err != nil || at < 0 {
		return leadevents.BatchPosition{}, errCursor
	}
	batch, err := leadevents.ParseBatchID(id)
	if err != nil {
		return leadevents.BatchPosition{}, errCursor
	}
	return leadevents.BatchPosition{CreatedAt: leadevents.Millis(at), Batch: batch}, nil
}
