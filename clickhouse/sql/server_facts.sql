-- What `leadevents check` reports of a server.
SELECT version(), now64(3)
