-- The events. One row is one fact: "this phone had this event at that time".
--
-- The sorting key is the event's key and says which rows are one row. Its order
-- (time before phone) keeps the cold check of a batch and a window of a filter
-- inside a few neighbouring granules; clickhouse/schema/README.md has the figures.
-- The partition is a function of a key column, so rows of one key never lie
-- in two partitions and FINAL merges each partition by itself; a year, so that a
-- backfill of thirty years still touches fewer than the 100 partitions an insert may.
-- There is no version column: rows of one key differ only where requests
-- overlapped or one was never answered, and then any of them may stay. The last
-- inserted does, on every replica, and FINAL need not read a column for it.
CREATE TABLE IF NOT EXISTS {database:Identifier}.lead_events
(
    organization_id UInt64 CODEC(Delta, ZSTD(1)),
    event_type      LowCardinality(String),
    phone           UInt64 CODEC(T64, LZ4),
    occurred_at     DateTime64(3, 'UTC') CODEC(T64, ZSTD(1)),
    metadata        String CODEC(ZSTD(1)),
    ingested_at     DateTime64(3, 'UTC') CODEC(ZSTD(1)),
    batch_id        UInt64 CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYear(occurred_at)
ORDER BY (organization_id, event_type, occurred_at, phone)
SETTINGS non_replicated_deduplication_window = 10000;

-- What filters ask: has this lead such an event, when first, when last. Min and
-- max do not change when a row arrives twice, so no FINAL is ever needed here.
CREATE TABLE IF NOT EXISTS {database:Identifier}.lead_states
(
    organization_id UInt64,
    event_type      LowCardinality(String),
    phone           UInt64,
    first_at        SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    last_at         SimpleAggregateFunction(max, DateTime64(3, 'UTC'))
)
ENGINE = AggregatingMergeTree
ORDER BY (organization_id, event_type, phone)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS {database:Identifier}.lead_states_mv
TO {database:Identifier}.lead_states
AS SELECT
    organization_id,
    event_type,
    phone,
    min(occurred_at) AS first_at,
    max(occurred_at) AS last_at
FROM {database:Identifier}.lead_events
GROUP BY organization_id, event_type, phone;
