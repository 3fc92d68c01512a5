-- Organizations and their credentials: a few thousand rows, all of them held in
-- every server process, asked for changes twice a second.
--
-- A record is changed by writing it again with a higher version; readers take
-- FINAL. Nothing is Nullable: the start of 1970 means "never", and "" "none".
--
-- A revocation that a power cut undoes would let a stolen key in again, so these
-- tables are synced to disk before a write is acknowledged, and so are their
-- merges. Rows are written by hand, one at a time: the few milliseconds do not
-- matter here.

-- One row a claim: two processes that create one id at the same time write a claim each,
-- and the one that sees the other's withdraws its own.
CREATE TABLE IF NOT EXISTS {database:Identifier}.organizations
(
    organization_id UInt64,
    claim           UInt64,
    name            String,
    auth_mode       String,
    created_at      DateTime64(3, 'UTC'),
    withdrawn       Bool,
    version         UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (organization_id, claim)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

-- The key itself is not here: sha256 (hex) is what a presented key is looked up by.
CREATE TABLE IF NOT EXISTS {database:Identifier}.api_keys
(
    organization_id UInt64,
    id              String,
    name            String,
    sha256          String,
    scopes          Array(String),
    created_at      DateTime64(3, 'UTC'),
    expires_at      DateTime64(3, 'UTC'),
    revoked_at      DateTime64(3, 'UTC'),
    version         UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (organization_id, id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

-- sealed is the secret under AES-256-GCM, bound to organization_id and id; it is
-- empty from the revocation on.
CREATE TABLE IF NOT EXISTS {database:Identifier}.signing_keys
(
    organization_id UInt64,
    id              String,
    name            String,
    sealed          String,
    master_key_id   String,
    created_at      DateTime64(3, 'UTC'),
    revoked_at      DateTime64(3, 'UTC'),
    version         UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (organization_id, id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

-- Uses of both sorts of keys, written in batches by every process: sums and
-- maxima of differences, so that processes need not know of each other.
CREATE TABLE IF NOT EXISTS {database:Identifier}.key_uses
(
    organization_id UInt64,
    key_id          String,
    last_used_at    SimpleAggregateFunction(max, DateTime64(3, 'UTC')),
    uses            SimpleAggregateFunction(sum, UInt64)
)
ENGINE = AggregatingMergeTree
ORDER BY (organization_id, key_id);
