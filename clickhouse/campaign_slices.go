package clickhouse

import (
	"context"
	"fmt"
	"slices"
)

// defaultSliceLeads is how many leads of an audience are asked about at once.
const defaultSliceLeads = 1_000_000

// maxSlices bounds the number of slices.
const maxSlices = 64

// slices cuts the phones so that each slice holds about as many leads.
func (v *evaluation) slices(ctx context.Context) ([]slice, error) {
	q := v.question(everyPhone)
	bound, err := q.context(ctx)
	if err != nil {
		return nil, err
	}
	var (
		leads uint64
		cuts  []float64
	)
	levels := ""
	for i := 1; i < maxSlices; i++ {
		levels += fmt.Sprintf("%g,", float64(i)/maxSlices)
	}
	err = v.db.conn.QueryRow(bound, fmt.Sprintf("SELECT count(), quantiles(%s)(phone) FROM (%s)", levels[:len(levels)-1], q.phones())).Scan(&leads, &cuts)
	if err != nil {
		return nil, unavailable(fmt.Errorf("cut the audience into slices: %w", err))
	}
	return cut(leads, cuts, uint64(v.db.sliceLeads)), nil
}

// cut takes as many of the cuts, which lie evenly, as slices of perSlice leads need.
func cut(leads uint64, cuts []float64, perSlice uint64) []slice {
	n := min(maxSlices, int(leads/perSlice)+1)
	var firsts []uint64
	for i := 1; i < n; i++ {
		if first := uint64(cuts[i*maxSlices/n-1]); first > 0 {
			firsts = append(firsts, first)
		}
	}
	slices.Sort(firsts)
	firsts = slices.Compact(firsts)
	parts := make([]slice, 0, n)
	from := uint64(0)
	for _, first := range firsts {
		parts = append(parts, slice{from, first - 1})
		from = first
	}
	return append(parts, slice{from, everyPhone.to})
}
