-- The archive's half of the ledger's trust record: the newest number counts. The
-- other half lies in Redis; where they differ, Redis is not believed.
CREATE TABLE IF NOT EXISTS {database:Identifier}.ledger_trust
(
    number     UInt64,
    record     String,
    written_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = MergeTree
ORDER BY number;

-- Moments that Redis surely lived through. What is missing here after a restore
-- says that ClickHouse has gone back; what Redis misses, that Redis has.
CREATE TABLE IF NOT EXISTS {database:Identifier}.ledger_beats
(
    beat DateTime64(3, 'UTC')
)
ENGINE = MergeTree
ORDER BY beat
TTL toDateTime(beat) + INTERVAL 7 DAY;
