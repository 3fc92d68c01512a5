// Package house holds the rules of the house: which room stands on which
// floor, and that imports only ever point down.
//
// It has no code of its own, only the test that walks `go list` and fails on an
// import that points up or sideways, on a driver or web framework outside its
// room, on a package without a doc.go, and on names that say nothing.
//
//	cmd/leadevents, cmd/loadgen, bench        programs
//	cmd/internal/app                          the object graph
//	configs                                   settings
//	ingest      query        clickhouse       write path, read path, storage
//	ingest/ledger  auth  query/audience  clickhouse/schema  clickhouse/embedded
//	internal/...                              HTTP, child processes
//	leadevents                                the vocabulary
package house
