-- A list is stored before the entry that names it. Where the entry never came, the
-- list's age tells that nobody will name it any more.
ALTER TABLE {database:Identifier}.send_lists ADD COLUMN IF NOT EXISTS written_at DateTime('UTC') DEFAULT now() CODEC(T64, LZ4);
