// Package ingest is the write path: it decodes a call, stores what is new and
// answers exactly how many rows were new, duplicate or rejected.
//
// The obvious order (remember the key, then insert) loses data: a crash between
// the two leaves a memory without a row, and the retry is told "duplicate". So
// the ledger only ever records what is already stored, and its seal decides the
// counts. The steps of a group of calls, and what each guarantees:
//
//  1. collapse   a key that repeats inside a call, or in a group, is stored once
//  2. peek       keys that the ledger knows are duplicates: their rows are stored
//  3. cold check keys whose absence proves nothing are looked up in ClickHouse. A
//     duplicate by its row alone gets its state, if that row's insert broke off
//  4. store      one columnar insert, waited for; an unknown outcome is sent
//     again under the same token, then ended and answered 503
//  5. seal       of all that stored a key exactly one gets it: inserted. The
//     others: duplicate. The epoch is checked in the same atomic step. Keys that are
//     duplicates by a row alone are sealed for that row's batch
//     Then, where it is asked for, duplicates with other metadata are counted
//  6. contests   keys that two stored are written down: a merge may keep either row
//  7. receipts   durable, then the answer
//
// A crash after 4 leaves rows that nobody was told of: a retry stores them again
// (merges make them one) and seals them, so it is told inserted. A crash after 5
// leaves sealed keys whose request was never answered: a retry is told duplicate,
// unless it carries the same Idempotency-Key and so the same token.
//
// Small calls are gathered into groups and share the round trips; big ones have
// lanes of their own, of which those of a backfill may have only some. Only
// handler.go knows Fiber.
package ingest
