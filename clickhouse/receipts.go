package clickhouse

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"leadevents"
)

// waited are the settings of every insert that an answer rests on: it returns
// when the part is written.
func waited(ctx context.Context) context.Context {
	return clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{
		"async_insert":                           0,
		"low_cardinality_allow_in_native_format": 0,
	}))
}

// insertColumns inserts whole columns, in the order of the statement.
func (db *DB) insertColumns(ctx context.Context, statement string, columns ...any) error {
	batch, err := db.batch(waited(ctx), statement)
	if err != nil {
		return fmt.Errorf("prepare %q: %w", statement, err)
	}
	for i, column := range columns {
		if err := batch.Column(i).Append(column); err != nil {
			_ = batch.Abort()
			return fmt.Errorf("append column %d of %q: %w", i, statement, err)
		}
	}
	if err := batch.Send(); err != nil {
		return fmt.Errorf("send %q: %w", statement, err)
	}
	return nil
}

// SaveReceipts makes receipts durable, their rejects first: a receipt that can
// be read is whole.
func (db *DB) SaveReceipts(ctx context.Context, receipts []leadevents.Receipt) error {
	if err := db.saveRejects(ctx, receipts); err != nil {
		return unavailable(fmt.Errorf("save rejects: %w", err))
	}
	n := len(receipts)
	var (
		orgs, batches, versions                  = make([]uint64, n), make([]uint64, n), make([]uint64, n)
		states, types, keys, idempotencies, runs = make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n)
		hashes                                   = make([]string, n)
		received, inserted, duplicates, rejected = make([]uint32, n), make([]uint32, n), make([]uint32, n), make([]uint32, n)
		created, finished                        = make([]int64, n), make([]int64, n)
		conflicts, places                        = make([]int32, n), make([][]uint32, n)
	)
	for i := range receipts {
		r := &receipts[i]
		orgs[i], batches[i], versions[i] = uint64(r.Org), uint64(r.Batch), uint64(r.FinishedAt)
		states[i], types[i], keys[i], idempotencies[i], runs[i] = string(r.State), r.EventType, r.KeyID, r.IdempotencyKey, r.RunID
		hashes[i] = string(r.BodyHash[:])
		received[i], inserted[i], duplicates[i], rejected[i] = uint32(r.Received), uint32(r.Inserted), uint32(r.Duplicates), uint32(r.Rejected)
		created[i], finished[i] = int64(r.CreatedAt), int64(r.FinishedAt)
		conflicts[i], places[i] = -1, []uint32{}
		if r.Conflicts != nil {
			conflicts[i], places[i] = int32(r.Conflicts.Count), append(places[i], r.Conflicts.Rows...)
		}
	}
	err := db.insertColumns(ctx, `INSERT INTO batches (organization_id, batch_id, version, state, event_type, key_id, idempotency_key, body_hash, run_id, received, inserted, duplicates, rejected, created_at, finished_at, conflicts, conflict_rows)`,
		orgs, batches, versions, states, types, keys, idempotencies, hashes, runs, received, inserted, duplicates, rejected, created, finished, conflicts, places)
	if err != nil {
		return unavailable(fmt.Errorf("save %d receipts: %w", n, err))
	}
	return nil
}

func (db *DB) saveRejects(ctx context.Context, receipts []leadevents.Receipt) error {
	total := 0
	for i := range receipts {
		total += len(receipts[i].Rejects)
	}
	if total == 0 {
		return nil
	}
	var (
		orgs, batches = make([]uint64, 0, total), make([]uint64, 0, total)
		positions     = make([]uint32, 0, total)
		phones        = make([]*string, 0, total)
		reasons       = make([]string, 0, total)
	)
	for i := range receipts {
		for j := range receipts[i].Rejects {
			reject := &receipts[i].Rejects[j]
			orgs, batches = append(orgs, uint64(receipts[i].Org)), append(batches, uint64(receipts[i].Batch))
			positions = append(positions, uint32(reject.Index))
			var phone *string
			if reject.HasPhone {
				phone = &reject.Phone
			}
			phones, reasons = append(phones, phone), append(reasons, reject.Reason)
		}
	}
	return db.insertColumns(ctx, `INSERT INTO batch_rejects (organization_id, batch_id, position, phone, reason)`,
		orgs, batches, positions, phones, reasons)
}

// Receipt reads a batch's receipt with up to rejects of its rejects.
func (db *DB) Receipt(ctx context.Context, org leadevents.OrgID, batch leadevents.BatchID, rejects int) (leadevents.Receipt, bool, error) {
	p := clickhouse.Parameters{"organization": org.String(), "batch": batch.String(), "limit": strconv.Itoa(rejects)}
	r, err := scanReceipt(org, db.conn.QueryRow(params(ctx, p), sqlText("batch_receipt")))
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return r, false, nil
	case err != nil:
		return r, false, unavailable(fmt.Errorf("read the receipt of batch %s: %w", batch, err))
	case r.Rejected == 0 || rejects == 0:
		return r, true, nil
	}
	err = db.stream(ctx, "batch_rejects", p, func(rows driver.Rows) error {
		var (
			position uint32
			phone    *string
			reject   leadevents.RowReject
		)
		if err := rows.Scan(&position, &phone, &reject.Reason); err != nil {
			return err
		}
		reject.Index, reject.HasPhone = int(position), phone != nil
		if phone != nil {
			reject.Phone = *phone
		}
		r.Rejects = append(r.Rejects, reject)
		return nil
	})
	return r, true, err
}

// scanReceipt reads the columns that batch_receipt and batches_list select, and
// what stands before them.
func scanReceipt(org leadevents.OrgID, row interface{ Scan(...any) error }, before ...any) (leadevents.Receipt, error) {
	r := leadevents.Receipt{Org: org}
	var (
		batch                                    uint64
		state, hash                              string
		received, inserted, duplicates, rejected uint32
		created, finished                        int64
		conflicts                                int32
		places                                   []uint32
	)
	err := row.Scan(append(before, &batch, &state, &r.EventType, &r.KeyID, &r.IdempotencyKey, &hash, &r.RunID,
		&received, &inserted, &duplicates, &rejected, &created, &finished, &conflicts, &places)...)
	r.Batch, r.State = leadevents.BatchID(batch), leadevents.BatchState(state)
	copy(r.BodyHash[:], hash)
	r.Received, r.Inserted, r.Duplicates, r.Rejected = int(received), int(inserted), int(duplicates), int(rejected)
	r.CreatedAt, r.FinishedAt = leadevents.Millis(created), leadevents.Millis(finished)
	if conflicts >= 0 {
		r.Conflicts = &leadevents.Conflicts{Count: int(conflicts), Rows: places}
	}
	return r, err
}

// FindIdempotencyKey reads which batch answers for a key created since.
func (db *DB) FindIdempotencyKey(ctx context.Context, org leadevents.OrgID, key string, since leadevents.Millis) (leadevents.IdempotencyRecord, bool, error) {
	var (
		record  leadevents.IdempotencyRecord
		batch   uint64
		hash    string
		created int64
	)
	p := clickhouse.Parameters{"organization": org.String(), "key": key, "since": strconv.FormatInt(int64(since), 10)}
	err := db.conn.QueryRow(params(ctx, p), sqlText("idempotency_find")).Scan(&batch, &hash, &created)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return record, false, nil
	case err != nil:
		return record, false, unavailable(fmt.Errorf("look an Idempotency-Key up: %w", err))
	}
	record.Batch, record.CreatedAt = leadevents.BatchID(batch), leadevents.Millis(created)
	copy(record.BodyHash[:], hash)
	return record, true, nil
}

// SaveContests makes contests durable.
func (db *DB) SaveContests(ctx context.Context, contests []leadevents.Contest) error {
	n := len(contests)
	orgs, losers, winners, phones := make([]uint64, n), make([]uint64, n), make([]uint64, n), make([]uint64, n)
	types, times := make([]string, n), make([]int64, n)
	for i, c := range contests {
		orgs[i], types[i], phones[i], times[i] = uint64(c.Key.Org), c.Key.EventType, uint64(c.Key.Phone), int64(c.Key.OccurredAt)
		winners[i], losers[i] = uint64(c.Winner), uint64(c.Loser)
	}
	err := db.insertColumns(ctx, `INSERT INTO contested (organization_id, loser, event_type, occurred_at, phone, winner)`,
		orgs, losers, types, times, phones, winners)
	if err != nil {
		return unavailable(fmt.Errorf("save %d contests: %w", n, err))
	}
	return nil
}
