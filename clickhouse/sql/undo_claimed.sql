-- Which batches have won a key from one without a receipt.
SELECT DISTINCT winner
FROM contested
WHERE organization_id = {organization:UInt64}
  AND winner IN {batches:Array(UInt64)}
  AND loser NOT IN (
      SELECT batch_id
      FROM batches
      WHERE organization_id = {organization:UInt64} AND batch_id IN (
          SELECT loser
          FROM contested
          WHERE organization_id = {organization:UInt64} AND winner IN {batches:Array(UInt64)}))
