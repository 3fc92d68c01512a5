package query

import (
	"context"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"leadevents"
	"leadevents/query/statement"
)

// SQLSchema is what a tool needs to know to write statements, as clients see it.
type SQLSchema struct {
	Tables     []SQLTable     `json:"tables"`
	EventTypes []SQLEventType `json:"eventTypes"`
	// MoreEventTypes says that there are more than are listed.
	MoreEventTypes bool `json:"moreEventTypes"`
	// SampledEvents is of how many events of each type, the newest, the paths are.
	SampledEvents      int       `json:"sampledEvents"`
	Functions          []string  `json:"functions"`
	AggregateFunctions []string  `json:"aggregateFunctions"`
	Combinators        []string  `json:"aggregateCombinators"`
	TableFunctions     []string  `json:"tableFunctions"`
	Formats            []string  `json:"formats"`
	Limits             SQLLimits `json:"limits"`
}

// SQLTable is a table that can be read.
type SQLTable struct {
	Name        string      `json:"name"`
	Description string      `json:"description"`
	Columns     []SQLColumn `json:"columns"`
}

// SQLColumn is a column, with its type in ClickHouse.
type SQLColumn struct {
	Name        string `json:"name"`
	Type        string `json:"type"`
	Description string `json:"description"`
}

// SQLEventType is an event type, with what the metadata of its newest events had.
type SQLEventType struct {
	EventType string    `json:"eventType"`
	Metadata  []SQLPath `json:"metadata"`
}

// SQLPath is a path in metadata: the types seen there, and how to read it.
type SQLPath struct {
	Path       string   `json:"path"`
	Types      []string `json:"types"`
	Expression string   `json:"expression"`
}

// SQLLimits is what a statement may take.
type SQLLimits struct {
	TimeoutSeconds      float64 `json:"timeoutSeconds"`
	MemoryBytes         uint64  `json:"memoryBytes"`
	OrganizationMemory  uint64  `json:"organizationMemoryBytes"`
	RowsRead            uint64  `json:"rowsRead"`
	ResultRows          uint64  `json:"resultRows"`
	ResultBytes         uint64  `json:"resultBytes"`
	Threads             int     `json:"threads"`
	OrganizationQueries int     `json:"organizationQueries"`
	QueryBytes          int     `json:"queryBytes"`
	Nesting             int     `json:"nesting"`
	Parameters          int     `json:"parameters"`
	ParameterBytes      int     `json:"parameterBytes"`
}

// eventsTable describes the view.
var eventsTable = SQLTable{
	Name: "events", Description: "The organization's events, each once.",
	Columns: []SQLColumn{
		{"event_type", "LowCardinality(String)", "What happened, as it was sent."},
		{"phone", "UInt64", "The lead: the digits of E.164 as a number."},
		{"occurred_at", "DateTime64(3, 'UTC')", "When it happened."},
		{"metadata", "String", "A JSON object, as it was sent; {} where none was. JSONExtract… and JSON_VALUE read it."},
		{"ingested_at", "DateTime64(3, 'UTC')", "When it was stored."},
		{"batch_id", "UInt64", "The call that stored it: GET /api/v1/batches/{batchId}."},
	},
}

// Bounds of the sample: one question of a few milliseconds for each type.
const (
	schemaEventTypes = 50
	schemaSample     = 100
	schemaPaths      = 200 // of a type
	schemaDepth      = 5
)

// Schema describes what statements may read and use.
func (s *SQL) Schema(ctx context.Context, org leadevents.OrgID) (SQLSchema, error) {
	scalar, aggregate := statement.Functions()
	l := s.cfg.Limits
	schema := SQLSchema{
		Tables: []SQLTable{eventsTable}, SampledEvents: schemaSample,
		Functions: slices.Sorted(slices.Values(scalar)), AggregateFunctions: slices.Sorted(slices.Values(aggregate)),
		Combinators: statement.Combinators(), TableFunctions: statement.TableFunctions(), Formats: SQLFormats(),
		Limits: SQLLimits{
			TimeoutSeconds: l.Timeout.Seconds(), MemoryBytes: l.Memory, OrganizationMemory: l.OrganizationMemory,
			RowsRead: l.RowsRead, ResultRows: l.ResultRows, ResultBytes: l.ResultBytes, Threads: l.Threads, OrganizationQueries: l.AtOnce,
			QueryBytes: s.cfg.MaxQueryBytes, Nesting: s.cfg.MaxNesting, Parameters: statement.MaxParameters, ParameterBytes: statement.MaxParameterBytes,
		},
	}
	types, err := s.store.EventTypes(ctx, org, schemaEventTypes+1)
	if err != nil {
		return SQLSchema{}, err
	}
	if len(types) > schemaEventTypes {
		types, schema.MoreEventTypes = types[:schemaEventTypes], true
	}
	for _, eventType := range types {
		sample, err := s.store.SampleMetadata(ctx, org, eventType, schemaSample)
		if err != nil {
			return SQLSchema{}, err
		}
		schema.EventTypes = append(schema.EventTypes, SQLEventType{eventType, metadataPaths(sample)})
	}
	return schema, nil
}

// metadataPaths are the paths that a sample has, sorted, with the types of their values.
func metadataPaths(sample []string) []SQLPath {
	found := pathsFound{types: map[string][]string{}, keys: map[string][]string{}}
	for _, text := range sample {
		found.add(jsontext.Value(text), nil)
	}
	paths := make([]SQLPath, 0, len(found.types))
	for path, types := range found.types {
		slices.Sort(types)
		paths = append(paths, SQLPath{Path: path, Types: types, Expression: expression(found.keys[path], types)})
	}
	slices.SortFunc(paths, func(a, b SQLPath) int { return strings.Compare(a.Path, b.Path) })
	return paths
}

type pathsFound struct {
	types map[string][]string
	keys  map[string][]string
}

// add looks at a value under keys.
func (f *pathsFound) add(value jsontext.Value, keys []string) {
	kind := value.Kind()
	if kind == '{' && len(keys) < schemaDepth {
		in := jsontext.NewDecoder(strings.NewReader(string(value)), jsontext.AllowDuplicateNames(true))
		if _, err := in.ReadToken(); err != nil {
			return
		}
		for in.PeekKind() == '"' {
			name, err := in.ReadToken()
			if err != nil {
				return
			}
			key := name.String()
			inner, err := in.ReadValue()
			if err != nil {
				return
			}
			f.add(inner.Clone(), append(slices.Clone(keys), key))
		}
		return
	}
	names := map[jsontext.Kind]string{'n': "null", 't': "boolean", 'f': "boolean", '"': "string", '0': "number", '[': "array", '{': "object"}
	path := strings.Join(keys, ".")
	if len(keys) == 0 || names[kind] == "" || f.types[path] == nil && len(f.types) >= schemaPaths {
		return
	}
	if !slices.Contains(f.types[path], names[kind]) {
		f.types[path] = append(f.types[path], names[kind])
	}
	if f.keys[path] == nil {
		f.keys[path] = keys
	}
}

var sqlText = strings.NewReplacer(`\`, `\\`, `'`, `\'`)

// expression reads a path in SQL. One whose values are of several types is read as it
// stands.
func expression(keys, types []string) string {
	function := "JSONExtractRaw"
	if values := slices.DeleteFunc(slices.Clone(types), func(t string) bool { return t == "null" }); len(values) == 1 {
		switch values[0] {
		case "string":
			function = "JSONExtractString"
		case "number":
			function = "JSONExtractFloat"
		case "boolean":
			function = "JSONExtractBool"
		}
	}
	var b strings.Builder
	b.WriteString(function + "(metadata")
	for _, key := range keys {
		b.WriteString(", '" + sqlText.Replace(key) + "'")
	}
	b.WriteString(")")
	return b.String()
}
