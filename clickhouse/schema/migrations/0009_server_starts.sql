-- The name of the server's present start: what lies in memory dies with it. Its
-- uptime is told in seconds, and two starts within one would be taken for one.
CREATE TABLE IF NOT EXISTS {database:Identifier}.server_starts (name UInt64) ENGINE = Memory;
