// Package leadevents is the vocabulary of the lead event store: what a phone,
// an event, a key, a batch and an error are, one name and one type each.
//
// A company tells the store "this phone number did event X at time T". Such a
// fact is an [Event]; its identity is a [Key] (organization, phone, event type,
// time in milliseconds), and each key is counted inserted at most once, ever.
// The events of one call form a [Batch]; its random [BatchID] is the token by
// which the ledger tells "mine, sent again" from "somebody else's".
//
// The package imports nothing else of this module; every other package imports
// it. Phones are read here too ([ParsePhone]), since ingest and audiences must
// agree on them to the digit.
package leadevents
