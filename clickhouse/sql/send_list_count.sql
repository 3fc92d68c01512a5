-- How many leads of a list are stored, or were erased since it was: a run looks whether
-- any is missing. While one is being erased it may count twice.
SELECT
    (SELECT count() FROM send_lists WHERE organization_id = {organization:UInt64} AND list = {list:UInt64})
    + (SELECT sum(leads) FROM send_list_erasures FINAL WHERE organization_id = {organization:UInt64} AND list = {list:UInt64})
