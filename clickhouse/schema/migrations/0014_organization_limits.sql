-- What organizations may do, where it differs from the settings' defaults: a row a limit,
-- so that two who change different limits at once do not undo each other. They are
-- read with the credentials, and written as they are: again, with a higher version.
-- A value of -1 is a limit that was taken back, 0 no limit whatever the default says.
CREATE TABLE IF NOT EXISTS {database:Identifier}.organization_limits
(
    organization_id UInt64,
    limit_name      String,
    value           Int64,
    version         UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (organization_id, limit_name)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;
