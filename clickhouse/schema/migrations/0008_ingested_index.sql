-- Rows of a stretch of ingested_at are looked for after an insert that broke off and
-- after a start (states_repair.sql), and by a rebuild of the ledger (ledger_keys.sql).
-- Live rows lie by time in both senses, and an old part holds no new rows: so two
-- moments a granule are enough to read only what can be meant. A billion rows
-- would be eleven seconds of a processor otherwise. Parts that are there get it when
-- they are merged.
ALTER TABLE {database:Identifier}.lead_events ADD INDEX IF NOT EXISTS ingested ingested_at TYPE minmax GRANULARITY 1;
