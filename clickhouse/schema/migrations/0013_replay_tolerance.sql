-- How many seconds the timestamp of a webhook's signature may lie from the clock of the
-- server, where an organization asks for one; 0 where it does not.
ALTER TABLE {database:Identifier}.organizations ADD COLUMN IF NOT EXISTS replay_tolerance UInt32 DEFAULT 0;
