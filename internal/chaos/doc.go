// Package chaos torments running servers and proves that no answer was wrong.
//
// Clients send calls with heavily overlapping keys to several server processes
// ([Workload]) while a seeded plan of faults ([Plan]) kills, stops, empties and
// cuts off everything around them, partly through a TCP [Proxy] between the
// servers and their stores. Every request and answer is kept ([History]), and
// [History.Check] holds what the API promises against it:
//
//	I1  a key that was answered inserted or duplicate is in ClickHouse
//	I2  no key is answered inserted twice (the attempts of one Idempotency-Key
//	    count once), and one whose every request was answered was inserted once
//	I3  received = inserted + duplicates + rejected in every answer
//	I4  the state table equals GROUP BY over the raw table, for answered keys at
//	    once and for others when the servers have mended what was cut off; the FINAL
//	    count is that of the distinct keys
//	I5  after quiet, sending all calls again answers duplicate for every key that
//	    was ever answered, and no answer changes when it is sent a third time
//
// An answer says how many keys were inserted, not which. I2 is decided all the
// same: there must be a way to give each key to at most one request such that
// every answered request gets as many as it said (check.go).
//
// The tests are the harness: a short run is a part of every test run, a long one
// is `make chaos`. A backfill goes through kills of everything, itself too, with faults
// that are placed by rows. A server with the obvious ledger, SETNX and then the insert,
// goes through the same harness, which must find it losing rows.
package chaos
