// Package app puts the server together: it turns settings into a graph of
// parts, starts them in order, and stops them in reverse.
//
// Three programs are made of it. [Serve] is the server against stores that run
// elsewhere, [Dev] is the same server with a ClickHouse and a Redis of its own
// on this machine, and [Check] looks at settings and stores and says what to do.
// [Administer] changes organizations and keys beside running servers.
//
//	started ─────────────────────────────────────────────▶
//	(dev: folder, engine, redis) → clickhouse → ledger → credentials → ingester → http
//	◀───────────────────────────────────────────── stopped
//
// The order of the stop is what keeps the promises: first nothing new comes in,
// then what was accepted is stored and sealed, then the last uses of keys are
// written, and only then do the connections, and in dev the stores, go away.
package app
