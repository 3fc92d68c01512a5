-- How many of a batch's duplicates came with other metadata than is stored (-1: nobody
-- looked, ingest.conflicts is off), and the places of the first of them in the call: no
-- phones, so that an erasure has nothing to look for here.
ALTER TABLE {database:Identifier}.batches
    ADD COLUMN IF NOT EXISTS conflicts Int32 DEFAULT -1,
    ADD COLUMN IF NOT EXISTS conflict_rows Array(UInt32);
