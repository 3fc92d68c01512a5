package clickhouse

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"leadevents/query/audience"
)

// slice is a range of phones, both ends included.
type slice struct{ from, to uint64 }

// everyPhone is the slice that is all.
var everyPhone = slice{0, math.MaxUint64}

// maxSlices bounds the number of slices; beyond it they grow.
const maxSlices = 1000

// slices cuts the phones so that each slice holds about as many leads, size at most.
// What is to be
// cut is told by the sorting key, and where by one granule of sixteen.
func (v *evaluation) slices(ctx context.Context, size int) ([]slice, error) {
	q := v.question(everyPhone)
	var phones string
	switch {
	case v.Leads.Source == audience.Stored:
		phones = q.storedPhones()
	case v.run != 0:
		phones = q.frozen()
	case v.Leads.Source == audience.Listed:
		return []slice{everyPhone}, nil // so few that they came in a request
	default:
		phones = q.living()
	}
	rows, err := q.count(ctx, "SELECT sum(rows) FROM (EXPLAIN ESTIMATE "+phones+")")
	if err != nil {
		return nil, fmt.Errorf("estimate the audience: %w", err)
	}
	n := min(1+int(rows)/size, maxSlices)
	v.about = min(int(rows)/n*9/8, 2*size)
	if n == 1 {
		return []slice{everyPhone}, nil
	}
	levels := make([]string, n-1)
	for i := range levels {
		levels[i] = fmt.Sprint(float64(i+1) / float64(n))
	}
	var cuts []float64
	err = v.db.conn.QueryRow(q.bind(ctx), fmt.Sprintf("SELECT quantiles(%s)(phone) FROM (%s AND intDiv(_part_offset, 8192) %% 16 = 0)", strings.Join(levels, ", "), phones)).Scan(&cuts)
	if err != nil {
		return nil, unavailable(fmt.Errorf("cut the audience into slices: %w", err))
	}
	return cut(cuts), nil
}

// cut makes slices that begin at the cuts, whatever these are.
func cut(cuts []float64) []slice {
	var firsts []uint64
	for _, c := range cuts {
		if c >= 1 && c < math.MaxUint64 { // not NaN, which is the quantile of nothing
			firsts = append(firsts, uint64(c))
		}
	}
	slices.Sort(firsts)
	firsts = slices.Compact(firsts)
	parts := make([]slice, 0, len(firsts)+1)
	from := uint64(0)
	for _, first := range firsts {
		parts = append(parts, slice{from, first - 1})
		from = first
	}
	return append(parts, slice{from, everyPhone.to})
}
