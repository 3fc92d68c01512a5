package main

// path is a hot path: a benchmark beside its code.
type path struct {
	pkg       string // from the repository's root
	benchmark string // its name, with that of a sub-benchmark behind a slash
	// runs are how many are counted: a hundred million instructions, which are a second
	// under valgrind. What runtime and libraries do beside them is up to a million and a
	// half, at other moments each time.
	runs int
}

// name is by which a path stands in the record.
func (p path) name() string { return p.pkg + " " + p.benchmark }

// hotPaths are those of a call from its bytes to both stores, and of what comes with
// every call.
var hotPaths = []path{
	{".", "ParsePhone/canonical", 200_000},
	{".", "ParseMillis", 200_000},
	{"./ingest", "Decode/compact", 2},
	{"./ingest", "Decode/one event", 20_000},
	{"./ingest/ledger", "Plan50000", 6},
	{"./ingest/ledger", "PeekChunk", 100},
	{"./ingest/ledger", "SealChunk", 150},
	{"./clickhouse", "AppendRows", 2},
	{"./auth", "SignedBy", 300},
	{"./query/audience", "FilterCodec", 1500},
}
