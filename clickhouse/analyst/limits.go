package analyst

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"time"
)

// Limits is what one statement may take, and all of an organization's together. Zero
// values are the defaults.
type Limits struct {
	Timeout            time.Duration // of a statement, reading its answer included; 30 s
	Memory             uint64        // of a statement; 1 GiB
	OrganizationMemory uint64        // of all at once; 2 GiB
	RowsRead           uint64        // 10^10
	ResultRows         uint64        // 10^8
	ResultBytes        uint64        // uncompressed, as columns; 16 GiB
	Threads            int           // of a statement; 2
	AtOnce             int           // statements of an organization; 4
}

// WithDefaults fills in what is zero.
func (l Limits) WithDefaults() Limits {
	return Limits{
		Timeout: cmp.Or(l.Timeout, 30*time.Second), Memory: cmp.Or(l.Memory, 1<<30), OrganizationMemory: cmp.Or(l.OrganizationMemory, 2<<30),
		RowsRead: cmp.Or(l.RowsRead, 10_000_000_000), ResultRows: cmp.Or(l.ResultRows, 100_000_000), ResultBytes: cmp.Or(l.ResultBytes, 16<<30),
		Threads: cmp.Or(l.Threads, 2), AtOnce: cmp.Or(l.AtOnce, 4),
	}
}

// MaxQueryBytes is the longest text that the profile lets ClickHouse parse: its own
// default, and room for what is written before a statement.
const MaxQueryBytes = 256 << 10

// Setting is one of ClickHouse's.
type Setting struct{ Name, Value string }

// Settings are those of an analyst's user. readonly = 1 forbids it to change any.
func (l Limits) Settings() []Setting {
	l = l.WithDefaults()
	number := func(n uint64) string { return strconv.FormatUint(n, 10) }
	return []Setting{
		{"readonly", "1"},
		{"allow_ddl", "0"},
		{"allow_introspection_functions", "0"},
		// The one before it mixes the view's condition with those of a statement (see View).
		{"enable_analyzer", "1"},
		// ClickHouse looks at the time between blocks; a second more, for ours counts first.
		{"max_execution_time", fmt.Sprint(math.Ceil(l.Timeout.Seconds()) + 1)},
		{"timeout_overflow_mode", "throw"},
		{"max_memory_usage", number(l.Memory)},
		{"max_memory_usage_for_user", number(l.OrganizationMemory)},
		// Memory is the limit, not the disk.
		{"max_bytes_before_external_group_by", "0"},
		{"max_bytes_ratio_before_external_group_by", "0"},
		{"max_bytes_before_external_sort", "0"},
		{"max_bytes_ratio_before_external_sort", "0"},
		{"max_rows_to_read", number(l.RowsRead)},
		{"read_overflow_mode", "throw"},
		{"max_result_rows", number(l.ResultRows)},
		{"max_result_bytes", number(l.ResultBytes)},
		{"result_overflow_mode", "throw"},
		{"max_threads", strconv.Itoa(l.Threads)},
		// A statement that was cancelled may be on its way out.
		{"max_concurrent_queries_for_user", strconv.Itoa(l.AtOnce)},
		{"max_query_size", strconv.Itoa(MaxQueryBytes)},
		{"max_parser_depth", "500"},
		{"max_parser_backtracks", "100000"},
		{"max_ast_depth", "500"},
		{"max_ast_elements", "20000"},
		{"max_expanded_ast_elements", "100000"},
		// Queries end with their client, and are not kept: their texts may hold phones.
		{"cancel_http_readonly_queries_on_client_close", "1"},
		{"log_queries", "0"},
		// What is read is counted by the granule, rows of others among them.
		{"output_format_write_statistics", "0"},
		// An answer is not sent before so much of it is there: until then an error is an
		// answer, and what was read stands in a header.
		{"http_response_buffer_size", "65536"},
	}
}
