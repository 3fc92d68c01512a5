-- Which of some batches have a receipt: the ledger asks when ClickHouse may have
-- been restored from a snapshot. By the primary key, a granule a batch.
SELECT DISTINCT organization_id, batch_id
FROM batches
WHERE (organization_id, batch_id) IN arrayZip({organizations:Array(UInt64)}, {batches:Array(UInt64)})
