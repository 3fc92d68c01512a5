-- For how many days events are kept: a row a type, and one with every_type for all types
-- of the organization that have none of their own. days = 0 is "for ever", -1 a row
-- that was taken back. Written again with a higher version, as limits are.
CREATE TABLE IF NOT EXISTS {database:Identifier}.retention
(
    organization_id UInt64,
    every_type      Bool,
    event_type      String,
    days            Int32,
    version         UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (organization_id, every_type, event_type)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;
