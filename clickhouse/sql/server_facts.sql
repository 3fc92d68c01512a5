-- What `leadevents check` reports of a server: its version, its clock, and whether
-- a row that it acknowledges has reached the disk.
SELECT
    version(),
    now64(3),
    (SELECT value IN ('1', 'true') FROM system.merge_tree_settings WHERE name = 'fsync_after_insert')
