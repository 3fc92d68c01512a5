SELECT id, sealed, master_key_id, created_at, version
FROM data_keys FINAL
