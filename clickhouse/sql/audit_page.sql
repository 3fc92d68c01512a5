-- Entries of an organization's audit log, newest first, from a position on. An entry
-- has a row for each thing that is known of it; the last word comes first, and the
-- reader drops what follows it. (LIMIT 1 BY here would have the whole log read: 290 ms for
-- the newest of half a million entries, where this takes some tens on the same busy machine.)
-- In the order of the sorting key, backwards: what is read is what is shown, and what
-- the filters pass over.
SELECT
    entry, toUnixTimestamp64Milli(at) AS began, toString(outcome), action, actor_type, actor_id,
    object, detail, client, request_id
FROM audit_log
WHERE organization_id = {organization:UInt64}
  AND at >= fromUnixTimestamp64Milli({from:Int64})
  AND ({to:Int64} = 0 OR at < fromUnixTimestamp64Milli({to:Int64}))
  AND ({after:Int64} = 0 OR (at, entry) < (fromUnixTimestamp64Milli({after:Int64}), {after_entry:UInt64}))
  AND ({action:String} = '' OR action = {action:String})
  AND ({actor:String} = '' OR actor_id = {actor:String} OR actor_type = {actor:String})
ORDER BY at DESC, entry DESC, audit_log.outcome DESC
LIMIT {limit:UInt32}
