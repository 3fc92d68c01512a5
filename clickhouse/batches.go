package clickhouse

import (
	"context"
	"encoding/hex"
	"strconv"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"leadevents"
)

// Receipts reads receipts without their rejects, newest first, at most limit.
func (db *DB) Receipts(ctx context.Context, org leadevents.OrgID, which leadevents.BatchFilter, after leadevents.BatchPosition, limit int) ([]leadevents.Receipt, error) {
	hash := ""
	if which.BodyHash != nil {
		hash = hex.EncodeToString(which.BodyHash[:])
	}
	p := clickhouse.Parameters{
		"organization": org.String(),
		"from":         strconv.FormatInt(int64(which.From), 10), "to": strconv.FormatInt(int64(which.To), 10),
		"after": strconv.FormatInt(int64(after.CreatedAt), 10), "after_batch": strconv.FormatUint(uint64(after.Batch), 10),
		"event_type": which.EventType, "key": which.KeyID, "idempotency_key": which.IdempotencyKey, "hash": hash,
		"state": string(which.State), "run": which.RunID,
		// Each batch has at most two rows here: done, undone.
		"limit": strconv.Itoa(2 * limit),
	}
	var receipts []leadevents.Receipt
	err := db.stream(ctx, "batches_list", p, func(rows driver.Rows) error {
		r, err := scanReceipt(org, rows)
		if err != nil {
			return err
		}
		if n := len(receipts); n > 0 && receipts[n-1].Batch == r.Batch || n == limit {
			return nil
		}
		receipts = append(receipts, r)
		return nil
	})
	return receipts, err
}
