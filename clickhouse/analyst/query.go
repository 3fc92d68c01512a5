package analyst

// Query is a statement that was judged.
type Query struct {
	ID     string // its query_id
	Text   string
	Params map[string]string // as ClickHouse reads them
	Format string            // of ClickHouse: "JSON"
}

// Reading is what a statement has read of the tables.
type Reading struct {
	Rows, Bytes uint64
	// AtLeast says that the statement's end was not seen: a long answer, or one that
	// was cut off, may have read a little more.
	AtLeast bool
}
