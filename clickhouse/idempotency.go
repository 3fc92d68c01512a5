package clickhouse

import (
	"context"
	"fmt"
	"strconv"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/ext"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"leadevents"
)

// The methods of this file serve a group of calls at once: a query or an insert
// costs the server 2 to 5 ms, whether for one call or for a thousand.

// external is a context with a table of the query's own.
func external(ctx context.Context, name string, columns []func(*ext.Table) error, values ...any) (context.Context, error) {
	table, err := ext.NewTable(name, columns...)
	if err != nil {
		return nil, fmt.Errorf("describe the table %s of a query: %w", name, err)
	}
	for i, column := range values {
		if _, err := table.Block().Columns[i].Append(column); err != nil {
			return nil, fmt.Errorf("append column %d of the table %s of a query: %w", i, name, err)
		}
	}
	return clickhouse.Context(ctx, clickhouse.WithExternalTable(table)), nil
}

// wantedBatches is the external table "wanted" of batches.
func wantedBatches(ctx context.Context, batches []leadevents.BatchRef) (context.Context, error) {
	orgs, ids := make([]uint64, len(batches)), make([]uint64, len(batches))
	for i, b := range batches {
		orgs[i], ids[i] = uint64(b.Org), uint64(b.Batch)
	}
	return external(ctx, "wanted", []func(*ext.Table) error{ext.Column("organization_id", "UInt64"), ext.Column("batch_id", "UInt64")}, orgs, ids)
}

// FindIdempotencyKeys reads which batches answer for keys created since; a key
// that nobody used is not in the answer.
func (db *DB) FindIdempotencyKeys(ctx context.Context, keys []leadevents.IdempotencyKey, since leadevents.Millis) (map[leadevents.IdempotencyKey]leadevents.IdempotencyRecord, error) {
	orgs, texts := make([]uint64, len(keys)), make([]string, len(keys))
	for i, k := range keys {
		orgs[i], texts[i] = uint64(k.Org), k.Key
	}
	ctx, err := external(ctx, "wanted", []func(*ext.Table) error{ext.Column("organization_id", "UInt64"), ext.Column("idempotency_key", "String")}, orgs, texts)
	if err != nil {
		return nil, err
	}
	found := make(map[leadevents.IdempotencyKey]leadevents.IdempotencyRecord)
	err = db.stream(ctx, "idempotency_find_many", clickhouse.Parameters{"since": strconv.FormatInt(int64(since), 10)}, func(rows driver.Rows) error {
		var (
			org, batch uint64
			key, hash  string
			created    int64
		)
		if err := rows.Scan(&org, &key, &batch, &hash, &created); err != nil {
			return err
		}
		record := leadevents.IdempotencyRecord{Batch: leadevents.BatchID(batch), CreatedAt: leadevents.Millis(created)}
		copy(record.BodyHash[:], hash)
		found[leadevents.IdempotencyKey{Org: leadevents.OrgID(org), Key: key}] = record
		return nil
	})
	return found, err
}

// SaveIdempotencyKeys makes durable which batch answers for each key.
func (db *DB) SaveIdempotencyKeys(ctx context.Context, keys []leadevents.IdempotencyKey, records []leadevents.IdempotencyRecord) error {
	n := len(keys)
	orgs, batches, created := make([]uint64, n), make([]uint64, n), make([]int64, n)
	texts, hashes := make([]string, n), make([]string, n)
	for i, k := range keys {
		orgs[i], texts[i] = uint64(k.Org), k.Key
		batches[i], hashes[i], created[i] = uint64(records[i].Batch), string(records[i].BodyHash[:]), int64(records[i].CreatedAt)
	}
	err := db.insertColumns(ctx, `INSERT INTO idempotency_keys (organization_id, idempotency_key, batch_id, body_hash, created_at)`,
		orgs, texts, batches, hashes, created)
	if err != nil {
		return unavailable(fmt.Errorf("save %d Idempotency-Keys: %w", n, err))
	}
	return nil
}

// ReceiptsOf reads the receipts of batches, each with up to rejects of its rejects;
// a batch that has none is not in the answer.
func (db *DB) ReceiptsOf(ctx context.Context, batches []leadevents.BatchRef, rejects int) (map[leadevents.BatchRef]leadevents.Receipt, error) {
	wanted, err := wantedBatches(ctx, batches)
	if err != nil {
		return nil, err
	}
	found := make(map[leadevents.BatchRef]leadevents.Receipt)
	err = db.stream(wanted, "batch_receipts", nil, func(rows driver.Rows) error {
		var org uint64
		r, err := scanReceipt(0, rows, &org)
		r.Org = leadevents.OrgID(org)
		found[leadevents.BatchRef{Org: r.Org, Batch: r.Batch}] = r
		return err
	})
	if err != nil {
		return nil, err
	}
	// Rejects are rare in what is asked for again; the query of one batch will do.
	for ref, r := range found {
		if r.Rejected == 0 || rejects == 0 {
			continue
		}
		whole, ok, err := db.Receipt(ctx, ref.Org, ref.Batch, rejects)
		if err != nil {
			return nil, err
		}
		if ok {
			found[ref] = whole
		}
	}
	return found, nil
}

// ContestsOf reads the contests that batches won or lost.
func (db *DB) ContestsOf(ctx context.Context, batches []leadevents.BatchRef) ([]leadevents.Contest, error) {
	ctx, err := wantedBatches(ctx, batches)
	if err != nil {
		return nil, err
	}
	var contests []leadevents.Contest
	names := map[string]string{}
	err = db.stream(ctx, "contests_of_batches", nil, func(rows driver.Rows) error {
		key, winner, loser, err := scanContest(rows, names)
		contests = append(contests, leadevents.Contest{Key: key, Winner: winner, Loser: loser})
		return err
	})
	return contests, err
}
