// Package schema brings a ClickHouse database to the tables this binary needs.
//
// The tables are numbered SQL files (migrations/NNNN_name.sql), embedded in the
// binary, append-only and run in order by [Migrate]. Which of them a database
// has is recorded in its own table schema_migrations, with the SHA-256 of each
// file's text, so that an edited file and a database from a newer binary are
// refused by name instead of half understood.
//
// ClickHouse has neither DDL transactions nor locks. Safety comes from two rules:
// every statement may be run any number of times (IF NOT EXISTS and the like), and a file
// is recorded only after its last statement. Hence:
//
//	what happens                          what is left                 what the next run does
//	crash between two statements          some tables, no record       runs the whole file again
//	crash before the record               all tables, no record        runs the file again, records it
//	two processes at once                 both run, both record        reads the two records as one
//
// How to write a migration: a new file with the next number, never an edit of
// an old one; statements end with ";"; tables are written with the query
// parameter {database:Identifier} in front, so that one file serves any
// database and can be pasted into clickhouse-client started with
// --param_database=NAME. README.md tells why the keys of 0001 are what they are.
package schema
