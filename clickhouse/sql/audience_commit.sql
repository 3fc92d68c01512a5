-- One row is the commit. Times are the server's; 0 stands for now.
INSERT INTO audience_layers (organization_id, audience_id, sequence, layer, base, replaces, deleted, merged, leads, since, changed_at, committed_at)
WITH now64(3) AS now
SELECT
    {organization:UInt64}, {audience:String}, {sequence:UInt64}, {layer:UInt64}, {base:UInt64},
    {replaces:Bool}, {deleted:Bool}, {merged:Array(UInt64)}, {leads:UInt64},
    if({since:Int64} = 0, now, fromUnixTimestamp64Milli({since:Int64})),
    if({changed:Int64} = 0, now, fromUnixTimestamp64Milli({changed:Int64})),
    now
