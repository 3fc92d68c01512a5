-- The events. One row is one fact: "this phone had this event at that time".
--
-- The sorting key is the event's key and says which rows are one row. Its order
-- (time before phone) keeps the cold check of a batch and a window of a filter
-- inside a few neighbouring granules; clickhouse/schema/README.md has the figures.
-- The partition is a function of a key column, so rows of one key never lie
-- in two partitions and FINAL merges each partition by itself; a year, so that a
-- backfill of thirty years still touches fewer than the 100 partitions an insert may.
CREATE TABLE IF NOT EXISTS {database:Identifier}.lead_events
(
    organization_id UInt64,
    event_type      LowCardinality(String),
    phone           UInt64,
    occurred_at     DateTime64(3, 'UTC'),
    metadata        String,
    ingested_at     DateTime64(3, 'UTC'),
    batch_id        UInt64
)
ENGINE = ReplacingMergeTree(ingested_at)
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
