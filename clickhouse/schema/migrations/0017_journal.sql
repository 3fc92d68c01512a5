-- What changes rows and keys after the fact: an entry is written here before the first
-- of them is touched, and says how far it has come, so that whoever goes on after a crash
-- knows what is to be done. A log: rows are added; package journal says how they are read.
-- step is
--   begun      what is to be done: of an erasure phone, and by which hash the lead is
--              known for ever after (sieve, sum, under the data key key_id)
--   collected  what a pass has found, before it removes it: counts by kind, and what
--              has to be counted anew afterwards, layers and lists
--   removed    a pass is through
--   verified   a look after the last pass has found nothing more
--   purged     nothing of it is in any part on the disk
--   allowed    the lead may come again
-- phone is the one thing that does not stay: it is 0 from "verified" on. Rows that have
-- one are what filters leave out, and the statements that remove rows read it from here,
-- so that no statement's text, and no mutation on the disk, shows a phone.
-- It is synced to disk before the answer: a power cut must not bring a lead back.
CREATE TABLE IF NOT EXISTS {database:Identifier}.journal
(
    organization_id UInt64,
    entry           UInt64, -- 63 random bits
    kind            LowCardinality(String),
    step            LowCardinality(String),
    pass            UInt32,
    phone           UInt64,
    key_id          String,
    sieve           UInt64,
    sum             FixedString(32),
    counts          Map(String, UInt64),
    layers          Array(UInt64),
    lists           Array(UInt64),
    written_at      DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = MergeTree
ORDER BY (organization_id, entry, step, pass)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

-- How many leads of a list were erased since it was stored: a run counts the leads of
-- its lists before it believes them, and these are not missing.
CREATE TABLE IF NOT EXISTS {database:Identifier}.send_list_erasures
(
    organization_id UInt64,
    list            UInt64,
    entry           UInt64, -- of the journal; an erasure may be noted twice
    leads           UInt64 DEFAULT 1
)
ENGINE = ReplacingMergeTree
ORDER BY (organization_id, list, entry)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;
