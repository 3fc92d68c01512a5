-- An entry of the journal that undoes a batch (kind 'undo') has no phone: it names the
-- batch, its event type, which filters ask for, and its run, if it has one.
ALTER TABLE {database:Identifier}.journal
    ADD COLUMN IF NOT EXISTS batch_id UInt64,
    ADD COLUMN IF NOT EXISTS event_type LowCardinality(String),
    ADD COLUMN IF NOT EXISTS run_id LowCardinality(String);

-- What an undo removes, each row as it is stored (key, batch, stamp): written down before
-- the first of them is deleted, since afterwards nobody could say which keys leave the
-- ledger, and whose states are told anew. Rows of batches that lost a key to the undone
-- one are among them; owner is the one that is undone. A key of which no row of the owner
-- is left has a row with the stamp 1970. They leave when the entry is verified.
-- Reading them a second time must give the same, so it is synced to disk as the journal is.
CREATE TABLE IF NOT EXISTS {database:Identifier}.undo_rows
(
    organization_id UInt64 CODEC(Delta, ZSTD(1)),
    entry           UInt64 CODEC(Delta, ZSTD(1)),
    event_type      LowCardinality(String),
    occurred_at     DateTime64(3, 'UTC') CODEC(T64, ZSTD(1)),
    phone           UInt64 CODEC(T64, LZ4),
    batch_id        UInt64 CODEC(ZSTD(1)),
    ingested_at     DateTime64(3, 'UTC') CODEC(ZSTD(1)),
    owner           UInt64 CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
ORDER BY (organization_id, entry, event_type, occurred_at, phone, batch_id, ingested_at)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;
