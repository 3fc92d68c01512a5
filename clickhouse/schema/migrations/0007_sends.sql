-- Sends: what they ask, and where their materialization stands. A few rows a send,
-- written one at a time; query/audience, SendLog, says how they are read.

-- A log: rows are added and never changed, so that two processes which do not see each
-- other lose nothing of one another. kind is
--   defined  what the send asks: audience (JSON), event_filters (JSON), fire_at
--   listed   a list filter: list_id names its leads in send_lists
--   claimed  a run was begun: entry is its number, definition and list the entries
--            that it goes by, fire_at and as_of its moments
--   done     run is finished; totals are total, kept, dropped by the list filter and by
--            each event filter
--   failed   run has failed, for the reason
-- Entries of one send come one at a time (a lock in Redis). Where that is lost and two
-- meet, the newest claim that is done counts, by (sequence, entry).
-- What was frozen must not come undone by a power cut: an entry is synced to disk
-- before it is acknowledged.
CREATE TABLE IF NOT EXISTS {database:Identifier}.sends
(
    organization_id UInt64,
    send_id         String,
    sequence        UInt64,
    entry           UInt64, -- 63 random bits
    kind            LowCardinality(String),
    campaign_id     String,
    audience        String,
    phones          UInt64, -- the list in send_lists that holds an audience of phones
    event_filters   String,
    fire_at         DateTime64(3, 'UTC'), -- 1970: when it is materialized
    list_id         UInt64,
    list_mode       LowCardinality(String),
    list_hash       FixedString(32),
    list_leads      UInt64,
    definition      UInt64,
    list            UInt64,
    run             UInt64,
    as_of           DateTime64(3, 'UTC'),
    totals          Array(UInt64),
    reason          String,
    written_at      DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = MergeTree
ORDER BY (organization_id, send_id, sequence, entry)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

-- Who works at a run: renewed every few seconds, by the server's clock. What is looked
-- through for runs that died, so it holds those that are under way, and the ended for a
-- day. It decides nothing: a lost lease has a run begun again.
CREATE TABLE IF NOT EXISTS {database:Identifier}.send_leases
(
    organization_id UInt64,
    send_id         String,
    run             UInt64,
    renewal         UInt64,
    parts_done      UInt32,
    parts           UInt32,
    ended           Bool,
    expires_at      DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(renewal)
ORDER BY (organization_id, send_id, run)
TTL toDateTime(expires_at) + INTERVAL 1 DAY DELETE WHERE ended;
