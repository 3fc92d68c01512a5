-- Keys of the server's own, each under the master key as a signing secret is: what is
-- hashed under one cannot be guessed by whoever has the tables alone. They are of no
-- organization, and stay for ever, since what is hashed under them does; a rotation of
-- the master key encrypts them anew.
CREATE TABLE IF NOT EXISTS {database:Identifier}.data_keys
(
    id            String,
    sealed        String,
    master_key_id String,
    created_at    DateTime64(3, 'UTC'),
    version       UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;
