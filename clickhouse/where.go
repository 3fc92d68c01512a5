package clickhouse

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"leadevents"
	"leadevents/query/audience"
)

// where writes the filters of package audience as SQL expressions over event
// rows. Their answer equals audience.Match's for all metadata that is JSON; a
// differential test holds that.
//
// Everything a client chose travels as a typed parameter, none of it in the
// text. The parameters are numbered through one where, so that any number of its
// expressions fit into one query:
//
//	w := newWhere()
//	query := "SELECT uniq(phone) FROM lead_events FINAL WHERE organization_id = {organization:UInt64} AND " +
//		w.matches(filter, fireAt, clockSkew)
//	w.parameters["organization"] = org.String()
//	rows, err := db.conn.Query(w.bind(ctx), query)
type where struct {
	parameters clickhouse.Parameters
	names      map[string]string // of the parameters, by type and text: equal ones are one
	n          int
}

func newWhere() *where {
	return &where{parameters: clickhouse.Parameters{}, names: map[string]string{}}
}

// The worst that the codec accepts, 10 filters of 10 conditions with 64 levels
// each, is some 800 KB and 150,000 nodes, parameters' names for the most part.
// The server's defaults are 256 KiB, and 50,000 nodes (500,000 expanded).
const (
	maxQuerySize  = 4 << 20
	maxQueryNodes = 2_000_000
)

// bind gives a query the parameters of its expressions.
func (w *where) bind(ctx context.Context) context.Context {
	return clickhouse.Context(ctx, clickhouse.WithParameters(w.parameters), clickhouse.WithSettings(w.settings()))
}

// settings are those that a query with such expressions needs.
func (w *where) settings() clickhouse.Settings {
	return clickhouse.Settings{
		"allow_simdjson":            1, // the parser that the expressions were tried with; the other differs
		"max_query_size":            maxQuerySize,
		"max_ast_elements":          maxQueryNodes,
		"max_expanded_ast_elements": maxQueryNodes,
	}
}

// name is a new name for a parameter.
func (w *where) name() string {
	w.n++
	return fmt.Sprintf("w%d", w.n)
}

// parameter is a parameter of a type; the server parses its value from text.
func (w *where) parameter(kind, text string) string {
	key := kind + " " + text
	name, ok := w.names[key]
	if !ok {
		name = w.name()
		w.names[key], w.parameters[name] = name, text
	}
	return "{" + name + ":" + kind + "}"
}

func (w *where) text(s string) string { return w.parameter("String", parameterText(s)) }

func (w *where) moment(m leadevents.Millis) string {
	return "fromUnixTimestamp64Milli(" + w.parameter("Int64", fmt.Sprint(int64(m))) + ", 'UTC')"
}

// float is an exact float64: its bits, because the text of a Float64 parameter
// is read by the server's fast parser, which may be off by the last digit.
func (w *where) float(f float64) string {
	return "reinterpretAsFloat64(" + w.parameter("UInt64", fmt.Sprint(math.Float64bits(f))) + ")"
}

func (w *where) floats(list []float64) string {
	bits := make([]string, len(list))
	for i, f := range list {
		bits[i] = fmt.Sprint(math.Float64bits(f))
	}
	return "arrayMap(bits -> reinterpretAsFloat64(bits), " +
		w.parameter("Array(UInt64)", "["+strings.Join(bits, ",")+"]") + ")"
}

// matches is true for the rows (event_type, occurred_at, metadata) that the
// filter counts. How many of them a lead has, told apart by occurred_at, and
// what the filter's mode makes of that, is for the query to ask.
func (w *where) matches(f audience.Filter, fireAt leadevents.Millis, clockSkew time.Duration) string {
	parts := []string{"event_type = " + w.text(f.EventType)}
	if from, to, bounded := f.Window(fireAt, clockSkew); bounded {
		// Beyond the bounds of occurredAt there is nothing, and DateTime64 ends in 2299.
		if to < leadevents.MinOccurredAt || from > leadevents.MaxOccurredAt {
			return noRow
		}
		parts = append(parts,
			"occurred_at >= "+w.moment(max(from, leadevents.MinOccurredAt)),
			"occurred_at <= "+w.moment(min(to, leadevents.MaxOccurredAt)))
	}
	if len(f.Where) > 0 {
		parts = append(parts, w.holdAll("metadata", f.Where))
	}
	return "(" + strings.Join(parts, " AND ") + ")"
}
