-- What a materialization decided, and why. Every row belongs to a run: a run is
-- written once, from its start to its end, and never again; one that was cut off
-- is removed and another begun. So these are plain MergeTrees, and nothing in
-- them is ever a second version of something else.

-- One row a lead of the audience. dropped_by: 0 is kept, 1 the list filter, 2 + i
-- the event filter i, the first that drops. passed has a bit for each event filter,
-- also for those after the first that drops. In the order of phones, since that
-- is how what was kept is read, the same every time.
CREATE TABLE IF NOT EXISTS {database:Identifier}.send_leads
(
    organization_id UInt64,
    run             UInt64,
    phone           UInt64 CODEC(T64, LZ4),
    external_id     String CODEC(ZSTD(1)),
    dropped_by      UInt8,
    passed          UInt16,
    listed          Bool
)
ENGINE = MergeTree
ORDER BY (organization_id, run, phone);

-- For each event filter, the leads of the audience that have events which it
-- counts: how many distinct ones, and when the latest of them occurred. What a
-- lead's explanation says is read from here, whatever is stored later. The filter
-- 255 is the audience itself where it has to be written down before anything
-- else is asked, because it is a question to the events too.
CREATE TABLE IF NOT EXISTS {database:Identifier}.send_evidence
(
    organization_id UInt64,
    run             UInt64,
    filter          UInt8,
    phone           UInt64 CODEC(T64, LZ4),
    events          UInt32 CODEC(T64, LZ4),
    last_at         DateTime64(3, 'UTC') CODEC(T64, ZSTD(1))
)
ENGINE = MergeTree
ORDER BY (organization_id, run, filter, phone);

-- The leads of a list filter, each by its phone (external_id is empty) or by its
-- externalId (phone is 0). A list is written once; another one has another number.
CREATE TABLE IF NOT EXISTS {database:Identifier}.send_lists
(
    organization_id UInt64,
    list            UInt64,
    phone           UInt64 CODEC(T64, LZ4),
    external_id     String CODEC(ZSTD(1))
)
ENGINE = MergeTree
ORDER BY (organization_id, list, phone, external_id);

-- A preview reads the states of whole event types, so reading them fast counts more
-- than a byte: T64 alone takes 3 ns a value, with LZ4 behind it 4, and the LZ4 that
-- was there before 6 to 10. A row is 12.7 bytes instead of 17.7. Only new parts are
-- written so, and old ones when they are merged.
ALTER TABLE {database:Identifier}.lead_states
    MODIFY COLUMN organization_id CODEC(T64),
    MODIFY COLUMN phone CODEC(T64),
    MODIFY COLUMN first_at CODEC(T64),
    MODIFY COLUMN last_at CODEC(T64);
