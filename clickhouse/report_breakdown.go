package clickhouse

import (
	"context"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"leadevents"
	"leadevents/query/audience"
	"leadevents/query/report"
)

// Breakdown answers as [report.Breakdown.Divide] does. Errors are those of Timeseries.
func (db *DB) Breakdown(ctx context.Context, org leadevents.OrgID, b report.Breakdown) (parts report.Parts, err error) {
	if err := b.Validate(); err != nil {
		return parts, err
	}
	err = db.reports.run(ctx, func(ctx context.Context) error {
		parts, err = db.breakdown(ctx, org, b)
		return err
	})
	return parts, err
}

func (db *DB) breakdown(ctx context.Context, org leadevents.OrgID, b report.Breakdown) (report.Parts, error) {
	q := db.newReport(org, b.Range)
	q.types(b.EventType)
	q.limit(b.Limit)
	sql := sqlText("report_breakdown")
	sql = place(sql, "raw", q.raw("metadata", b.Path))
	number := "''"
	if b.Number != nil {
		number = q.raw("metadata", b.Number.Path)
	}
	sql = place(sql, "number", number)
	sql = place(sql, "final", q.final(b.Range, true))
	sql = place(sql, "where", q.conditions(b.Where))
	size := "count()"
	if b.OrderBy == report.Leads {
		size = leads(b.Range)
	}
	sql = place(sql, "size", size)
	sql = place(sql, "leads", leads(b.Range))
	sql = place(sql, "quantiles", quantiles(b))

	parts := report.Parts{Groups: []report.Part{}, Total: report.Whole{Number: b.Number.Empty()}}
	places := map[uint64]report.Part{}
	err := q.rows(ctx, sql, func(rows driver.Rows) error {
		var whole uint64
		var place uint64
		var name string
		var part report.Part
		var n numbersRow
		err := rows.Scan(&whole, &place, &name, &part.Events, &part.Leads, &n.count, &n.exactly, &n.total, &n.loose, &n.smallest, &n.biggest, &n.levels)
		if err != nil {
			return err
		}
		if b.Number != nil {
			if part.Number, err = n.numbers(b.Number); err != nil {
				return err
			}
		}
		if whole == 1 {
			parts.Total = report.Whole{Events: part.Events, Leads: part.Leads, Number: part.Number}
			return nil
		}
		part.Group = groupOf(name)
		places[place-1] = part // the others come last
		return nil
	})
	if err != nil {
		return parts, err
	}
	for _, place := range sortedKeys(places) {
		parts.Groups = append(parts.Groups, places[place])
	}
	return parts, nil
}

// quantiles writes the levels into the text: the server takes no parameters there. They
// are float64 that were read, and written again here.
func quantiles(b report.Breakdown) string {
	if b.Number == nil || len(b.Number.Quantiles) == 0 {
		return "[]::Array(Float64)"
	}
	levels := make([]string, len(b.Number.Quantiles))
	for i, level := range b.Number.Quantiles {
		levels[i] = strconv.FormatFloat(level, 'f', -1, 64)
	}
	function := "quantilesExactIf"
	if b.Approximate {
		function = "quantilesTDigestIf"
	}
	return "arrayMap(x -> toFloat64(x), " + function + "(" + strings.Join(levels, ", ") + ")(nearest, is_number))"
}

// numbersRow is what a row says of the numbers of a group.
type numbersRow struct {
	count, exactly    uint64
	total             string
	loose             float64
	smallest, biggest string
	levels            []float64
}

func (r numbersRow) numbers(n *report.Number) (*report.Numbers, error) {
	s := n.Empty()
	if s.Events = r.count; r.count == 0 {
		return s, nil
	}
	for i := range s.Quantiles {
		s.Quantiles[i].Value = &r.levels[i]
	}
	smallest, biggest := decimalOf(r.smallest), decimalOf(r.biggest)
	s.Min, s.Max = &smallest, &biggest
	sum, ok := new(big.Rat).SetString(r.total)
	if !ok {
		return nil, fmt.Errorf("the sum %q is no decimal", r.total)
	}
	s.Exact = r.exactly == r.count
	s.Total(sum, r.loose)
	return s, nil
}

// decimalOf is a number as a report writes it.
func decimalOf(json string) report.Decimal {
	return report.Decimal(audience.ScalarOf([]byte(json)).Number.String())
}

func sortedKeys[V any](m map[uint64]V) []uint64 {
	keys := make([]uint64, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
