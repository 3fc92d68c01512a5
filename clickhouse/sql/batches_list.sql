-- Receipts of an organization, newest first, from a position on. A batch that was
-- undone has two rows of the same moment: the later version comes first, and the
-- reader drops what follows it.
-- Batches lie by id, so this reads created_at of all of the organization's (two
-- bytes a row); what it shows is read for the rows it shows alone.
SELECT
    batch_id, state, event_type, key_id, idempotency_key, body_hash, run_id,
    received, inserted, duplicates, rejected,
    toUnixTimestamp64Milli(created_at) AS created, toUnixTimestamp64Milli(finished_at), conflicts, conflict_rows
FROM batches
WHERE organization_id = {organization:UInt64}
  AND created_at >= fromUnixTimestamp64Milli({from:Int64})
  AND ({to:Int64} = 0 OR created_at < fromUnixTimestamp64Milli({to:Int64}))
  AND ({after:Int64} = 0 OR (created_at, batch_id) < (fromUnixTimestamp64Milli({after:Int64}), {after_batch:UInt64}))
  AND ({event_type:String} = '' OR event_type = {event_type:String})
  AND ({key:String} = '' OR key_id = {key:String})
  AND ({idempotency_key:String} = '' OR idempotency_key = {idempotency_key:String})
  AND ({hash:String} = '' OR body_hash = unhex({hash:String}))
  AND ({run:String} = '' OR run_id = {run:String})
  AND ({state:String} = '' OR state = {state:String})
  -- The state is that of the latest version; undone ones are few.
  AND ({state:String} != 'done' OR batch_id NOT IN (
      SELECT batch_id FROM batches WHERE organization_id = {organization:UInt64} AND state = 'undone'))
ORDER BY created_at DESC, batch_id DESC, version DESC
LIMIT {limit:UInt32}
