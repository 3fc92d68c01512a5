package main

import (
	"fmt"
	"strings"
)

// variant is one definition of the table; the zero value of a field means the
// base's choice.
type variant struct {
	name      string
	sortKey   string
	partition string
	version   string // version column; "none" for none
	typeIDs   bool   // event_type as a number from a dictionary of our own
	index     string
	codecs    map[string]string // column type and codec by column
}

// plainCodecs is what a table without any thought would have, but for metadata,
// which nobody stores with LZ4.
var plainCodecs = map[string]string{
	"organization_id": "UInt64",
	"event_type":      "LowCardinality(String)",
	"phone":           "UInt64",
	"occurred_at":     "DateTime64(3, 'UTC')",
	"metadata":        "String CODEC(ZSTD(1))",
	"ingested_at":     "DateTime64(3, 'UTC')",
	"batch_id":        "UInt64",
}

// chosenCodecs are those of migration 0001.
var chosenCodecs = map[string]string{
	"organization_id": "UInt64 CODEC(Delta, ZSTD(1))",
	"phone":           "UInt64 CODEC(T64, LZ4)",
	"occurred_at":     "DateTime64(3, 'UTC') CODEC(T64, ZSTD(1))",
	"metadata":        "String CODEC(ZSTD(1))",
	"ingested_at":     "DateTime64(3, 'UTC') CODEC(ZSTD(1))",
	"batch_id":        "UInt64 CODEC(ZSTD(1))",
}

// variants are the base and everything one step away from it.
func variants() []variant {
	return []variant{
		{name: "base"},
		{name: "phone before time", sortKey: "organization_id, event_type, phone, occurred_at"},
		{name: "no partitions", partition: "tuple()"},
		{name: "quarters", partition: "toStartOfQuarter(occurred_at)"},
		{name: "months", partition: "toYYYYMM(occurred_at)"},
		{name: "version ingested_at", version: "ingested_at"},
		{name: "version batch_id", version: "batch_id"},
		{name: "event types as ids", typeIDs: true},
		{name: "bloom filter on phone", index: "INDEX phones phone TYPE bloom_filter(0.01) GRANULARITY 1"},
		{name: "no codecs", codecs: plainCodecs},
		{name: "phone T64 ZSTD(1)", codecs: map[string]string{"phone": "UInt64 CODEC(T64, ZSTD(1))"}},
		{name: "phone ZSTD(1)", codecs: map[string]string{"phone": "UInt64 CODEC(ZSTD(1))"}},
		{name: "time Delta ZSTD(1)", codecs: map[string]string{"occurred_at": "DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1))"}},
		{name: "time Delta LZ4", codecs: map[string]string{"occurred_at": "DateTime64(3, 'UTC') CODEC(Delta, LZ4)"}},
	}
}

func (v *variant) table() string {
	return strings.NewReplacer(" ", "_", "(", "", ")", "", ",", "").Replace("events_" + v.name)
}

func (v *variant) column(name string) string {
	if name == "event_type" && v.typeIDs {
		return "UInt16"
	}
	for _, codecs := range []map[string]string{v.codecs, chosenCodecs, plainCodecs} {
		if c := codecs[name]; c != "" {
			return c
		}
	}
	panic("no type for column " + name)
}

var columns = []string{"organization_id", "event_type", "phone", "occurred_at", "metadata", "ingested_at", "batch_id"}

// createSQL is the variant's definition.
func (v *variant) createSQL() string {
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE TABLE %s (", v.table())
	for i, name := range columns {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s %s", name, v.column(name))
	}
	if v.index != "" {
		b.WriteString(", " + v.index)
	}
	version := v.version
	if version == "none" {
		version = ""
	}
	fmt.Fprintf(&b, ") ENGINE = ReplacingMergeTree(%s) PARTITION BY %s ORDER BY (%s) SETTINGS non_replicated_deduplication_window = 10000",
		version, or(v.partition, "toYear(occurred_at)"), or(v.sortKey, "organization_id, event_type, occurred_at, phone"))
	return b.String()
}

// typeSQL is how the variant stores an event type that is read or written as a string.
func (v *variant) typeSQL(of string) string {
	if !v.typeIDs {
		return of
	}
	return "toUInt16(cityHash64(" + of + ") % 65536)" // stands for a look-up in a dictionary, and is cheaper than one
}

// codecCandidates are copies of a column, each with a codec, for one table that
// holds them all: their sizes and reading times compare like for like.
var codecCandidates = map[string][]string{
	"phone":       {"UInt64 CODEC(LZ4)", "UInt64 CODEC(ZSTD(1))", "UInt64 CODEC(ZSTD(3))", "UInt64 CODEC(T64, LZ4)", "UInt64 CODEC(T64, ZSTD(1))", "UInt64 CODEC(T64, ZSTD(3))", "UInt64 CODEC(T64('bit'), ZSTD(1))"},
	"occurred_at": {"DateTime64(3, 'UTC') CODEC(LZ4)", "DateTime64(3, 'UTC') CODEC(ZSTD(1))", "DateTime64(3, 'UTC') CODEC(Delta, LZ4)", "DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1))", "DateTime64(3, 'UTC') CODEC(DoubleDelta, LZ4)", "DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1))", "DateTime64(3, 'UTC') CODEC(T64, ZSTD(1))", "DateTime64(3, 'UTC') CODEC(GCD, T64('bit'), ZSTD(1))"},
	"ingested_at": {"DateTime64(3, 'UTC') CODEC(LZ4)", "DateTime64(3, 'UTC') CODEC(ZSTD(1))", "DateTime64(3, 'UTC') CODEC(ZSTD(3))", "DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1))", "DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1))", "DateTime64(3, 'UTC') CODEC(T64, ZSTD(1))", "DateTime64(3, 'UTC') CODEC(T64('bit'), ZSTD(1))"},
	"batch_id":    {"UInt64 CODEC(LZ4)", "UInt64 CODEC(ZSTD(1))", "UInt64 CODEC(ZSTD(3))", "UInt64 CODEC(ZSTD(6))", "UInt64 CODEC(Delta, ZSTD(1))", "LowCardinality(UInt64)", "LowCardinality(UInt64) CODEC(ZSTD(1))"},
	"metadata":    {"String CODEC(LZ4)", "String CODEC(ZSTD(1))", "String CODEC(ZSTD(3))", "String CODEC(ZSTD(6))"},
	"event_type":  {"LowCardinality(String)", "LowCardinality(String) CODEC(ZSTD(1))", "String CODEC(ZSTD(1))", "UInt16 CODEC(ZSTD(1))"},
}

func or(s, fallback string) string {
	if s != "" {
		return s
	}
	return fallback
}
