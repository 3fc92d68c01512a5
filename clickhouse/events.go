package clickhouse

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/ext"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"leadevents"
)

// insertEvents names the columns in the order Rows has them.
const insertEvents = `INSERT INTO lead_events (organization_id, event_type, phone, occurred_at, metadata, ingested_at, batch_id)`

// InsertEvents stores rows as one native columnar block and waits until the
// server has them, and their state rows through the view. An insert is atomic
// per partition, not across: after an error any part of the rows may be there.
// Sending the identical rows with the same token again adds only what is
// missing (the server's deduplication log; behind it the sorting key). Where the
// server itself says why it refuses (its disk is full, too many parts wait for a
// merge), the query has ended, and the error is one for the client. The query
// runs under queryID, by which [DB.Kill] ends it.
func (db *DB) InsertEvents(ctx context.Context, rows *leadevents.Rows, token, queryID string) error {
	ctx = clickhouse.Context(ctx,
		clickhouse.WithQueryID(queryID),
		clickhouse.WithSettings(clickhouse.Settings{
			"async_insert":               0,
			"insert_deduplicate":         1,
			"insert_deduplication_token": token,
			"deduplicate_blocks_in_dependent_materialized_views": 1,
			// One block: the token names a block, and a block split by the server
			// would be several under one token.
			"max_insert_block_size":           1 << 20,
			"max_partitions_per_insert_block": 0, // our partitions are years: at most 130 of them exist
			// Our types come as plain strings; the server builds the dictionary.
			// clickhouse-go's LowCardinality goes through reflection row by row.
			"low_cardinality_allow_in_native_format": 0,
		}))
	batch, err := db.batch(ctx, insertEvents)
	if err != nil {
		return refusedOr(fmt.Errorf("prepare the insert of %d rows: %w", rows.Len(), err))
	}
	if err := appendRows(batch.Column, rows); err != nil {
		_ = batch.Abort()
		return err
	}
	if err := batch.Send(); err != nil {
		return refusedOr(fmt.Errorf("insert %d rows: %w", rows.Len(), err))
	}
	return nil
}

// appendRows puts rows into the columns of insertEvents.
func appendRows(column func(int) driver.BatchColumn, rows *leadevents.Rows) error {
	ingested := make([]int64, rows.Len())
	for i := range ingested {
		ingested[i] = int64(rows.IngestedAt)
	}
	for i, values := range []any{rows.Orgs, rows.EventTypes, rows.Phones, rows.OccurredAt, rows.Metadata, ingested, rows.BatchIDs} {
		if err := column(i).Append(values); err != nil {
			return fmt.Errorf("append column %d of %d rows: %w", i, rows.Len(), err)
		}
	}
	return nil
}

// Kill ends the query that runs under queryID, and waits until it has ended. A
// query that is not there any more is no error.
func (db *DB) Kill(ctx context.Context, queryID string) error {
	err := db.conn.Exec(params(ctx, clickhouse.Parameters{"id": queryID}),
		`KILL QUERY WHERE query_id = {id:String} SYNC FORMAT Null`)
	if err != nil {
		return fmt.Errorf("end query %s: %w", queryID, err)
	}
	return nil
}

// FindKeys reads every stored version of the given keys, which belong to one
// type of one organization. The answer is in no order. Memory is bounded by the
// keys (50,000 in a call: 6 to 14 MiB at the server, whatever is stored), and
// one row a stored version here.
func (db *DB) FindKeys(ctx context.Context, org leadevents.OrgID, eventType string, phones []uint64, occurredAt []int64) ([]leadevents.StoredKey, error) {
	ctx, err := withKeys(ctx, org, eventType, phones, occurredAt)
	if err != nil {
		return nil, err
	}
	table := "lead_events"
	if scattered(occurredAt) {
		table += " PREWHERE occurred_at IN (SELECT occurred_at FROM keys)"
	}
	result, err := db.conn.Query(ctx, place(sqlText("keys_find"), "table", table))
	if err != nil {
		return nil, unavailable(fmt.Errorf("find %d keys: %w", len(phones), err))
	}
	defer result.Close()
	var (
		found              []leadevents.StoredKey
		occurred, ingested time.Time
		phone, batch       uint64
	)
	for result.Next() {
		if err := result.Scan(&occurred, &phone, &batch, &ingested); err != nil {
			return nil, unavailable(fmt.Errorf("read found keys: %w", err))
		}
		found = append(found, leadevents.StoredKey{
			Phone: leadevents.Phone(phone), OccurredAt: leadevents.MillisOf(occurred),
			Batch: leadevents.BatchID(batch), IngestedAt: leadevents.MillisOf(ingested),
		})
	}
	if err := result.Err(); err != nil {
		return nil, unavailable(fmt.Errorf("read found keys: %w", err))
	}
	return found, nil
}

// scattered says whether keys lie so far apart that most rows between them are none of theirs. It
// was measured for a day and for five years (keys_find.sql); thirty days lie between them.
func scattered(occurredAt []int64) bool {
	return len(occurredAt) > 0 && slices.Max(occurredAt)-slices.Min(occurredAt) > 30*dayMillis
}

// FindDiffering reads those of the keys that are stored with metadata of another hash.
func (db *DB) FindDiffering(ctx context.Context, org leadevents.OrgID, eventType string, phones []uint64, occurredAt []int64, hashes []uint64) ([]leadevents.StoredMetadata, error) {
	ctx, err := withKeys(ctx, org, eventType, phones, occurredAt, hashes)
	if err != nil {
		return nil, err
	}
	result, err := db.conn.Query(ctx, sqlText("keys_differ"))
	if err != nil {
		return nil, unavailable(fmt.Errorf("compare the metadata of %d keys: %w", len(phones), err))
	}
	defer result.Close()
	var found []leadevents.StoredMetadata
	for result.Next() {
		var (
			occurred    time.Time
			phone, hash uint64
		)
		if err := result.Scan(&occurred, &phone, &hash); err != nil {
			return nil, unavailable(fmt.Errorf("read metadata that differs: %w", err))
		}
		found = append(found, leadevents.StoredMetadata{Phone: leadevents.Phone(phone), OccurredAt: leadevents.MillisOf(occurred), Hash: hash})
	}
	if err := result.Err(); err != nil {
		return nil, unavailable(fmt.Errorf("read metadata that differs: %w", err))
	}
	return found, nil
}

// SaveStates adds the states of keys whose rows are stored: what an insert does
// through the view, for rows whose insert may have ended before it.
func (db *DB) SaveStates(ctx context.Context, org leadevents.OrgID, eventType string, phones []uint64, occurredAt []int64) error {
	ctx, err := withKeys(ctx, org, eventType, phones, occurredAt)
	if err != nil {
		return err
	}
	if err := db.conn.Exec(ctx, sqlText("states_of_keys")); err != nil {
		return unavailable(fmt.Errorf("save the states of %d keys: %w", len(phones), err))
	}
	return nil
}

// withKeys gives a document its keys, as the external table "keys", and whose
// they are.
func withKeys(ctx context.Context, org leadevents.OrgID, eventType string, phones []uint64, occurredAt []int64, hashes ...[]uint64) (context.Context, error) {
	columns := []func(*ext.Table) error{
		ext.Column("occurred_at", "DateTime64(3, 'UTC')"), // with the space: without it clickhouse-go reads the zone wrong
		ext.Column("phone", "UInt64"),
	}
	if len(hashes) > 0 {
		columns = append(columns, ext.Column("hash", "UInt64"))
	}
	table, err := ext.NewTable("keys", columns...)
	if err != nil {
		return nil, fmt.Errorf("describe the keys: %w", err)
	}
	if _, err := table.Block().Columns[0].Append(occurredAt); err != nil {
		return nil, fmt.Errorf("append the times of %d keys: %w", len(occurredAt), err)
	}
	if _, err := table.Block().Columns[1].Append(phones); err != nil {
		return nil, fmt.Errorf("append the phones of %d keys: %w", len(phones), err)
	}
	for _, column := range hashes {
		if _, err := table.Block().Columns[2].Append(column); err != nil {
			return nil, fmt.Errorf("append the hashes of %d keys: %w", len(column), err)
		}
	}
	return clickhouse.Context(params(ctx, clickhouse.Parameters{
		"organization": strconv.FormatUint(uint64(org), 10),
		"event_type":   eventType,
	}), clickhouse.WithExternalTable(table)), nil
}
