// Command schema is the experiment behind migration 0001: it loads the same
// 20 million events into tables that differ in one thing each (sort key,
// partition, version column, type of event_type, skip index, codecs), runs the
// store's own queries on them in turn, and prints what each costs.
//
// A sort key cannot be migrated away, so the figures that decided it are kept:
// clickhouse/schema/README.md quotes them. `make bench-schema` runs it again, on an
// engine of its own in a temporary folder, or with --clickhouse on a server.
package main
