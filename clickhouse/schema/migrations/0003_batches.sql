-- A receipt per ingest call, written before its answer. A batch has several
-- versions: "running" (only with an Idempotency-Key, before anything is stored),
-- "done", "undone". The latest wins.
-- A single event has a receipt too, so it must be small: 16 bytes of the body's
-- SHA-256 tell bodies apart (2^64 of them for one accidental match), and the
-- rest compresses with its neighbours.
CREATE TABLE IF NOT EXISTS {database:Identifier}.batches
(
    organization_id UInt64,
    batch_id        UInt64,
    version         UInt64,
    state           LowCardinality(String),
    event_type      LowCardinality(String),
    key_id          LowCardinality(String),
    idempotency_key String,
    body_hash       FixedString(16),
    run_id          LowCardinality(String),
    received        UInt32,
    inserted        UInt32,
    duplicates      UInt32,
    rejected        UInt32,
    created_at      DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    finished_at     DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    INDEX created created_at TYPE minmax GRANULARITY 1,
    INDEX hash body_hash TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX run run_id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (organization_id, batch_id)
SETTINGS non_replicated_deduplication_window = 1000;

-- Which batch answers for an Idempotency-Key. A table of its own, since it is
-- asked by key before every such request and most batches have none; the time
-- comes first in nothing: a key is one organization's and looked up exactly.
CREATE TABLE IF NOT EXISTS {database:Identifier}.idempotency_keys
(
    organization_id UInt64,
    idempotency_key String,
    batch_id        UInt64,
    body_hash       FixedString(16),
    created_at      DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(created_at)
ORDER BY (organization_id, idempotency_key)
TTL toDateTime(created_at) + INTERVAL 2 DAY
SETTINGS non_replicated_deduplication_window = 1000;

-- All rejected rows of a batch, not only the 50 an answer shows.
CREATE TABLE IF NOT EXISTS {database:Identifier}.batch_rejects
(
    organization_id UInt64,
    batch_id        UInt64,
    position        UInt32,
    phone           Nullable(String),
    reason          LowCardinality(String)
)
ENGINE = ReplacingMergeTree
ORDER BY (organization_id, batch_id, position)
SETTINGS non_replicated_deduplication_window = 1000;

-- Keys that two batches stored: merges keep either's row, this says whose the
-- key is. Found by the loser (a batch that is sent again) and by the key.
CREATE TABLE IF NOT EXISTS {database:Identifier}.contested
(
    organization_id UInt64,
    loser           UInt64,
    event_type      LowCardinality(String),
    occurred_at     DateTime64(3, 'UTC'),
    phone           UInt64,
    winner          UInt64,
    recorded_at     DateTime64(3, 'UTC') DEFAULT now64(3),
    INDEX winner winner TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX occurred occurred_at TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree
ORDER BY (organization_id, loser, event_type, occurred_at, phone)
SETTINGS non_replicated_deduplication_window = 1000;
