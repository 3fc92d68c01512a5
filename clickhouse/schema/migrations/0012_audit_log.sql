-- Who did what to an organization. Rows are added and never changed: an act has a row
-- when it begins, and another with the same (at, entry) when its outcome is known;
-- readers take the one with the later outcome. A plain MergeTree, so that no merge
-- drops the first.
-- It is synced to disk before an act begins: a power cut must not leave an act without
-- its entry. Rows are written one at a time, by hand or a few a minute by campaigns.
-- at is by the clock of the process, written_at by the server's own: they tell when one
-- of the two is wrong. Kept for ever; an entry takes some 100 bytes.
-- An organization's entries lie by time: a page is read from its end, and stops.
CREATE TABLE IF NOT EXISTS {database:Identifier}.audit_log
(
    organization_id UInt64,
    at              DateTime64(3, 'UTC'),
    entry           UInt64, -- 63 random bits
    outcome         Enum8('begun' = 0, 'done' = 1, 'failed' = 2),
    action          LowCardinality(String),
    actor_type      LowCardinality(String),
    actor_id        String,
    object          String,
    detail          String CODEC(ZSTD(1)), -- JSON, without secrets and phones
    client          String, -- an address; empty of commands
    request_id      String,
    written_at      DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = MergeTree
ORDER BY (organization_id, at, entry, outcome)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;
