// Package clickhouse is the adapter to ClickHouse, which holds the truth: the
// connections, the columnar inserts, the cold check, receipts, credentials and
// every query, each a document in sql/.
//
// It implements the interfaces that its consumers own (ingest.Store,
// ledger.Archive, auth.Store, query.Store) in terms of the root vocabulary; it
// imports none of the consumers. With clickhouse/schema it is the only package
// that imports clickhouse-go.
package clickhouse
