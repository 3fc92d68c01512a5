-- A power cut may take the last second of events, which their senders still have and
-- send again. Half an audience, or half of what a send keeps, would look whole:
-- so what a commit or an entry speaks of is on the disk before it is written.
ALTER TABLE {database:Identifier}.audience_leads MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;
ALTER TABLE {database:Identifier}.audience_layers MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;
ALTER TABLE {database:Identifier}.send_leads MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;
ALTER TABLE {database:Identifier}.send_evidence MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;
ALTER TABLE {database:Identifier}.send_lists MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;
-- So are the staged rows: a piece that is lost would be missed by nobody.
ALTER TABLE {database:Identifier}.audience_uploads MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;
-- A claim whose lease is lost looks like work under way, until a sweep finds it.
ALTER TABLE {database:Identifier}.send_leases MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;
